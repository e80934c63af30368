-- What was drawn while power had a negative price, and what that earned, by local day.
-- param month (month): month of local days; without it the last one that is closed
SELECT
  site,
  local_day,
  count(*) AS intervals, -- with a negative price
  min(price_per_megawatt_hour) AS lowest_price_per_mwh, -- without the adder
  megawatt_hours(sum(site_energy_milliwatt_hours)) AS site_mwh,
  round(if(count(site_cost) > 0, COALESCE(-sum(site_cost) FILTER (site_cost < 0), 0), NULL), 2) AS earned_by_drawing, -- after the adder; 0 where it took the price above zero
  currency
FROM margins
WHERE price_per_megawatt_hour < 0
  AND strftime(local_day, '%Y-%m') = COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods))
GROUP BY site, local_day, currency
ORDER BY site, local_day;
