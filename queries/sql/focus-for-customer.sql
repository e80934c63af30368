-- The FOCUS cost-and-usage rows of a customer for a month, notes included, to be handed over as they are (-o rows.parquet).
-- param customer (text): customer; without it all of them
-- param month (month): billing period, which of a note is the month of its issue; without it the last one that is closed
SELECT f.* EXCLUDE (x_Position)
FROM focus_cost_and_usage f JOIN (
  SELECT number, period FROM invoices WHERE number NOT IN (SELECT number FROM voided_invoices)
  UNION ALL
  SELECT number, strftime(issued_day, '%Y-%m') FROM credit_notes
) d ON d.number = f.InvoiceId
WHERE d.period = COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods))
  AND f.BillingAccountId = COALESCE(getvariable('customer'), f.BillingAccountId)
ORDER BY f.InvoiceId, f.InvoiceDetailId;
