-- What customers owe, invoice by invoice, and how long it is overdue.
-- param day (day): day on which it is looked at; without it the day of the last event
WITH looked AS (
  SELECT *, COALESCE(CAST(getvariable('day') AS DATE), known_day) AS day FROM receivables_ageing
), aged AS (
  SELECT *, greatest(date_diff('day', due_day, day), 0) AS overdue FROM looked WHERE issued_day <= day AND open_amount <> 0
)
SELECT
  customer_name,
  number, -- of the invoice
  issued_day,
  due_day,
  open_amount,
  currency,
  day AS looked_at, -- day on which it is looked at
  overdue AS days_overdue,
  CASE WHEN overdue = 0 THEN 'not due' WHEN overdue <= 30 THEN '1-30 days' WHEN overdue <= 60 THEN '31-60 days'
    WHEN overdue <= 90 THEN '61-90 days' ELSE 'over 90 days' END AS bucket
FROM aged
ORDER BY due_day, number;
