-- The days of a month on which the pool's figures need a person's attention.
-- param month (month): month of the pool's days, which are UTC; without it the last one that is closed
SELECT
  site,
  earning_day, -- of the pool: UTC
  pool, -- the pool
  account, -- the account at it
  expected_satoshi,
  stated_satoshi,
  received_satoshi,
  difference_satoshi,
  percent(difference_satoshi, expected_satoshi) AS difference_percent,
  finding
FROM pool_days
WHERE finding IS NOT NULL
  AND strftime(earning_day, '%Y-%m') = COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods))
ORDER BY site, earning_day, pool, account;
