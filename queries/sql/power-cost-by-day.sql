-- What power cost each local day, at the revenue meter and by use.
-- param month (month): month of local days; without it the last one that is closed
SELECT
  site,
  local_day,
  round(sum(energy_cost) FILTER (use = 'site'), 2) AS site_cost,
  round(sum(energy_cost) FILTER (use = 'mining'), 2) AS mining_cost,
  round(sum(energy_cost) FILTER (use = 'ai'), 2) AS ai_cost,
  round(sum(energy_cost) FILTER (use = 'overhead'), 2) AS overhead_cost,
  megawatt_hours(sum(energy_milliwatt_hours) FILTER (use = 'site')) AS site_mwh,
  currency
FROM margins_by_day
WHERE strftime(local_day, '%Y-%m') = COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods))
GROUP BY site, local_day, currency
ORDER BY site, local_day;
