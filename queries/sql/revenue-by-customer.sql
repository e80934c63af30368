-- What each customer was billed for a month, and how much of it was committed beforehand.
-- param month (month): billing period; without it the last one that is closed
SELECT
  i.customer_name,
  i.number, -- of the invoice
  sum(l.amount) FILTER (l.kind LIKE 'reserved-%' AND l.unit LIKE '%-month' OR l.kind IN ('fixed', 'minimum', 'commitment')) AS committed, -- due whatever was used
  sum(l.amount) FILTER (NOT (l.kind LIKE 'reserved-%' AND l.unit LIKE '%-month' OR l.kind IN ('fixed', 'minimum', 'commitment'))) AS by_use,
  i.subtotal,
  i.tax_amount,
  i.total,
  i.currency
FROM invoices i JOIN invoice_lines l USING (number)
WHERE i.period = COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods))
  AND i.number NOT IN (SELECT number FROM voided_invoices)
GROUP BY ALL
ORDER BY i.subtotal DESC, i.number;
