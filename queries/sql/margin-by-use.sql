-- What each use of energy earned and cost in a month, and its margin per MWh.
-- param month (month): month of local days; without it the last one that is closed
SELECT
  month, -- of local days
  use, -- mining, ai, overhead, or site: all of them against the revenue meter
  megawatt_hours(energy_milliwatt_hours) AS energy_mwh,
  round(revenue, 2) AS revenue, -- in currency
  round(energy_cost, 2) AS energy_cost,
  round(margin, 2) AS margin,
  per_megawatt_hour(margin, energy_milliwatt_hours) AS margin_per_mwh,
  currency,
  revenue_basis, -- the least that mining revenue rests on: estimated (from accepted work), stated (by the pool) or received
  unknown_intervals -- of which the margin is not known, and not in the sums
FROM margins_by_month
WHERE month = COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods))
ORDER BY site, CASE use WHEN 'mining' THEN 1 WHEN 'ai' THEN 2 WHEN 'overhead' THEN 3 ELSE 4 END;
