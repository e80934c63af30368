-- Views of the finance warehouse that compute. The publisher puts the list of
-- Parquet files, the published position and the metering step of each site in
-- place of the words in braces.
--
-- The comment above a view and the comments behind the columns of its last
-- SELECT are published with it (COMMENT ON).

-- What counts of the readings: for every device, channel and metering interval
-- the value of the last reading that books. A reading of several intervals is
-- spread evenly over them, the parts summing to the whole. Filter it by site,
-- device and channel.
CREATE VIEW booked_values AS
WITH stepped AS (
  SELECT r.*, s.step_microseconds AS step_length,
    epoch_us(r.start_utc) // s.step_microseconds AS first_step,
    epoch_us(r.end_utc) // s.step_microseconds AS end_step
  FROM read_parquet([{readings}], hive_partitioning = false) r
  JOIN (VALUES {steps}) s(site, step_microseconds) ON s.site = r.site
  WHERE r.books AND r.position < {position}
), spread AS (
  SELECT *, end_step - first_step AS steps, unnest(range(first_step, end_step)) AS step
  FROM stepped
  -- A longer reading says nothing of any interval in it, and counts for nothing.
  WHERE end_step - first_step <= 105408
)
SELECT
  position, -- of the event that the reading is in
  row, -- of the reading in its event
  site, -- the site
  device, -- the device
  channel, -- what it counts
  make_timestamp(step * step_length) AS start_utc, -- of the metering interval
  make_timestamp((step + 1) * step_length) AS end_utc, -- of the metering interval
  CAST(CASE WHEN steps = 1 THEN value
    ELSE CAST(CAST(value AS HUGEINT) * (step - first_step + 1) // steps
            - CAST(value AS HUGEINT) * (step - first_step) // steps AS DECIMAL(38,0)) END AS DECIMAL(38,0)) AS value, -- in unit
  unit, -- of value
  CASE WHEN steps > 1 OR mark = 'estimated' THEN 'estimated' ELSE 'metered' END AS state, -- how well it is known
  provenance, -- how good its origin is
  source, -- what observed it
  evidence -- SHA-256 digest of the reply that it was read from
FROM spread
QUALIFY row_number() OVER (PARTITION BY site, device, channel, step ORDER BY position DESC, row DESC) = 1;

-- Margins of each use by month of local days, likewise.
CREATE VIEW margins_by_month AS
SELECT
  max(position) AS position, -- what the row knows: the events before it, as of all rows of this file
  site, -- the site
  strftime(local_day, '%Y-%m') AS month, -- of the local days: 2026-10
  use, -- mining, ai, overhead, or site: all of them against the revenue meter
  currency, -- of all amounts of the row
  CAST(sum(energy_milliwatt_hours) AS BIGINT) AS energy_milliwatt_hours, -- that the use drew
  sum(revenue) AS revenue, -- that it earned
  sum(energy_cost) AS energy_cost, -- of its energy
  sum(margin) AS margin, -- revenue less cost
  CAST(sum(intervals) AS BIGINT) AS intervals, -- in the month, as far as anything is known of it
  CAST(sum(unknown_intervals) AS BIGINT) AS unknown_intervals, -- of which the margin is not known
  CAST(sum(estimated_intervals) AS BIGINT) AS estimated_intervals, -- in which a meter was estimated
  ['estimated', 'stated', 'received'][min(list_position(['estimated', 'stated', 'received'], revenue_basis))] AS revenue_basis -- the least that mining revenue rests on: estimated, stated or received; NULL of uses without it
FROM margins_by_day
GROUP BY site, strftime(local_day, '%Y-%m'), use, currency;

-- Prices of power that count: the last that was published for each interval.
-- Where intervals of several lengths cover an instant, the shortest counts.
CREATE VIEW power_prices AS
SELECT
  position, -- of the event
  node, -- settlement point
  currency, -- of the price
  start_utc, -- of the interval
  end_utc, -- of the interval
  price_per_megawatt_hour, -- NULL if it is too large for the column
  price_as_published, -- all digits
  source, -- what brought it
  recorded_utc, -- when the log recorded it
  evidence -- SHA-256 digest of the reply that it was read from
FROM power_price_history
QUALIFY row_number() OVER (PARTITION BY node, currency, start_utc, end_utc ORDER BY position DESC, row DESC) = 1;

-- Prices of bitcoin that count: the last that was published for each interval.
-- Where intervals of several lengths cover an instant, the shortest counts.
CREATE VIEW bitcoin_prices AS
SELECT
  position, -- of the event
  currency, -- of the price
  start_utc, -- of the interval
  end_utc, -- of the interval
  price_per_bitcoin, -- NULL if it is too large for the column
  price_as_published, -- all digits
  source, -- what brought it
  recorded_utc, -- when the log recorded it
  evidence -- SHA-256 digest of the reply that it was read from
FROM bitcoin_price_history
QUALIFY row_number() OVER (PARTITION BY currency, start_utc, end_utc ORDER BY position DESC, row DESC) = 1;

-- All prices that count, of power and of bitcoin.
CREATE VIEW prices AS
SELECT
  position, -- of the event
  product, -- power or bitcoin
  node, -- settlement point of power
  currency, -- of the price
  start_utc, -- of the interval
  end_utc, -- of the interval
  price, -- per unit; NULL if it is too large for the column
  unit, -- MWh or BTC
  price_as_published, -- all digits
  source, -- what brought it
  recorded_utc, -- when the log recorded it
  evidence -- SHA-256 digest of the reply that it was read from
FROM (
  SELECT 'power' AS product, price_per_megawatt_hour AS price, 'MWh' AS unit, * FROM power_prices
  UNION ALL BY NAME
  SELECT 'bitcoin' AS product, price_per_bitcoin AS price, 'BTC' AS unit, * FROM bitcoin_prices
);
