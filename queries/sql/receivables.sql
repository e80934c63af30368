-- What customers owe, invoice by invoice, and how long it is overdue.
-- param day (day): day at whose end it is looked at, counting what bears a date up to it; without it all that is known, on the day of the last event
SELECT
  customer_name,
  number, -- of the invoice
  issued_day,
  due_day,
  open_amount, -- with notes, less what was paid; negative: owed to the customer
  currency,
  looked_at, -- day on which it is looked at
  days_overdue,
  bucket
FROM receivables_on(CAST(getvariable('day') AS DATE))
WHERE open_amount <> 0
ORDER BY due_day, number;
