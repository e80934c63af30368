-- What the publisher computes from tables into tables. Views would do, but
-- clients of DuckDB 1.1 do not find the tables that a view of an attached file
-- names.

INSERT INTO power_prices
SELECT position, node, currency, start_utc, end_utc, price_per_megawatt_hour, price_as_published, source, recorded_utc, evidence
FROM power_price_history
QUALIFY row_number() OVER (PARTITION BY node, currency, start_utc, end_utc ORDER BY position DESC, row DESC) = 1
ORDER BY ALL;

INSERT INTO bitcoin_prices
SELECT position, currency, start_utc, end_utc, price_per_bitcoin, price_as_published, source, recorded_utc, evidence
FROM bitcoin_price_history
QUALIFY row_number() OVER (PARTITION BY currency, start_utc, end_utc ORDER BY position DESC, row DESC) = 1
ORDER BY ALL;

INSERT INTO prices
SELECT position, 'power', node, currency, start_utc, end_utc, price_per_megawatt_hour, 'MWh', price_as_published, source, recorded_utc, evidence
FROM power_prices
UNION ALL
SELECT position, 'bitcoin', NULL, currency, start_utc, end_utc, price_per_bitcoin, 'BTC', price_as_published, source, recorded_utc, evidence
FROM bitcoin_prices;

-- What is stated is received when every account that is paid for the day has it.
UPDATE margins SET revenue_basis = 'received'
WHERE revenue_basis = 'stated' AND (
  SELECT bool_and(d.revenue_basis = 'received') FROM pool_days d
  WHERE d.site = margins.site AND d.start_utc <= margins.start_utc AND margins.start_utc < d.end_utc
);

-- Margins, one row a use.
CREATE TEMP TABLE uses AS
SELECT m.position, m.site, m.start_utc, m.local_day, m.currency, u.*, CAST(m.estimated AS BIGINT) AS estimated,
  CASE WHEN u.use IN ('mining', 'site') THEN list_position(['estimated', 'stated', 'received'], m.revenue_basis) END AS basis
FROM margins m, LATERAL (VALUES
  ('mining', mining_energy_milliwatt_hours, mining_revenue, mining_cost, mining_margin),
  ('ai', ai_energy_milliwatt_hours, ai_revenue, ai_cost, ai_margin),
  ('overhead', overhead_energy_milliwatt_hours, overhead_revenue, overhead_cost, overhead_margin),
  ('site', site_energy_milliwatt_hours, CAST(mining_revenue + ai_revenue AS DECIMAL(28,10)), site_cost, site_margin)
) u(use, energy, revenue, cost, margin);

INSERT INTO margins_by_hour
SELECT max(u.position), u.site, date_trunc('hour', u.start_utc) AS hour, timezone(any_value(s.zone), timezone('UTC', hour)), min(u.local_day), u.use, u.currency,
  CAST(sum(u.energy) AS BIGINT), sum(u.revenue), sum(u.cost), sum(u.margin), count(*), count(*) - count(u.margin), CAST(sum(u.estimated) AS BIGINT),
  ['estimated', 'stated', 'received'][min(u.basis)]
FROM uses u JOIN sites s USING (site)
GROUP BY u.site, hour, u.use, u.currency
ORDER BY u.site, hour, u.use;

INSERT INTO margins_by_day
SELECT max(position), site, local_day, use, currency,
  CAST(sum(energy) AS BIGINT), sum(revenue), sum(cost), sum(margin), count(*), count(*) - count(margin), CAST(sum(estimated) AS BIGINT),
  ['estimated', 'stated', 'received'][min(basis)]
FROM uses
GROUP BY site, local_day, use, currency
ORDER BY site, local_day, use;

INSERT INTO margins_by_month
SELECT max(position), site, strftime(local_day, '%Y-%m') AS month, use, currency,
  CAST(sum(energy_milliwatt_hours) AS BIGINT), sum(revenue), sum(energy_cost), sum(margin),
  CAST(sum(intervals) AS BIGINT), CAST(sum(unknown_intervals) AS BIGINT), CAST(sum(estimated_intervals) AS BIGINT),
  ['estimated', 'stated', 'received'][min(list_position(['estimated', 'stated', 'received'], revenue_basis))]
FROM margins_by_day
GROUP BY site, month, use, currency
ORDER BY site, month, use;

DROP TABLE uses;

INSERT INTO margins_by_customer
WITH earned AS (
  SELECT max(position) AS position, site, customer, local_day, currency, sum(amount) AS revenue, count(*) - count(amount) AS unknown
  FROM accruals GROUP BY site, customer, local_day, currency
), used AS (
  SELECT max(position) AS position, site, customer, local_day, any_value(currency) AS currency, CAST(sum(gpu_milliseconds) AS BIGINT) AS gpu,
    CAST(sum(energy_milliwatt_hours) AS BIGINT) AS energy, sum(energy_cost) AS cost
  FROM usage GROUP BY site, customer, local_day
)
SELECT COALESCE(e.position, u.position), COALESCE(e.site, u.site), COALESCE(e.customer, u.customer), COALESCE(e.local_day, u.local_day),
  COALESCE(e.currency, u.currency), e.revenue, u.gpu, u.energy, u.cost, CAST(e.revenue - u.cost AS DECIMAL(38,10)), COALESCE(e.unknown, 0)
