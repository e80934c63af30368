-- What each pool day should earn, computed again from readings, difficulty and fees, beside what was reconciled.
-- param month (month): month of the pool's days, which are UTC; without it the last one that is closed
-- All of it is integer arithmetic, in millionths of a satoshi until the last
-- step, which rounds down as pools pay: (1 - fee) x work / difficulty x (subsidy + fees per block).
WITH accounts AS (
  SELECT site, pool, pool_account AS account, CAST((1 - pool_fee_portion) * 10000000000 AS HUGEINT) AS keep_e10
  FROM sites WHERE pool_scheme = 'fpps'
), days AS (
  SELECT d.*, a.keep_e10
  FROM pool_days d JOIN accounts a USING (site, pool, account)
  WHERE strftime(d.earning_day, '%Y-%m') = COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods))
), work AS ( -- accepted by all miners, interval by interval, in units of 10^-8
  SELECT site, start_utc, end_utc, sum(CAST(value AS HUGEINT)) AS shares
  FROM booked_values WHERE channel = 'shares.accepted'
  GROUP BY ALL
), epochs AS (
  SELECT start_utc, lead(start_utc, 1, TIMESTAMP '9999-01-01') OVER (ORDER BY start_utc) AS end_utc,
    CAST(difficulty * 100000000 AS HUGEINT) AS difficulty_e8, CAST(subsidy_satoshi AS HUGEINT) AS subsidy
  FROM difficulty
  QUALIFY row_number() OVER (PARTITION BY height ORDER BY position DESC) = 1
), done AS ( -- an interval in which the difficulty changes is split by time
  SELECT d.site, d.pool, d.account, d.earning_day, d.keep_e10, d.start_utc AS day_start, e.difficulty_e8, e.subsidy,
    sum(w.shares * (epoch_us(least(w.end_utc, e.end_utc)) - epoch_us(w.start_utc)) // (epoch_us(w.end_utc) - epoch_us(w.start_utc))
      - w.shares * (epoch_us(greatest(w.start_utc, e.start_utc)) - epoch_us(w.start_utc)) // (epoch_us(w.end_utc) - epoch_us(w.start_utc))) AS shares
  FROM days d
  JOIN work w ON w.site = d.site AND w.start_utc >= d.start_utc AND w.end_utc <= d.end_utc
  JOIN epochs e ON e.start_utc < w.end_utc AND e.end_utc > w.start_utc
  GROUP BY ALL
), fees AS (
  SELECT start_utc, CAST(fees_satoshi AS HUGEINT) AS fees, blocks
  FROM block_fees
  QUALIFY row_number() OVER (PARTITION BY start_utc ORDER BY position DESC) = 1
), earned AS (
  SELECT d.site, d.pool, d.account, d.earning_day, d.keep_e10,
    sum(d.shares * quotient((d.subsidy * f.blocks + f.fees) * 1000000, f.blocks) // d.difficulty_e8) AS satoshi_e6
  FROM done d ASOF JOIN fees f ON d.day_start >= f.start_utc
  GROUP BY ALL
)
SELECT
  d.earning_day, -- of the pool: UTC
  CAST(e.satoshi_e6 * e.keep_e10 // 10000000000000000 AS BIGINT) AS computed_satoshi, -- again
  d.expected_satoshi,
  d.received_satoshi,
  computed_satoshi = d.expected_satoshi AS same -- to the satoshi
FROM days d JOIN earned e USING (site, pool, account, earning_day)
ORDER BY d.earning_day, d.pool, d.account;
