-- The FOCUS cost-and-usage rows of a customer for a month, notes and prepayments included (-o rows.parquet).
-- param customer (text): customer; without it all of them
-- param month (month): billing period, which of a note is the month of its issue, and of a prepayment that of its arrival; without it the last one that is closed
SELECT f.* EXCLUDE (x_Position)
FROM focus_cost_and_usage f LEFT JOIN (
  SELECT number, period FROM invoices WHERE number NOT IN (SELECT number FROM voided_invoices)
  UNION ALL
  SELECT number, strftime(issued_day, '%Y-%m') FROM credit_notes
) d ON d.number = f.InvoiceId
WHERE COALESCE(d.period, CASE WHEN f.InvoiceId IS NULL THEN strftime(f.BillingPeriodStart + INTERVAL 1 DAY, '%Y-%m') END) -- a month begins within a day in UTC
    = COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods))
  AND f.BillingAccountId = COALESCE(getvariable('customer'), f.BillingAccountId)
ORDER BY f.InvoiceId, f.InvoiceDetailId, f.CapacityReservationStatus, f.x_LogPosition;
