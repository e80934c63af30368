-- What each customer was billed for a month, notes included, and how much of it was committed beforehand.
-- param month (month): billing period; without it the last one that is closed
WITH lines AS (
  SELECT number, sum(amount) FILTER (fixed) AS committed, sum(amount) FILTER (NOT fixed) AS by_use
  FROM (SELECT number, amount, kind LIKE 'reserved-%' AND unit LIKE '%-month' OR kind IN ('fixed', 'minimum', 'commitment') AS fixed FROM invoice_lines)
  GROUP BY number
), noted AS (
  SELECT corrects AS number, sum(subtotal) AS subtotal, sum(tax_amount) AS tax_amount, sum(total) AS total FROM credit_notes GROUP BY corrects
)
SELECT
  i.customer_name,
  i.number, -- of the invoice
  CAST(COALESCE(l.committed, 0) AS DECIMAL(22,3)) AS committed, -- due whatever was used
  CAST(COALESCE(l.by_use, 0) AS DECIMAL(22,3)) AS by_use,
  i.subtotal, -- of the invoice
  CAST(COALESCE(n.subtotal, 0) AS DECIMAL(22,3)) AS notes, -- before tax, of its credit and debit notes, whenever they were issued
  CAST(i.subtotal + COALESCE(n.subtotal, 0) AS DECIMAL(22,3)) AS net, -- invoice and notes, before tax
  CAST(i.tax_amount + COALESCE(n.tax_amount, 0) AS DECIMAL(22,3)) AS tax_amount, -- of both
  CAST(i.total + COALESCE(n.total, 0) AS DECIMAL(22,3)) AS total, -- of both, with tax
  i.currency
FROM invoices i LEFT JOIN lines l USING (number) LEFT JOIN noted n USING (number)
WHERE i.period = COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods))
  AND i.number NOT IN (SELECT number FROM voided_invoices)
ORDER BY net DESC, i.number;