FROM earned e FULL JOIN used u ON u.site = e.site AND u.customer = e.customer AND u.local_day = e.local_day AND u.currency = e.currency
ORDER BY ALL;

INSERT INTO margins_by_device_class
SELECT max(position), p.site, p.model, p.local_day, any_value(s.currency), sum(p.share_difficulty), sum(p.revenue),
  CAST(sum(p.energy_milliwatt_hours) AS BIGINT), sum(p.energy_cost), CAST(sum(p.revenue) - sum(p.energy_cost) AS DECIMAL(38,10)),
  CAST(sum(p.intervals) AS BIGINT), CAST(sum(p.unknown_intervals) AS BIGINT)
FROM class_pieces p JOIN (SELECT site, currency FROM sites) s USING (site)
GROUP BY p.site, p.model, p.local_day
ORDER BY p.site, p.model, p.local_day;

INSERT INTO device_days
SELECT max(p.position), p.site, p.device, any_value(d.kind), any_value(d.model), any_value(d.use), p.local_day,
  CAST(sum(p.energy_milliwatt_hours) AS BIGINT), sum(p.hashes), sum(p.share_difficulty), CAST(sum(p.gpu_milliseconds) AS BIGINT),
  CAST(sum(p.intervals) AS BIGINT), CAST(sum(p.estimated_intervals) AS BIGINT), CAST(sum(p.unknown_intervals) AS BIGINT)
FROM device_pieces p JOIN (SELECT site, device, kind, model, use FROM devices) d USING (site, device)
GROUP BY p.site, p.device, p.local_day
ORDER BY p.site, p.device, p.local_day;

DROP TABLE device_pieces;

DROP TABLE class_pieces;

INSERT INTO receivables_ageing
WITH noted AS (
  SELECT corrects AS number, sum(total) AS amount FROM credit_notes GROUP BY 1
), arrived AS (
  SELECT number, sum(amount) AS amount FROM payments WHERE kind IN ('payment', 'reversal') GROUP BY 1
), owed AS (
  SELECT i.*, CAST(COALESCE(n.amount, 0) AS DECIMAL(22,3)) AS notes, CAST(COALESCE(p.amount, 0) AS DECIMAL(22,3)) AS paid, v.number IS NOT NULL AS voided,
    CAST(CASE WHEN voided THEN -paid ELSE i.total + notes - paid END AS DECIMAL(22,3)) AS open_amount
  FROM invoices i LEFT JOIN noted n USING (number) LEFT JOIN arrived p USING (number) LEFT JOIN (SELECT DISTINCT number FROM voided_invoices) v USING (number)
)
SELECT o.position, o.number, o.site, o.contract, o.customer, o.customer_name, o.issued_day, o.due_day, o.currency, o.total, o.notes, o.paid, o.voided, o.open_amount,
  k.day, date_diff('day', o.due_day, k.day) AS days,
  CASE WHEN o.open_amount <= 0 THEN 'settled' WHEN days <= 0 THEN 'not due' WHEN days <= 30 THEN '1-30 days' WHEN days <= 60 THEN '31-60 days'
    WHEN days <= 90 THEN '61-90 days' ELSE 'over 90 days' END
FROM owed o, (SELECT CAST(known_utc AS DATE) AS day FROM published) k
ORDER BY o.position;

INSERT INTO focus_invoice_detail
WITH documents AS (
  SELECT number, customer, customer_name, currency, start_utc, end_utc, issued_day, due_day, 'invoice' AS kind, NULL AS corrects, position FROM invoices
  UNION ALL
  SELECT number, customer, customer_name, currency, NULL, NULL, issued_day, due_day, kind, corrects, position FROM credit_notes
), billed AS (
  SELECT InvoiceId, any_value(InvoiceIssuerName) AS issuer, any_value(BillingPeriodStart) AS start_utc, any_value(BillingPeriodEnd) AS end_utc, sum(BilledCost) AS cost
  FROM focus_cost_and_usage GROUP BY InvoiceId
)
SELECT d.number, b.issuer, d.customer, d.customer_name, d.currency, COALESCE(b.start_utc, d.start_utc), COALESCE(b.end_utc, d.end_utc), d.issued_day, d.due_day,
  CAST(COALESCE(b.cost, 0) AS DECIMAL(22,3)), d.kind, d.corrects, d.position
FROM documents d LEFT JOIN billed b ON b.InvoiceId = d.number
WHERE d.kind = 'invoice' OR b.cost IS NOT NULL
ORDER BY d.position;
