-- What each pool should have paid for a month's work, what arrived, and every satoshi of the difference by its cause.
-- param month (month): month of the pool's days, which are UTC; without it the last one that is closed
WITH days AS (
  SELECT * FROM pool_days
  WHERE strftime(earning_day, '%Y-%m') = COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods))
), rows AS (
  SELECT 1 AS line, 'expected from own accepted work' AS item, sum(expected_satoshi) AS satoshi, site, pool, account FROM days GROUP BY ALL
  UNION ALL SELECT 2, 'less: work that the pool does not credit', -sum(work_not_credited_bridge_satoshi), site, pool, account FROM days GROUP BY ALL
  UNION ALL SELECT 3, 'less: fees per block, expected against paid', -sum(fee_window_bridge_satoshi), site, pool, account FROM days GROUP BY ALL
  UNION ALL SELECT 4, 'less: pool fee, agreed against taken', -sum(pool_fee_bridge_satoshi), site, pool, account FROM days GROUP BY ALL
  UNION ALL SELECT 5, 'less: bonuses and deductions', -sum(bonus_or_other_bridge_satoshi), site, pool, account FROM days GROUP BY ALL
  UNION ALL SELECT 6, 'less: days without a statement', -sum(no_statement_bridge_satoshi), site, pool, account FROM days GROUP BY ALL
  UNION ALL SELECT 7, 'less: stated and not received', -sum(not_received_bridge_satoshi), site, pool, account FROM days GROUP BY ALL
  UNION ALL SELECT 8, 'less: stated and not paid out yet', -sum(unpaid_balance_bridge_satoshi), site, pool, account FROM days GROUP BY ALL
  UNION ALL SELECT 9, 'less: fees of the transactions', -sum(network_fee_bridge_satoshi), site, pool, account FROM days GROUP BY ALL
  UNION ALL SELECT 10, 'less: credited off chain', -sum(paid_off_chain_bridge_satoshi), site, pool, account FROM days GROUP BY ALL
  UNION ALL SELECT 11, 'less: paid and not arrived', -sum(paid_not_arrived_bridge_satoshi), site, pool, account FROM days GROUP BY ALL
  UNION ALL SELECT 12, 'less: luck of the pool', -sum(luck_bridge_satoshi), site, pool, account FROM days GROUP BY ALL
  UNION ALL SELECT 13, 'less: statements that do not add up', -sum(does_not_add_up_bridge_satoshi), site, pool, account FROM days GROUP BY ALL
  UNION ALL SELECT 14, 'less: rounding', -sum(rounding_bridge_satoshi), site, pool, account FROM days GROUP BY ALL
  UNION ALL SELECT 15, 'received', sum(received_satoshi), site, pool, account FROM days GROUP BY ALL
)
SELECT
  site,
  pool,
  account, -- at the pool
  item,
  CAST(satoshi AS DECIMAL(38,0)) AS satoshi,
  bitcoin(satoshi) AS bitcoin
FROM rows
ORDER BY site, pool, account, line;
