-- The trial balance: what each account of the books holds, as wattbook journal balance shows it.
-- param day (day): up to this day at the site; without it all of them, and those that are pending
SELECT
  site,
  account,
  CAST(sum(amount) AS DECIMAL(38,10)) AS balance, -- positive: debit
  commodity,
  CAST(sum(value) AS DECIMAL(38,10)) AS value, -- of bitcoin, its cost; the values in a currency sum to zero
  value_currency,
  CAST(sum(value) FILTER (pending) AS DECIMAL(38,10)) AS pending -- part of the value that may change until its period is closed
FROM journal
WHERE local_day <= COALESCE(CAST(getvariable('day') AS DATE), local_day)
GROUP BY ALL
HAVING balance <> 0
ORDER BY site, account, commodity;
