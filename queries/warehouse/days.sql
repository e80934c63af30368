-- What is concluded about the local days of the sites. Any DuckDB client can
-- run this file.
--
-- Days that are over lie in Parquet parts, of a day or of a month; those that
-- are not, in tables of the schema open. The publisher publishes a view of
-- each table's name over both, with the comments that stand here. A part has no
-- column position: what it says holds until an event changes it, and the view
-- says up to which position none has.

-- Where a site's energy went, interval by interval. For each interval in which
-- all is known, revenue-meter = mining + ai + overhead + losses + residual.
CREATE TABLE intervals (
  position BIGINT NOT NULL, -- what the row knows: the events before it, as of all rows of this file
  site VARCHAR NOT NULL, -- the site
  start_utc TIMESTAMP NOT NULL, -- of the interval
  end_utc TIMESTAMP NOT NULL, -- of the interval
  local_day DATE, -- at the site
  part VARCHAR NOT NULL, -- revenue-meter, mining, ai, overhead, losses or residual
  energy_milliwatt_hours BIGINT, -- counted by the meters of this part, or computed from them
  state VARCHAR NOT NULL, -- metered, estimated or unknown: how well the worst of its meters is known
  estimated_milliwatt_hours BIGINT, -- part of the energy that was estimated; the rest is metered. NULL of losses and residual, which are computed
  hashes DECIMAL(38,0), -- work of the miners, as far as they reported; of the part mining
  gpu_milliseconds BIGINT, -- of GPUs with a compute process, as far as they reported: two for an hour are 7,200,000; of the part ai
  currency VARCHAR NOT NULL, -- of cost
  cost DECIMAL(28,10), -- energy at the interval's price with the site's adder, in currency
  reading_position BIGINT -- of the latest reading in it: where to start to walk the figure back
);

-- What each use of energy earned and cost, interval by interval. Amounts are
-- in currency, rounded once to ten digits.
CREATE TABLE margins (
  position BIGINT NOT NULL, -- what the row knows: the events before it, as of all rows of this file
  site VARCHAR NOT NULL, -- the site
  start_utc TIMESTAMP NOT NULL, -- of the interval
  end_utc TIMESTAMP NOT NULL, -- of the interval
  local_day DATE, -- at the site
  currency VARCHAR NOT NULL, -- of all amounts of the row
  price_per_megawatt_hour DECIMAL(28,10), -- of power, as the market published it
  adder_per_megawatt_hour DECIMAL(28,10), -- delivery charges on top of it, in every cost here
  mining_energy_milliwatt_hours BIGINT, -- drawn by mining
  mining_state VARCHAR NOT NULL, -- how well that is known
  mining_revenue DECIMAL(28,10), -- by revenue_basis, at the price of bitcoin
  mining_cost DECIMAL(28,10), -- of its energy
  mining_margin DECIMAL(28,10), -- revenue less cost
  ai_energy_milliwatt_hours BIGINT, -- drawn by AI compute
  ai_state VARCHAR NOT NULL, -- how well that is known
  ai_revenue DECIMAL(28,10), -- what the contracts in force earn, before the rounding of invoices
  ai_cost DECIMAL(28,10), -- of its energy
  ai_margin DECIMAL(28,10), -- revenue less cost
  overhead_energy_milliwatt_hours BIGINT, -- all that no use is charged with: metered overhead, losses and residual
  overhead_state VARCHAR NOT NULL, -- how well that is known
  overhead_revenue DECIMAL(28,10), -- always 0
  overhead_cost DECIMAL(28,10), -- of its energy
  overhead_margin DECIMAL(28,10), -- revenue less cost
  site_energy_milliwatt_hours BIGINT, -- counted by the revenue meter
  site_cost DECIMAL(28,10), -- of the energy at the revenue meter
  site_margin DECIMAL(28,10), -- mining revenue and AI revenue less the site's cost
  share_difficulty DECIMAL(38,8), -- accepted work of the miners that reported
  miners_reported BIGINT NOT NULL, -- miners that the work is of
  miners BIGINT NOT NULL, -- miners that there are
  expected_satoshi DECIMAL(28,10), -- what the pool should pay for the work, net of its agreed fee, before it is cut to whole satoshi
  earned_satoshi DECIMAL(28,10), -- what mining_revenue is of: the interval's part of what the pool states for its day, by the work of each, or else what is expected
  mining_estimate DECIMAL(28,10), -- what the accepted work should earn, at the price of bitcoin
  revenue_basis VARCHAR NOT NULL, -- what mining_revenue rests on: estimated, stated (by the pool for the whole day) or received (and paid in full)
  provisional BOOLEAN NOT NULL, -- fees of the day's blocks are not published yet, and an earlier day's stand in
  estimated BOOLEAN NOT NULL -- a meter was estimated
);

