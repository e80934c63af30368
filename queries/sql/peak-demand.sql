-- The intervals of a month in which the site drew most.
-- param month (month): month of local days; without it the last one that is closed
-- param count (integer): how many of each site; without it 10
SELECT
  i.site,
  i.start_utc,
  i.local_day,
  CAST(quotient(CAST(i.energy_milliwatt_hours AS HUGEINT) * 3600000000, s.step_microseconds * 1000000) AS DECIMAL(34,0)) * 0.001 AS mean_megawatts,
  i.state, -- how well it is known
  m.price_per_megawatt_hour,
  i.reading_position
FROM intervals i JOIN sites s USING (site) JOIN margins m ON m.site = i.site AND m.start_utc = i.start_utc
WHERE i.part = 'revenue-meter' AND i.energy_milliwatt_hours IS NOT NULL
  AND strftime(i.local_day, '%Y-%m') = COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods))
QUALIFY row_number() OVER (PARTITION BY i.site ORDER BY i.energy_milliwatt_hours DESC, i.start_utc) <= CAST(COALESCE(getvariable('count'), '10') AS BIGINT)
ORDER BY i.site, i.energy_milliwatt_hours DESC, i.start_utc;
