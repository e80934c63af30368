-- What was out of the ordinary about the data of a month, by kind and source.
-- param month (month): month of local days; without it the last one that is closed
SELECT
  kind, -- a mark of readings, late, rejected or conflict
  source,
  CAST(sum(COALESCE(readings, 1)) AS BIGINT) AS readings,
  count(DISTINCT device) AS devices,
  min(start_utc) AS first_utc,
  max(start_utc) AS last_utc
FROM data_gaps
WHERE strftime(local_day, '%Y-%m') = COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods))
GROUP BY kind, source
ORDER BY kind, source;
