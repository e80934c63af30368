-- What the publisher alone has while it draws the conclusions of days: sums over
-- the intervals of a page and a local day, which it adds up by day, and what it
-- needs for that (see daily.sql).

-- The sites whose days are drawn.
CREATE TABLE site_zones (
  site VARCHAR NOT NULL, -- the site
  zone VARCHAR NOT NULL -- of its local days
);

-- What is known of each earning day of a pool account.
CREATE TABLE paid_days (
  site VARCHAR NOT NULL, -- whose work it is
  start_utc TIMESTAMP NOT NULL, -- of the earning day
  end_utc TIMESTAMP NOT NULL, -- of the earning day
  received BOOLEAN NOT NULL -- all that the pool states for it has arrived
);

-- Of a device.
CREATE TABLE device_pieces (
  site VARCHAR NOT NULL, -- the site
  device VARCHAR NOT NULL, -- the device
  kind VARCHAR NOT NULL, -- meter, miner or gpu
  model VARCHAR, -- of the hardware
  use VARCHAR, -- mining, ai or overhead
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
  site VARCHAR NOT NULL, -- the site
  model VARCHAR NOT NULL, -- of the miners
  currency VARCHAR NOT NULL, -- of the amounts
  start_utc TIMESTAMP NOT NULL, -- of the first interval
  local_day DATE NOT NULL, -- at the site
  share_difficulty DECIMAL(38,8), -- accepted work
  revenue DECIMAL(28,10), -- of it
  energy_milliwatt_hours BIGINT, -- of its meters
  energy_cost DECIMAL(28,10), -- of its energy
  intervals BIGINT NOT NULL, -- in the piece
  unknown_intervals BIGINT NOT NULL -- not known
);

