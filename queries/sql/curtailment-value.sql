-- What resting mining loads saved in a month against running them, by the reason for which they rested.
-- param month (month): month of local days; without it the last one that is closed
-- A MWh that is not consumed saves its cost and forgoes its value, both as the decision knew them.
WITH rested AS (
  SELECT d.*, CAST(load_power_milliwatts AS HUGEINT) * s.step_microseconds // 3600000000 AS energy
  FROM decisions d JOIN sites s USING (site)
  WHERE NOT runs AND use = 'mining'
    AND strftime(local_day, '%Y-%m') = COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods))
), sums AS ( -- money in units of 10^-19
  SELECT site, reason, currency, count(DISTINCT start_utc) AS intervals, sum(energy) AS energy,
    sum(energy * CAST(cost_per_megawatt_hour * 10000000000 AS HUGEINT)) FILTER (value_per_megawatt_hour IS NOT NULL) AS cost,
    sum(energy * CAST(value_per_megawatt_hour * 10000000000 AS HUGEINT)) FILTER (cost_per_megawatt_hour IS NOT NULL) AS value,
    count(*) FILTER (value_per_megawatt_hour IS NULL OR cost_per_megawatt_hour IS NULL) AS unknown
  FROM rested
  GROUP BY site, reason, currency
)
SELECT
  site,
  reason, -- why they rested
  intervals,
  megawatt_hours(energy) AS energy_mwh, -- that was not drawn
  CAST(quotient(cost, 100000000000000000) AS DECIMAL(34,0)) * 0.01 AS cost_avoided,
  CAST(quotient(value, 100000000000000000) AS DECIMAL(34,0)) * 0.01 AS revenue_forgone,
  cost_avoided - revenue_forgone AS earned_by_resting,
  currency,
  unknown -- decisions that are not in the sums
FROM sums
ORDER BY site, reason;
