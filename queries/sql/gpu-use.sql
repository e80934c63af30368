-- GPU-hours that customers were allocated beside those in which GPUs had work, by local day.
-- param month (month): month of local days; without it the last one that is closed
WITH allocated AS (
  SELECT site, local_day, CAST(sum(gpu_milliseconds) AS HUGEINT) AS milliseconds FROM usage GROUP BY ALL
), measured AS (
  SELECT site, local_day, CAST(sum(gpu_milliseconds) AS HUGEINT) AS milliseconds, count(*) AS gpus, CAST(sum(unknown_intervals) AS DECIMAL(38,0)) AS unknown_intervals
  FROM device_days WHERE kind = 'gpu' GROUP BY ALL
)
SELECT
  m.site,
  m.local_day,
  m.gpus,
  gpu_hours(a.milliseconds) AS allocated_gpu_hours, -- the billable truth, from the scheduler
  gpu_hours(m.milliseconds) AS measured_gpu_hours, -- with a compute process, from the GPUs
  allocated_gpu_hours - measured_gpu_hours AS allocated_without_work,
  m.unknown_intervals -- of GPUs that said nothing
FROM measured m LEFT JOIN allocated a USING (site, local_day)
WHERE strftime(m.local_day, '%Y-%m') = COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods))
ORDER BY m.site, m.local_day;
