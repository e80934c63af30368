-- What customers had been served up to a day and not been invoiced for by then.
-- param day (day): last local day that counts; without it the last day that anything is known of
WITH chosen AS (
  SELECT COALESCE(CAST(getvariable('day') AS DATE), (SELECT max(local_day) FROM accruals)) AS day
), earned AS (
  SELECT a.contract, a.customer, a.currency, sum(a.amount) AS amount, count(*) - count(a.amount) AS unknown, max(a.local_day) AS last_day
  FROM accruals a, chosen
  WHERE a.local_day <= chosen.day
    AND NOT EXISTS (SELECT 1 FROM invoices i WHERE i.contract = a.contract AND i.issued_day <= chosen.day AND a.start_utc >= i.start_utc AND a.end_utc <= i.end_utc)
  GROUP BY a.contract, a.customer, a.currency
)
SELECT
  customer,
  contract,
  round(amount, 2) AS unbilled, -- before tax
  currency,
  last_day, -- of service in it
  unknown -- charges of intervals that are not in the sum, since a price or a meter is not known
FROM earned
ORDER BY customer, contract;
