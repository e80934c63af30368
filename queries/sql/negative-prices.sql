-- What was drawn while power had a negative price, and what that earned, by local day.
-- param month (month): month of local days; without it the last one that is closed
SELECT
  local_day,
  count(*) AS intervals, -- with a negative price
  min(price_per_megawatt_hour) AS lowest_price_per_mwh, -- without the adder
  megawatt_hours(sum(site_energy_milliwatt_hours)) AS site_mwh,
  round(-sum(site_cost) FILTER (site_cost < 0), 2) AS earned_by_drawing, -- after the adder
  currency
FROM margins
WHERE price_per_megawatt_hour < 0
  AND strftime(local_day, '%Y-%m') = COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods))
GROUP BY site, local_day, currency
ORDER BY local_day;
