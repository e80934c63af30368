-- What customers had been served up to a day and not been invoiced for by then.
-- param day (day): last local day that counts; without it the last day that anything is known of
WITH chosen AS (
  SELECT COALESCE(CAST(getvariable('day') AS DATE), (SELECT max(local_day) FROM accruals)) AS day
), signed AS (
  SELECT DISTINCT contract, customer, currency FROM contracts
), earned AS ( -- interval by interval; what is rated over a period is in the books only
  SELECT a.contract, a.customer, a.currency, count(*) - count(a.amount) AS unknown, max(a.local_day) AS last_day
  FROM accruals a, chosen
  WHERE a.local_day <= chosen.day
    AND NOT EXISTS (SELECT 1 FROM invoices i WHERE i.contract = a.contract AND i.issued_day <= chosen.day AND a.start_utc >= i.start_utc AND a.end_utc <= i.end_utc)
  GROUP BY a.contract, a.customer, a.currency
), booked AS ( -- the books' account of the contract, rounded as they are
  SELECT account, commodity, sum(amount) AS balance, max(local_day) AS last_day FROM journal, chosen
  WHERE local_day <= chosen.day AND starts_with(account, 'Assets:ContractAsset:Unbilled:') GROUP BY ALL
)
SELECT
  customer,
  contract,
  CAST(COALESCE(balance, 0) AS DECIMAL(28,3)) AS unbilled, -- before tax and less the service credits expected, as in the books
  currency,
  COALESCE(earned.last_day, booked.last_day) AS last_day, -- of service in it
  COALESCE(unknown, 0) AS unknown -- charges of intervals that are not in the sum, since a price or a meter is not known
FROM signed LEFT JOIN earned USING (contract, customer, currency) LEFT JOIN booked ON commodity = currency
  AND account = 'Assets:ContractAsset:Unbilled:' || upper(contract[1]) || replace(replace(regexp_replace(contract[2:], '[^a-zA-Z0-9_.]', '-', 'g'), '_', '--'), '.', '---')
WHERE earned.contract IS NOT NULL OR balance <> 0
ORDER BY customer, contract;
