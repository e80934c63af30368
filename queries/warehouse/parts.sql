-- What grows with the log, and lies in Parquet parts: files that never change,
-- each of the events from one position to another. Any DuckDB client can run
-- this file.
--
-- The publisher publishes a view of each table's name over its files, up to the
-- published position, with the comments that stand here; and of the readings a
-- second one, readings_live, that goes on to the last part that was written.

-- The log as it is, under the column names of KurrentDB's kdb.records, so that
-- one query runs on both. The payload of a batch of readings is not repeated
-- here: its rows are in the table readings.
CREATE TABLE events (
  position BIGINT NOT NULL, -- place in the log, from 0 without gaps
  log_position BIGINT NOT NULL, -- the same
  created_at TIMESTAMP NOT NULL, -- when the log recorded it, UTC
  stream VARCHAR NOT NULL, -- that it was appended to
  stream_revision BIGINT NOT NULL, -- place in the stream, from 0
  schema_name VARCHAR NOT NULL, -- what it says, and the version of its form: invoice.issued/1
  schema_id VARCHAR, -- always NULL: no schema registry is used
  schema_format VARCHAR NOT NULL, -- Json, or Bytes for readings
  category VARCHAR NOT NULL, -- of the stream: what is before the first hyphen
  record_id VARCHAR NOT NULL, -- UUID, derived from what the event is about
  data VARCHAR, -- the payload, in JSON; NULL for readings
  metadata VARCHAR -- in JSON
);

-- All readings, those that book nothing and those that were corrected later
-- included, up to the position that this file was published at. What counts is
-- in the view booked_values.
CREATE TABLE readings (
  position BIGINT NOT NULL, -- of the event that the reading is in
  row BIGINT NOT NULL, -- of the reading in its event
  site VARCHAR NOT NULL, -- the site
  device VARCHAR NOT NULL, -- the device
  channel VARCHAR NOT NULL, -- what it counts: energy.import, energy.export, hashes, shares.accepted, gpu.energy or gpu.time
  start_utc TIMESTAMP NOT NULL, -- of the interval; that of an observation which books nothing may be empty
  end_utc TIMESTAMP NOT NULL, -- of the interval
  local_day DATE, -- at the site, in the zone that was registered when the reading was recorded
  value DECIMAL(38,0) NOT NULL, -- in unit
  unit VARCHAR NOT NULL, -- milliwatt-hours, milliseconds, hashes, or share-difficulty-e-8: accepted difficulty in units of 0.00000001
  register DECIMAL(38,0) NOT NULL, -- raw register at the end of the interval, in the register's own unit
  mark VARCHAR NOT NULL, -- how the register moved: normal, rollover, reset, gap, corrected, silent and others
  books BOOLEAN NOT NULL, -- whether the value counted when it was recorded; a later reading of the interval may have replaced it
  provenance VARCHAR NOT NULL, -- how good its origin is: revenue-meter, sub-meter and others
  source VARCHAR, -- what observed it
  observed_utc TIMESTAMP, -- when the source had it
  recorded_utc TIMESTAMP NOT NULL, -- when the log recorded it
  evidence VARCHAR -- SHA-256 digest of the reply that it was read from
);

-- Allocation decisions: one row a load, in merit order, with what was known
-- when it was made and why the load runs or rests.
CREATE TABLE decisions (
  position BIGINT NOT NULL, -- of the decision
  as_of_position BIGINT NOT NULL, -- what was known when it was made
  site VARCHAR NOT NULL, -- the site
  start_utc TIMESTAMP NOT NULL, -- of the interval that is decided
  end_utc TIMESTAMP NOT NULL, -- of the interval that is decided
  local_day DATE, -- at the site
  rule VARCHAR NOT NULL, -- name and version of the deciding function
  merit_order BIGINT NOT NULL, -- 1 earns most per MWh
  load VARCHAR NOT NULL, -- the sub-meter that counts it
  use VARCHAR NOT NULL, -- mining or ai
  runs BOOLEAN NOT NULL, -- the decision
  reason VARCHAR NOT NULL, -- why
  planned_power_milliwatts BIGINT NOT NULL, -- 0 when it rests
  value_per_megawatt_hour DECIMAL(28,10), -- what a MWh of the load earns
  cost_per_megawatt_hour DECIMAL(28,10), -- what a MWh of it costs at the revenue meter: the worth of not consuming
  foregone_per_megawatt_hour DECIMAL(28,10), -- worth of the alternative that was not taken: of a load that runs the cost that it would have saved, of one that rests the value that it would have earned
  load_power_milliwatts BIGINT, -- what it draws when it runs
  share_difficulty_per_megawatt_hour DECIMAL(28,10), -- accepted work of a mining load
  basis VARCHAR, -- where power, work and value come from, in words
  committed BOOLEAN, -- customers are promised it
  was_on BOOLEAN, -- in the interval before
  switched_utc TIMESTAMP, -- start of the interval in which it was last switched
  currency VARCHAR, -- of value, cost and prices: the site's
  power_price_per_megawatt_hour DECIMAL(28,10), -- input
  adder_per_megawatt_hour DECIMAL(28,10), -- input
  loss_portion DECIMAL(28,10), -- input
  bitcoin_price DECIMAL(28,10), -- input, per bitcoin
  bits VARCHAR, -- input: the network's difficulty, as the block header has it
  height BIGINT, -- input: block of the last change of difficulty, which sets the subsidy
  fees_per_block_satoshi DECIMAL(28,10), -- input
  pool_fee_portion DECIMAL(28,10) -- input
);
