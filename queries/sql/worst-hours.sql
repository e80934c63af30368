-- The hours of a month that lost most, or earned least.
-- param month (month): month of local days; without it the last one that is closed
-- param count (integer): how many; without it 10
SELECT
  site,
  start_utc AS hour_utc,
  local_start, -- by the clock at the site
  megawatt_hours(energy_milliwatt_hours) AS site_mwh,
  round(revenue, 2) AS revenue,
  round(energy_cost, 2) AS energy_cost,
  round(margin, 2) AS margin,
  currency
FROM margins_by_hour
WHERE use = 'site' AND margin IS NOT NULL
  AND strftime(local_day, '%Y-%m') = COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods))
ORDER BY margins_by_hour.margin, site, start_utc
LIMIT CAST(COALESCE(getvariable('count'), '10') AS BIGINT);
