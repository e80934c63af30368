-- The FOCUS invoice-detail rows of a month: a row a line of its invoices, and of the notes that were issued in it.
-- param customer (text): customer; without it all of them
-- param month (month): billing period, which of a note is the month of its issue; without it the last one that is closed
SELECT f.* EXCLUDE (x_Position)
FROM focus_invoice_detail f JOIN (
  SELECT number, period FROM invoices WHERE number NOT IN (SELECT number FROM voided_invoices)
  UNION ALL
  SELECT number, strftime(issued_day, '%Y-%m') FROM credit_notes
) d ON d.number = f.InvoiceId
WHERE d.period = COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods))
  AND f.BillingAccountId = COALESCE(getvariable('customer'), f.BillingAccountId)
ORDER BY f.InvoiceId, f.InvoiceDetailId;
