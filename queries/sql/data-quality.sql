-- What was out of the ordinary about the data of a month, by kind and source.
-- param month (month): month of local days, of facts of the market UTC days; without it the last one that is closed
SELECT
  COALESCE(site, 'market') AS site, -- or market
  kind, -- a mark of readings, late, restated, reversed, rejected or conflict
  source,
  CAST(sum(COALESCE(readings, 1)) AS BIGINT) AS readings,
  count(DISTINCT device) AS devices,
  min(start_utc) AS first_utc,
  max(start_utc) AS last_utc
FROM data_gaps
WHERE strftime(COALESCE(local_day, CAST(start_utc AS DATE)), '%Y-%m') = COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods))
GROUP BY COALESCE(site, 'market'), kind, source
ORDER BY site, kind, source;
