-- Power usage effectiveness and the residual of the meters, by local day.
-- param month (month): month of local days; without it the last one that is closed
-- PUE is all energy over that of mining and AI. The residual is what no meter accounts for, after the agreed losses.
WITH days AS (
  SELECT site, local_day,
    CAST(sum(energy_milliwatt_hours) FILTER (part = 'revenue-meter') AS HUGEINT) AS site_energy,
    CAST(sum(energy_milliwatt_hours) FILTER (part IN ('mining', 'ai')) AS HUGEINT) AS it_energy,
    CAST(sum(energy_milliwatt_hours) FILTER (part = 'losses') AS HUGEINT) AS losses,
    CAST(sum(energy_milliwatt_hours) FILTER (part = 'residual') AS HUGEINT) AS residual,
    count(DISTINCT start_utc) FILTER (state = 'unknown') AS unknown_intervals
  FROM intervals
  WHERE strftime(local_day, '%Y-%m') = COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods))
  GROUP BY site, local_day
)
SELECT
  site,
  local_day,
  megawatt_hours(site_energy) AS site_mwh,
  megawatt_hours(it_energy) AS it_mwh,
  CAST(quotient(site_energy * 10000, it_energy) AS DECIMAL(34,0)) * 0.0001 AS pue,
  megawatt_hours(losses) AS losses_mwh,
  megawatt_hours(residual) AS residual_mwh,
  percent(residual, site_energy) AS residual_percent,
  unknown_intervals
FROM days
ORDER BY site, local_day;
