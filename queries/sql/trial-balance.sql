-- The trial balance: what each account of the books holds, as wattbook journal balance shows it.
-- param day (day): up to this day at the site; without it all of them, and those that are pending
WITH balances AS (
  SELECT site, account, commodity, value_currency, sum(amount) AS balance, sum(value) AS value, sum(value) FILTER (pending) AS pending
  FROM journal
  WHERE local_day <= COALESCE(CAST(getvariable('day') AS DATE), local_day)
  GROUP BY ALL
  HAVING balance <> 0
), lines AS (
  SELECT site, account, value, value_currency, CASE WHEN commodity = 'BTC' THEN CAST(balance AS DECIMAL(38,8)) END AS bitcoin, pending, false AS last FROM balances
  UNION ALL
  SELECT site, 'sum', sum(value), value_currency, NULL, sum(pending), true FROM balances GROUP BY ALL
)
SELECT
  site,
  account, -- and last the sum of all
  round(value, 2) AS value, -- positive: debit; of bitcoin, what it cost; they sum to zero
  value_currency AS currency,
  bitcoin, -- that the account holds
  round(pending, 2) AS of_open_periods -- part of the value that is of periods which are not closed yet, and may change until they are
FROM lines
ORDER BY site, last, account, value_currency, bitcoin;
