-- What the publisher alone has: sums over the intervals of a page and a local
-- day, which it adds up into tables that it publishes (see derived.sql).

-- Of a device.
CREATE TABLE device_pieces (
  position BIGINT NOT NULL, -- what was known when the row was drawn
  site VARCHAR NOT NULL, -- the site
  device VARCHAR NOT NULL, -- the device
  start_utc TIMESTAMP NOT NULL, -- of the first interval
  local_day DATE NOT NULL, -- at the site
  energy_milliwatt_hours BIGINT, -- of a meter or a GPU
  hashes DECIMAL(38,0), -- of a miner
  share_difficulty DECIMAL(38,8), -- of a miner
  gpu_milliseconds BIGINT, -- of a GPU
  intervals BIGINT NOT NULL, -- in service
  estimated_intervals BIGINT NOT NULL, -- estimated
  unknown_intervals BIGINT NOT NULL -- not known
);

-- Of a class of miners.
CREATE TABLE class_pieces (
  position BIGINT NOT NULL, -- what was known when the row was drawn
  site VARCHAR NOT NULL, -- the site
  model VARCHAR NOT NULL, -- of the miners
  start_utc TIMESTAMP NOT NULL, -- of the first interval
  local_day DATE NOT NULL, -- at the site
  share_difficulty DECIMAL(38,8), -- accepted work
  revenue DECIMAL(28,10), -- of it
  energy_milliwatt_hours BIGINT, -- of its meters
  energy_cost DECIMAL(28,10), -- of its energy
  intervals BIGINT NOT NULL, -- in the piece
  unknown_intervals BIGINT NOT NULL -- not known
);
