-- What the publisher computes in memory for the local days that it has just
-- drawn, whole days of one site: their rows go into a part, or into the tables
-- of days that are not over.

-- What is stated is received when every account that is paid for the day has it.
UPDATE margins SET revenue_basis = 'received'
WHERE revenue_basis = 'stated' AND (
  SELECT bool_and(d.received) FROM paid_days d
  WHERE d.site = margins.site AND d.start_utc <= margins.start_utc AND margins.start_utc < d.end_utc
);

-- Margins, one row a use.
CREATE TEMP TABLE uses AS
SELECT m.site, m.start_utc, m.local_day, m.currency, u.*, CAST(m.estimated AS BIGINT) AS estimated,
  CASE WHEN u.use IN ('mining', 'site') THEN list_position(['estimated', 'stated', 'received'], m.revenue_basis) END AS basis
FROM margins m, LATERAL (VALUES
  ('mining', mining_energy_milliwatt_hours, mining_revenue, mining_cost, mining_margin),
  ('ai', ai_energy_milliwatt_hours, ai_revenue, ai_cost, ai_margin),
  ('overhead', overhead_energy_milliwatt_hours, overhead_revenue, overhead_cost, overhead_margin),
  ('site', site_energy_milliwatt_hours, CAST(mining_revenue + ai_revenue AS DECIMAL(28,10)), site_cost, site_margin)
) u(use, energy, revenue, cost, margin);

INSERT INTO margins_by_hour
SELECT u.site, date_trunc('hour', u.start_utc) AS hour, timezone(any_value(s.zone), timezone('UTC', hour)), u.local_day, u.use, u.currency,
  CAST(sum(u.energy) AS BIGINT), sum(u.revenue), sum(u.cost), sum(u.margin), count(*), count(*) - count(u.margin), CAST(sum(u.estimated) AS BIGINT),
  ['estimated', 'stated', 'received'][min(u.basis)]
FROM uses u JOIN site_zones s USING (site)
GROUP BY u.site, hour, u.local_day, u.use, u.currency
ORDER BY u.site, hour, u.use;

INSERT INTO margins_by_day
SELECT site, local_day, use, currency,
  CAST(sum(energy) AS BIGINT), sum(revenue), sum(cost), sum(margin), count(*), count(*) - count(margin), CAST(sum(estimated) AS BIGINT),
  ['estimated', 'stated', 'received'][min(basis)]
FROM uses
GROUP BY site, local_day, use, currency
ORDER BY site, local_day, use;

DROP TABLE uses;

INSERT INTO margins_by_customer
WITH earned AS (
  SELECT site, customer, local_day, currency, sum(amount) AS revenue, count(*) - count(amount) AS unknown
  FROM accruals GROUP BY site, customer, local_day, currency
), used AS (
  SELECT site, customer, local_day, any_value(currency) AS currency, CAST(sum(gpu_milliseconds) AS BIGINT) AS gpu,
    CAST(sum(energy_milliwatt_hours) AS BIGINT) AS energy, sum(energy_cost) AS cost
  FROM usage GROUP BY site, customer, local_day
)
SELECT COALESCE(e.site, u.site), COALESCE(e.customer, u.customer), COALESCE(e.local_day, u.local_day),
  COALESCE(e.currency, u.currency), e.revenue, u.gpu, u.energy, u.cost, CAST(e.revenue - u.cost AS DECIMAL(38,10)), COALESCE(e.unknown, 0)
FROM earned e FULL JOIN used u ON u.site = e.site AND u.customer = e.customer AND u.local_day = e.local_day AND u.currency = e.currency
ORDER BY ALL;

-- What is left of the use ai, so that customers add up to it.
INSERT INTO margins_by_customer
WITH allocated AS (
  SELECT site, local_day, currency, sum(revenue) AS revenue, sum(energy_milliwatt_hours) AS energy, sum(energy_cost) AS cost, sum(margin) AS margin
  FROM margins_by_customer GROUP BY site, local_day, currency
), rest AS (
  SELECT m.site, m.local_day, m.currency, m.revenue - COALESCE(a.revenue, 0) AS revenue, m.energy_milliwatt_hours - COALESCE(a.energy, 0) AS energy,
    m.energy_cost - COALESCE(a.cost, 0) AS cost, m.margin - COALESCE(a.margin, 0) AS margin
  FROM margins_by_day m LEFT JOIN allocated a USING (site, local_day, currency)
  WHERE m.use = 'ai'
)
SELECT site, '(unallocated)', local_day, currency, CAST(revenue AS DECIMAL(38,10)), NULL, CAST(energy AS BIGINT), CAST(cost AS DECIMAL(38,10)), CAST(margin AS DECIMAL(38,10)), 0
FROM rest
WHERE revenue <> 0 OR energy <> 0 OR cost <> 0 OR margin <> 0
ORDER BY site, local_day;

INSERT INTO margins_by_device_class
SELECT p.site, p.model, p.local_day, any_value(p.currency), sum(p.share_difficulty), sum(p.revenue),
  CAST(sum(p.energy_milliwatt_hours) AS BIGINT), sum(p.energy_cost), CAST(sum(p.revenue) - sum(p.energy_cost) AS DECIMAL(38,10)),
  CAST(sum(p.intervals) AS BIGINT), CAST(sum(p.unknown_intervals) AS BIGINT)
FROM class_pieces p
GROUP BY p.site, p.model, p.local_day
ORDER BY p.site, p.model, p.local_day;

INSERT INTO device_days
SELECT p.site, p.device, any_value(p.kind), any_value(p.model), any_value(p.use), p.local_day,
  CAST(sum(p.energy_milliwatt_hours) AS BIGINT), sum(p.hashes), sum(p.share_difficulty), CAST(sum(p.gpu_milliseconds) AS BIGINT),
  CAST(sum(p.intervals) AS BIGINT), CAST(sum(p.estimated_intervals) AS BIGINT), CAST(sum(p.unknown_intervals) AS BIGINT)
FROM device_pieces p
GROUP BY p.site, p.device, p.local_day
ORDER BY p.site, p.device, p.local_day;