-- What each customer used, interval by interval: GPU time, and the energy of
-- the meters whose power a contract passes through. Intervals without any are
-- left out.
CREATE TABLE usage (
  position BIGINT NOT NULL, -- what the row knows: the events before it, as of all rows of this file
  site VARCHAR NOT NULL, -- the site
  customer VARCHAR NOT NULL, -- who was served
  start_utc TIMESTAMP NOT NULL, -- of the interval
  end_utc TIMESTAMP NOT NULL, -- of the interval
  local_day DATE, -- at the site
  gpu_milliseconds BIGINT NOT NULL, -- allocated by the scheduler: two GPUs for an hour are 7,200,000
  energy_milliwatt_hours BIGINT, -- of the customer's own meters; NULL without one, or while one is unknown
  energy_state VARCHAR, -- how well it is known; NULL without a meter
  currency VARCHAR NOT NULL, -- of the cost
  energy_cost DECIMAL(28,10) -- of that energy, at the interval's price with the site's adder
);

-- What each charge of each contract earns, interval by interval, before the
-- rounding of invoices. In every interval the amounts in the site's currency
-- sum to ai_revenue of the table margins, to the last digit.
CREATE TABLE accruals (
  position BIGINT NOT NULL, -- what the row knows: the events before it, as of all rows of this file
  site VARCHAR NOT NULL, -- the site
  contract VARCHAR NOT NULL, -- the contract
  version BIGINT NOT NULL, -- of the contract
  customer VARCHAR NOT NULL, -- the buyer
  charge VARCHAR NOT NULL, -- the charge of the contract
  kind VARCHAR NOT NULL, -- of the charge
  overage BOOLEAN NOT NULL, -- GPU time beyond a reservation
  start_utc TIMESTAMP NOT NULL, -- of the interval
  end_utc TIMESTAMP NOT NULL, -- of the interval
  local_day DATE, -- at the site
  quantity DECIMAL(28,10) NOT NULL, -- in the charge's unit, rounded to ten digits
  estimated_quantity DECIMAL(28,10), -- part of it that rests on estimates
  used_gpu_hours DECIMAL(28,10), -- of a reservation, rounded to ten digits
  currency VARCHAR NOT NULL, -- of the amount
  amount DECIMAL(28,10) -- NULL while a price or a meter is not known
);

-- What each device counted on each local day. Sums are of the intervals in
-- which it is known; NULL if it is in none.
CREATE TABLE device_days (
  position BIGINT NOT NULL, -- what the row knows: the events before it, as of all rows of this file
  site VARCHAR NOT NULL, -- the site
  device VARCHAR NOT NULL, -- the device
  kind VARCHAR NOT NULL, -- meter, miner or gpu
  model VARCHAR, -- of the hardware
  use VARCHAR, -- mining, ai or overhead
  local_day DATE NOT NULL, -- at the site
  energy_milliwatt_hours BIGINT, -- counted by a meter, or by a GPU itself
  hashes DECIMAL(38,0), -- of a miner
  share_difficulty DECIMAL(38,8), -- accepted work of a miner
  gpu_milliseconds BIGINT, -- of a GPU with a compute process
  intervals BIGINT NOT NULL, -- in which the device was in service
  estimated_intervals BIGINT NOT NULL, -- in which a quantity is estimated
  unknown_intervals BIGINT NOT NULL -- in which nothing is known of it
);

-- What counts and was not metered: runs of intervals for which a quantity of a
-- device rests on a longer reading that was spread evenly, or on an estimate.
CREATE TABLE estimates (
  position BIGINT NOT NULL, -- what the row knows: the events before it, as of all rows of this file
  site VARCHAR NOT NULL, -- the site
  device VARCHAR NOT NULL, -- the device
  channel VARCHAR NOT NULL, -- what it counts
  start_utc TIMESTAMP NOT NULL, -- of the first interval
  end_utc TIMESTAMP NOT NULL, -- of the last interval
  local_day DATE, -- at the site
  intervals BIGINT NOT NULL, -- how many
  value DECIMAL(38,0) NOT NULL, -- of all of them, in unit
  unit VARCHAR NOT NULL, -- of value
  reading_position BIGINT NOT NULL -- of the event that the value rests on
);

