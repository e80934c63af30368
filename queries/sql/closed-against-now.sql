-- Figures of a closed period as they were closed, beside what is known now.
-- param month (month): billing period; without it the last one that is closed
SELECT
  c.site,
  c.use,
  megawatt_hours(c.energy_milliwatt_hours) AS closed_mwh,
  megawatt_hours(n.energy_milliwatt_hours) AS now_mwh,
  round(c.margin, 2) AS closed_margin,
  round(n.margin, 2) AS now_margin,
  now_margin - closed_margin AS change,
  c.currency,
  c.as_of_position AS closed_at_position,
  n.position AS now_at_position
FROM closed_margins c JOIN margins_by_month n ON n.site = c.site AND n.month = c.period AND n.use = c.use
WHERE c.period = COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods))
ORDER BY c.site, CASE c.use WHEN 'mining' THEN 1 WHEN 'ai' THEN 2 WHEN 'overhead' THEN 3 ELSE 4 END;
