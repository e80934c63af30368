-- The FOCUS rows of a customer for a billing period, to be handed over as they are.
-- param customer (text): customer; without it all of them
-- param month (month): billing period; without it the last one that is closed
SELECT f.*
FROM focus_cost_and_usage f JOIN invoices i ON i.number = f.InvoiceId
WHERE i.period = COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods))
  AND f.BillingAccountId = COALESCE(getvariable('customer'), f.BillingAccountId)
ORDER BY f.InvoiceId, f.InvoiceDetailId;
