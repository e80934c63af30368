-- Prices that markets restated after they had published them, and by how much.
-- param month (month): month of the interval, UTC; without it the last one that is closed
SELECT
  h.node,
  h.start_utc,
  h.end_utc,
  b.price_per_megawatt_hour AS published_before,
  h.price_per_megawatt_hour AS restated,
  restated - published_before AS change,
  h.currency,
  h.recorded_utc,
  h.position
FROM power_price_history h
ASOF JOIN power_price_history b ON b.node = h.node AND b.currency = h.currency AND b.start_utc = h.start_utc AND b.end_utc = h.end_utc AND b.position < h.position
WHERE h.corrects AND strftime(h.start_utc, '%Y-%m') = COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods))
ORDER BY h.start_utc, h.position;
