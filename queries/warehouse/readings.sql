-- The Parquet parts of readings, and the views on them. The publisher puts the
-- lists of files, the first open epoch and the published position in place of
-- the words in braces.

-- What a Parquet part holds. Clients see the views below.
CREATE TABLE part (
  position BIGINT NOT NULL, -- of the event that the reading is in
  row BIGINT NOT NULL, -- of the reading in its event
  site VARCHAR NOT NULL, -- the site
  device VARCHAR NOT NULL, -- the device
  channel VARCHAR NOT NULL, -- what it counts
  start_utc TIMESTAMP NOT NULL, -- of the interval
  end_utc TIMESTAMP NOT NULL, -- of the interval
  local_day DATE, -- at the site
  value DECIMAL(38,0) NOT NULL, -- in unit
  unit VARCHAR NOT NULL, -- of value
  register DECIMAL(38,0) NOT NULL, -- raw register at the end of the interval
  mark VARCHAR NOT NULL, -- how the register moved
  books BOOLEAN NOT NULL, -- whether the value counted when it was recorded
  provenance VARCHAR NOT NULL, -- how good its origin is
  source VARCHAR, -- what observed it
  observed_utc TIMESTAMP, -- when the source had it
  recorded_utc TIMESTAMP NOT NULL, -- when the log recorded it
  evidence VARCHAR -- SHA-256 digest of the reply that it was read from
);

-- All readings, those that book nothing and those that were corrected later
-- included, up to the position that this file was published at. What counts is
-- in the view booked_values.
CREATE VIEW readings AS
SELECT
  position, -- of the event that the reading is in
  row, -- of the reading in its event
  site, -- the site
  device, -- the device
  channel, -- what it counts: energy.import, energy.export, hashes, shares.accepted, gpu.energy or gpu.time
  start_utc, -- of the interval; that of an observation which books nothing may be empty
  end_utc, -- of the interval
  local_day, -- at the site, in the zone that was registered when the reading was recorded
  value, -- in unit
  unit, -- milliwatt-hours, milliseconds, hashes, or share-difficulty-e-8: accepted difficulty in units of 0.00000001
  register, -- raw register at the end of the interval, in the register's own unit
  mark, -- how the register moved: normal, rollover, reset, gap, corrected, silent and others
  books, -- whether the value counted when it was recorded; a later reading of the interval may have replaced it
  provenance, -- how good its origin is: revenue-meter, sub-meter and others
  source, -- what observed it
  observed_utc, -- when the source had it
  recorded_utc, -- when the log recorded it
  evidence -- SHA-256 digest of the reply that it was read from
FROM read_parquet([{files}], hive_partitioning = false)
WHERE position < {position};

-- All readings, like the view readings, but up to the last part that was
-- written: it may be ahead of the tables of this file.
CREATE VIEW readings_live AS
SELECT
  position, -- of the event that the reading is in
  row, -- of the reading in its event
  site, -- the site
  device, -- the device
  channel, -- what it counts
  start_utc, -- of the interval
  end_utc, -- of the interval
  local_day, -- at the site
  value, -- in unit
  unit, -- of value
  register, -- raw register at the end of the interval
  mark, -- how the register moved
  books, -- whether the value counted when it was recorded
  provenance, -- how good its origin is
  source, -- what observed it
  observed_utc, -- when the source had it
  recorded_utc, -- when the log recorded it
  evidence -- SHA-256 digest of the reply that it was read from
FROM (
  SELECT * FROM read_parquet([{files}], hive_partitioning = false)
  UNION ALL
  SELECT * EXCLUDE (epoch) FROM read_parquet([{live}], hive_partitioning = true, hive_types = {'epoch': BIGINT})
  WHERE epoch >= {epoch} AND position >= {position}
);
