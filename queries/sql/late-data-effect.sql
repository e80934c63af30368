-- What invoices of a month would come to with all that is known now, beside what was issued: the effect of late data.
-- param month (month): billing period; without it the last one that is closed
WITH now AS (
  SELECT i.number, a.contract, sum(a.amount) AS amount, count(*) - count(a.amount) AS unknown
  FROM invoices i JOIN accruals a ON a.contract = i.contract AND a.start_utc >= i.start_utc AND a.end_utc <= i.end_utc
  GROUP BY ALL
)
SELECT
  i.customer_name,
  i.number,
  i.subtotal AS issued, -- before tax
  round(n.amount, 2) AS now, -- lines are rounded once each on an invoice, and here once in all
  now - issued AS effect, -- a cent or two is rounding
  (SELECT count(*) FROM readings r WHERE r.books AND r.site = i.site AND r.position >= i.as_of_position AND r.start_utc < i.end_utc AND r.end_utc > i.start_utc) AS later_readings,
  i.currency
FROM invoices i JOIN now n USING (number)
WHERE i.period = COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods))
ORDER BY i.number;
