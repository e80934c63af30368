-- How often each load ran or rested in a month, and why.
-- param month (month): month of local days; without it the last one that is closed
SELECT
  site,
  load, -- the sub-meter that counts it
  use,
  runs,
  reason,
  count(*) AS intervals,
  percent(count(*), sum(count(*)) OVER (PARTITION BY site, load)) AS percent_of_intervals
FROM decisions
WHERE strftime(local_day, '%Y-%m') = COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods))
GROUP BY site, load, use, runs, reason
ORDER BY site, load, runs DESC, intervals DESC, reason;
