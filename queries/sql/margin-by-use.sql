-- What each use of energy earned and cost in a month, and its margin per MWh.
-- param month (month): month of local days; without it the last one that is closed
WITH based AS ( -- mining revenue by what it rests on
  SELECT site, strftime(local_day, '%Y-%m') AS month, currency,
    sum(mining_revenue) FILTER (revenue_basis = 'estimated') AS estimated,
    sum(mining_revenue) FILTER (revenue_basis = 'stated') AS stated,
    sum(mining_revenue) FILTER (revenue_basis = 'received') AS received
  FROM margins
  WHERE strftime(local_day, '%Y-%m') = COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods))
  GROUP BY ALL
)
SELECT
  m.site,
  m.month, -- of local days
  use, -- mining, ai, overhead, or site: all of them against the revenue meter
  megawatt_hours(energy_milliwatt_hours) AS energy_mwh,
  round(revenue, 2) AS revenue, -- in currency
  round(energy_cost, 2) AS energy_cost,
  round(margin, 2) AS margin,
  per_megawatt_hour(margin, energy_milliwatt_hours) AS margin_per_mwh,
  m.currency,
  round(CASE WHEN use IN ('mining', 'site') THEN b.received END, 2) AS mining_received, -- mining revenue that is paid in full
  round(CASE WHEN use IN ('mining', 'site') THEN b.stated END, 2) AS mining_stated, -- that the pool states for whole days
  round(CASE WHEN use IN ('mining', 'site') THEN b.estimated END, 2) AS mining_estimated, -- from accepted work
  revenue_basis, -- the least that mining revenue rests on: estimated (from accepted work), stated (by the pool) or received
  unknown_intervals -- of which the margin is not known, and not in the sums
FROM margins_by_month m LEFT JOIN based b ON b.site = m.site AND b.month = m.month AND b.currency = m.currency
WHERE m.month = COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods))
ORDER BY m.site, CASE use WHEN 'mining' THEN 1 WHEN 'ai' THEN 2 WHEN 'overhead' THEN 3 ELSE 4 END;
