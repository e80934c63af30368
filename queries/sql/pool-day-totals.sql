-- What each pool day should earn, computed again from readings, difficulty and fees, beside what was reconciled.
-- param month (month): month of the pool's days, which are UTC; without it the last one that is closed
-- All of it is integer arithmetic, in millionths of a satoshi until the last
-- step, which rounds down as pools pay: (1 - fee) x work / difficulty x (subsidy + fees per block).
WITH terms AS (
  SELECT site, pool, account, start_utc, COALESCE(end_utc, TIMESTAMP '9999-01-01') AS end_utc,
    CAST((1 - fee_portion) * 10000000000 AS HUGEINT) AS keep_e10, scheme <> 'pps' AS pays_fees
  FROM pool_terms
), days AS (
  SELECT * FROM pool_days
  WHERE strftime(earning_day, '%Y-%m') = COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods))
), work AS ( -- accepted by the miners of an account, interval by interval, in units of 10^-8
  SELECT m.site, m.pool, m.account, v.start_utc, v.end_utc, sum(CAST(v.value AS HUGEINT)) AS shares
  FROM booked_values v JOIN pool_miners m USING (site, device)
  WHERE v.channel = 'shares.accepted'
  GROUP BY ALL
), epochs AS (
  SELECT start_utc, lead(start_utc, 1, TIMESTAMP '9999-01-01') OVER (ORDER BY start_utc) AS end_utc,
    CAST(difficulty * 100000000 AS HUGEINT) AS difficulty_e8, CAST(subsidy_satoshi AS HUGEINT) AS subsidy
  FROM difficulty
  QUALIFY row_number() OVER (PARTITION BY height ORDER BY position DESC) = 1
), done AS ( -- an interval in which the difficulty or the terms change is split by time
  SELECT d.site, d.pool, d.account, d.earning_day, d.start_utc AS day_start, t.keep_e10, t.pays_fees, e.difficulty_e8, e.subsidy,
    sum(w.shares * (epoch_us(least(w.end_utc, e.end_utc, t.end_utc)) - epoch_us(w.start_utc)) // (epoch_us(w.end_utc) - epoch_us(w.start_utc))
      - w.shares * (epoch_us(greatest(w.start_utc, e.start_utc, t.start_utc)) - epoch_us(w.start_utc)) // (epoch_us(w.end_utc) - epoch_us(w.start_utc))) AS shares
  FROM days d
  JOIN work w ON w.site = d.site AND w.pool = d.pool AND w.account = d.account AND w.start_utc >= d.start_utc AND w.end_utc <= d.end_utc
  JOIN terms t ON t.site = d.site AND t.pool = d.pool AND t.account = d.account AND t.start_utc < w.end_utc AND t.end_utc > w.start_utc
  JOIN epochs e ON e.start_utc < least(w.end_utc, t.end_utc) AND e.end_utc > greatest(w.start_utc, t.start_utc)
  GROUP BY ALL
), fees AS (
  SELECT start_utc, CAST(fees_satoshi AS HUGEINT) AS fees, blocks
  FROM block_fees
  QUALIFY row_number() OVER (PARTITION BY start_utc ORDER BY position DESC) = 1
), earned AS (
  SELECT d.site, d.pool, d.account, d.earning_day,
    sum((d.shares * quotient((d.subsidy * f.blocks + if(d.pays_fees, f.fees, 0)) * 1000000, f.blocks) // d.difficulty_e8) * d.keep_e10) AS satoshi_e16
  FROM done d ASOF JOIN fees f ON d.day_start >= f.start_utc
  GROUP BY ALL
)
SELECT
  d.site,
  d.earning_day, -- of the pool: UTC
  d.pool, -- the pool
  d.account, -- the account at it
  CAST(e.satoshi_e16 // 10000000000000000 AS BIGINT) AS computed_satoshi, -- again
  d.expected_satoshi,
  d.received_satoshi,
  computed_satoshi = d.expected_satoshi AS same -- to the satoshi
FROM days d JOIN earned e USING (site, pool, account, earning_day)
ORDER BY d.site, d.earning_day, d.pool, d.account;