-- Margins of each use by hour. Sums are of the intervals in which the figure
-- is known; NULL if it is in none.
CREATE TABLE margins_by_hour (
  position BIGINT NOT NULL, -- what the row knows: the events before it, as of all rows of this file
  site VARCHAR NOT NULL, -- the site
  start_utc TIMESTAMP NOT NULL, -- of the hour
  local_start TIMESTAMP NOT NULL, -- the same by the clock at the site
  local_day DATE NOT NULL, -- at the site
  use VARCHAR NOT NULL, -- mining, ai, overhead, or site: all of them against the revenue meter
  currency VARCHAR NOT NULL, -- of all amounts of the row
  energy_milliwatt_hours BIGINT, -- that the use drew
  revenue DECIMAL(38,10), -- that it earned
  energy_cost DECIMAL(38,10), -- of its energy
  margin DECIMAL(38,10), -- revenue less cost
  intervals BIGINT NOT NULL, -- in the hour
  unknown_intervals BIGINT NOT NULL, -- of which the margin is not known
  estimated_intervals BIGINT NOT NULL, -- in which a meter was estimated
  revenue_basis VARCHAR -- the least that mining revenue rests on: estimated, stated or received; NULL of uses without it
);

-- Margins of each use by local day, likewise.
CREATE TABLE margins_by_day (
  position BIGINT NOT NULL, -- what the row knows: the events before it, as of all rows of this file
  site VARCHAR NOT NULL, -- the site
  local_day DATE NOT NULL, -- at the site
  use VARCHAR NOT NULL, -- mining, ai, overhead, or site: all of them against the revenue meter
  currency VARCHAR NOT NULL, -- of all amounts of the row
  energy_milliwatt_hours BIGINT, -- that the use drew
  revenue DECIMAL(38,10), -- that it earned
  energy_cost DECIMAL(38,10), -- of its energy
  margin DECIMAL(38,10), -- revenue less cost
  intervals BIGINT NOT NULL, -- in the day
  unknown_intervals BIGINT NOT NULL, -- of which the margin is not known
  estimated_intervals BIGINT NOT NULL, -- in which a meter was estimated
  revenue_basis VARCHAR -- the least that mining revenue rests on: estimated, stated or received; NULL of uses without it
);

-- What each customer earned the site, by local day. The cost is known where
-- the customer's energy is metered by itself. What GPUs that customers share
-- draw and cost is in a row of each day that is of no customer, and its margin
-- is what is left of the use ai: of a day, the rows in the site's currency sum
-- to the use.
CREATE TABLE margins_by_customer (
  position BIGINT NOT NULL, -- what the row knows: the events before it, as of all rows of this file
  site VARCHAR NOT NULL, -- the site
  customer VARCHAR NOT NULL, -- who was served; (unallocated): energy, cost and margin of the use ai that no customer has to itself
  local_day DATE NOT NULL, -- at the site
  currency VARCHAR NOT NULL, -- of all amounts of the row
  revenue DECIMAL(38,10), -- what the customer's contracts earn, before the rounding of invoices
  gpu_milliseconds BIGINT, -- that the customer was served
  energy_milliwatt_hours BIGINT, -- of the customer's own meters
  energy_cost DECIMAL(38,10), -- of that energy
  margin DECIMAL(38,10), -- revenue less cost, where the cost is known
  unknown_amounts BIGINT NOT NULL -- charges of intervals that are not in the revenue, since a price or a meter is not known
);

-- What each class of mining hardware earned, by local day: mining revenue is
-- divided by accepted work. The energy is that of the meters below which no
-- other class hangs; NULL if a meter counts several.
CREATE TABLE margins_by_device_class (
  position BIGINT NOT NULL, -- what the row knows: the events before it, as of all rows of this file
  site VARCHAR NOT NULL, -- the site
  model VARCHAR NOT NULL, -- of the miners
  local_day DATE NOT NULL, -- at the site
  currency VARCHAR NOT NULL, -- of all amounts of the row
  share_difficulty DECIMAL(38,8), -- accepted work
  revenue DECIMAL(38,10), -- what it should earn
  energy_milliwatt_hours BIGINT, -- that it drew
  energy_cost DECIMAL(38,10), -- of that energy
  margin DECIMAL(38,10), -- revenue less cost
  intervals BIGINT NOT NULL, -- in the day
  unknown_intervals BIGINT NOT NULL -- in which revenue or cost is not known
);
