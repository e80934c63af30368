-- How much of what each invoice line bills rests on estimates.
-- param month (month): billing period; without it the last one that is closed
SELECT
  i.customer_name,
  l.number,
  l.line,
  l.description,
  l.quantity,
  l.unit,
  l.estimated_quantity,
  percent(CAST(l.estimated_quantity * 10000000000 AS HUGEINT), CAST(l.quantity * 10000000000 AS HUGEINT)) AS estimated_percent
FROM invoice_lines l JOIN invoices i USING (number)
WHERE i.period = COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods))
  AND i.number NOT IN (SELECT number FROM voided_invoices)
ORDER BY l.number, l.line;
