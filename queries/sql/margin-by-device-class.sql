-- What each model of miner earned in a month, and its margin per MWh.
-- param month (month): month of local days; without it the last one that is closed
SELECT
  site,
  model,
  sum(share_difficulty) AS share_difficulty, -- accepted work
  round(sum(revenue), 2) AS revenue,
  megawatt_hours(sum(energy_milliwatt_hours)) AS energy_mwh,
  round(sum(energy_cost), 2) AS energy_cost,
  round(sum(margin), 2) AS margin,
  per_megawatt_hour(sum(margins_by_device_class.margin), CAST(sum(energy_milliwatt_hours) AS HUGEINT)) AS margin_per_mwh,
  currency,
  CAST(sum(unknown_intervals) AS DECIMAL(38,0)) AS unknown_intervals
FROM margins_by_device_class
WHERE strftime(local_day, '%Y-%m') = COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods))
GROUP BY site, model, currency
ORDER BY site, model;
