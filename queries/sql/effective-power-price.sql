-- What a MWh really cost each use in a month, beside the plain mean of the market's prices.
-- param month (month): month of local days; without it the last one that is closed
WITH chosen AS (
  SELECT COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods)) AS month
), market AS ( -- means over all intervals, whatever was drawn in them
  SELECT site, CAST(quotient(CAST(sum(price_per_megawatt_hour) * 10000000000 AS HUGEINT), count(*) * 1000000) AS DECIMAL(34,0)) * 0.0001 AS mean,
    CAST(quotient(CAST(sum(price_per_megawatt_hour + adder_per_megawatt_hour) * 10000000000 AS HUGEINT), count(*) * 1000000) AS DECIMAL(34,0)) * 0.0001 AS delivered
  FROM margins, chosen
  WHERE strftime(local_day, '%Y-%m') = chosen.month AND price_per_megawatt_hour IS NOT NULL
  GROUP BY site
)
SELECT
  m.site,
  m.use, -- of energy
  megawatt_hours(m.energy_milliwatt_hours) AS energy_mwh,
  round(m.energy_cost, 2) AS energy_cost,
  per_megawatt_hour(m.energy_cost, m.energy_milliwatt_hours) AS price_per_mwh, -- paid
  k.mean AS market_price_per_mwh, -- plain mean of the intervals' prices, as the market published them
  k.delivered AS delivered_price_per_mwh, -- the same mean with the site's adder for delivery, as every price that is paid has it
  price_per_mwh - delivered_price_per_mwh AS difference_per_mwh, -- of what is paid to delivered; negative: the load ran when power was cheap
  m.currency
FROM margins_by_month m JOIN market k USING (site), chosen
WHERE m.month = chosen.month
ORDER BY m.site, CASE m.use WHEN 'mining' THEN 1 WHEN 'ai' THEN 2 WHEN 'overhead' THEN 3 ELSE 4 END;
