-- The price of power up to which mining paid, hour by hour of a local day, beside what power cost.
-- param day (day): local day; without it the last day of the last closed period
WITH hours AS (
  SELECT site, date_trunc('hour', start_utc) AS hour, currency,
    sum(mining_revenue) AS revenue, CAST(sum(mining_energy_milliwatt_hours) AS HUGEINT) AS energy, sum(mining_cost) AS cost,
    sum(share_difficulty) AS work
  FROM margins
  WHERE local_day = COALESCE(CAST(getvariable('day') AS DATE), (SELECT max(last_day) FROM closed_periods))
    AND mining_revenue IS NOT NULL AND mining_cost IS NOT NULL
  GROUP BY site, hour, currency
)
SELECT
  h.site,
  h.hour AS hour_utc,
  m.local_start, -- by the clock at the site
  per_megawatt_hour(h.revenue, h.energy) AS break_even_per_mwh, -- what a MWh of mining earned
  per_megawatt_hour(h.cost, h.energy) AS power_per_mwh, -- what it cost
  break_even_per_mwh - power_per_mwh AS margin_per_mwh,
  -- a day at 1 PH/s is 86,400 x 10^15 hashes, and difficulty 1 is 2^32 of them
  CAST(quotient(CAST(h.revenue * 10000000000 AS HUGEINT) * 86400000000000000000, CAST(h.work AS HUGEINT) * 4294967296 * 1000000) AS DECIMAL(34,0)) * 0.0001 AS hash_price_per_ph_day,
  h.currency
FROM hours h JOIN margins_by_hour m ON m.site = h.site AND m.start_utc = h.hour AND m.use = 'mining'
ORDER BY h.site, h.hour;
