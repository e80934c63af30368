-- What invoices of a month would come to with all that is known now, beside what was issued: the effect of late data.
-- param month (month): billing period; without it the last one that is closed
WITH now AS (
  SELECT i.number, a.contract, sum(a.amount) AS amount, count(*) - count(a.amount) AS unknown
  FROM invoices i JOIN accruals a ON a.contract = i.contract AND a.start_utc >= i.start_utc AND a.end_utc <= i.end_utc
  GROUP BY ALL
), noted AS (
  SELECT corrects AS number, sum(subtotal) AS amount FROM credit_notes GROUP BY ALL
)
SELECT
  i.customer_name,
  i.number,
  i.subtotal AS issued, -- before tax
  CAST(COALESCE(c.amount, 0) AS DECIMAL(22,3)) AS notes, -- before tax, of its credit and debit notes
  round(n.amount, 2) AS now, -- lines are rounded once each on an invoice, and here once in all
  now - issued - notes AS effect, -- what no note has corrected yet; a cent or two is rounding
  (SELECT count(*) FROM readings r WHERE r.books AND r.site = i.site AND r.position >= i.as_of_position AND r.start_utc < i.end_utc AND r.end_utc > i.start_utc) AS later_readings,
  i.currency
FROM invoices i JOIN now n USING (number) LEFT JOIN noted c USING (number)
WHERE i.period = COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods))
  AND i.number NOT IN (SELECT number FROM voided_invoices)
ORDER BY i.number;
