-- The tables of the finance warehouse. Any DuckDB client can run this file.
--
-- The comment above a table and the comment behind each of its columns are
-- published with it (COMMENT ON), so that clients show them.
--
-- Times are UTC. Intervals are half-open: from start_utc up to, not including,
-- end_utc. local_day is the day at the site in which start_utc lies. NULL is
-- unknown or absent, and never stands for zero. The position of a fact is its
-- place in the log; that of a conclusion is how much of the log it knows: the
-- events before that position. Facts with more digits than a column holds are
-- rounded, half away from zero; conclusions never have more.

-- What this file was drawn from: one row.
CREATE TABLE published (
  position BIGINT NOT NULL, -- events of the log that this file knows: those before this position
  known_utc TIMESTAMP, -- when the last of them was recorded
  published_utc TIMESTAMP NOT NULL, -- when the file was published
  schema_version VARCHAR NOT NULL, -- names the tables and views of the file: another one means other columns
  last_event VARCHAR, -- id of the last event that the file knows
  reading_rows BIGINT NOT NULL, -- rows of the view readings, counted when the log was read
  reading_checksum DECIMAL(38,0) NOT NULL, -- sum of the values of the view readings, whatever their units
  folder VARCHAR NOT NULL, -- where the views look for Parquet parts; a copy of the folder is read after SET VARIABLE wattbook_warehouse = 'its place'
  parts VARCHAR NOT NULL, -- folder of the parts in it
  open_epoch BIGINT NOT NULL -- first folder of open parts that the view readings_live reads
);

-- Sites, as last registered.
CREATE TABLE sites (
  position BIGINT NOT NULL, -- of the registration
  site VARCHAR NOT NULL, -- the site
  name VARCHAR, -- for people
  zone VARCHAR, -- IANA name of the time zone of local_day
  step_microseconds BIGINT NOT NULL, -- length of a metering interval
  currency VARCHAR, -- of the site's power, costs and margins
  node VARCHAR, -- settlement point at which its power is priced
  revenue_meter VARCHAR, -- the meter that the utility bills by
  loss_portion DECIMAL(28,10), -- losses between revenue meter and sub-meters, of what the sub-meters count
  adder_per_megawatt_hour DECIMAL(28,10), -- delivery charges on top of the price of power
  pool VARCHAR, -- mining pool of the site's first pool account; all of them are in pool_accounts
  pool_account VARCHAR, -- account at the pool
  pool_scheme VARCHAR, -- how the pool pays: fpps
  pool_fee_portion DECIMAL(28,10), -- what the pool may keep
  limit_milliwatts BIGINT, -- of the grid connection
  ramp_milliwatts_per_step BIGINT, -- greatest change of the site's power between two intervals
  min_on_microseconds BIGINT, -- a load that was started stays on so long
  min_off_microseconds BIGINT, -- a load that was stopped stays off so long
  reserve_milliwatts BIGINT -- overhead that is always drawn
);

-- The pool accounts that each site works for, by its last registration.
CREATE TABLE pool_accounts (
  position BIGINT NOT NULL, -- of the registration of the site
  site VARCHAR NOT NULL, -- the site
  pool VARCHAR NOT NULL, -- the pool
  account VARCHAR NOT NULL, -- the account
  rank BIGINT NOT NULL, -- 1 for the account that gets the work of all miners which no other names
  threshold_satoshi BIGINT NOT NULL, -- balance below which the pool pays nothing out
  day_start_microseconds BIGINT NOT NULL -- when the pool's day begins, after midnight UTC
);

-- The terms of each pool account, one row for each time in which they hold.
CREATE TABLE pool_terms (
  position BIGINT NOT NULL, -- of the registration of the site
  site VARCHAR NOT NULL, -- the site
  pool VARCHAR NOT NULL, -- the pool
  account VARCHAR NOT NULL, -- the account
  start_utc TIMESTAMP NOT NULL, -- when they begin to hold; the first hold from 1970 on
  end_utc TIMESTAMP, -- when the next begin to hold; NULL for the last
  scheme VARCHAR NOT NULL, -- how the pool pays: fpps, pps, pps+, pplns, tides or slice
  fee_portion DECIMAL(28,10) NOT NULL -- what the pool may keep
);

-- Which pool account each miner works for, by the last registration of its site.
CREATE TABLE pool_miners (
  position BIGINT NOT NULL, -- of the registration of the site
  site VARCHAR NOT NULL, -- the site
  device VARCHAR NOT NULL, -- the miner
  pool VARCHAR NOT NULL, -- the pool
  account VARCHAR NOT NULL -- the account
);

-- The local days of each site: 23 or 25 hours long where clocks change.
CREATE TABLE local_days (
  position BIGINT NOT NULL, -- what was known when the row was drawn
  site VARCHAR NOT NULL, -- the site
  local_day DATE NOT NULL, -- date at the site
  start_utc TIMESTAMP NOT NULL, -- local midnight
  end_utc TIMESTAMP NOT NULL -- the next local midnight
);

-- Meters, miners and GPUs, as last registered.
CREATE TABLE devices (
  position BIGINT NOT NULL, -- of the registration
  site VARCHAR NOT NULL, -- the site
  device VARCHAR NOT NULL, -- names the place and duty: a replaced meter keeps its name
  kind VARCHAR NOT NULL, -- meter, miner or gpu
  model VARCHAR, -- of the hardware
  serial VARCHAR, -- of the hardware that is there now
  under VARCHAR, -- the meter that counts this device's energy
  use VARCHAR, -- mining, ai or overhead
  units BIGINT, -- identical machines behind one address
  rated_power_milliwatts BIGINT, -- greatest power that the device can draw
  rated_hashes_per_second DECIMAL(38,0), -- greatest work of a miner
  typical_power_milliwatts BIGINT, -- what a miner draws when it runs
  typical_hashes_per_second DECIMAL(38,0), -- what a miner does when it runs
  host VARCHAR -- node that a GPU is built into
);

-- Prices of power as markets published them, restated ones included. The view
-- power_prices has those that count.
CREATE TABLE power_price_history (
  position BIGINT NOT NULL, -- of the event
  row BIGINT NOT NULL, -- in the event
  node VARCHAR NOT NULL, -- settlement point
  currency VARCHAR NOT NULL, -- of the price
  start_utc TIMESTAMP NOT NULL, -- of the interval
  end_utc TIMESTAMP NOT NULL, -- of the interval
  price_per_megawatt_hour DECIMAL(28,10), -- NULL if it is too large for the column
  price_as_published VARCHAR NOT NULL, -- all digits
  corrects BOOLEAN NOT NULL, -- the market restates what it published before
  source VARCHAR, -- what brought it
  observed_utc TIMESTAMP, -- when the source had it
  recorded_utc TIMESTAMP NOT NULL, -- when the log recorded it
  evidence VARCHAR -- SHA-256 digest of the reply that it was read from
);

-- Prices of bitcoin as markets published them, restated ones included. The
-- view bitcoin_prices has those that count.
CREATE TABLE bitcoin_price_history (
  position BIGINT NOT NULL, -- of the event
  row BIGINT NOT NULL, -- in the event
  currency VARCHAR NOT NULL, -- of the price
  start_utc TIMESTAMP NOT NULL, -- of the interval
  end_utc TIMESTAMP NOT NULL, -- of the interval
  price_per_bitcoin DECIMAL(28,10), -- NULL if it is too large for the column
  price_as_published VARCHAR NOT NULL, -- all digits
  corrects BOOLEAN NOT NULL, -- the market restates what it published before
  source VARCHAR, -- what brought it
  observed_utc TIMESTAMP, -- when the source had it
  recorded_utc TIMESTAMP NOT NULL, -- when the log recorded it
  evidence VARCHAR -- SHA-256 digest of the reply that it was read from
);

-- Changes of the bitcoin network's difficulty.
CREATE TABLE difficulty (
  position BIGINT NOT NULL, -- of the event
  height BIGINT NOT NULL, -- of the block
  start_utc TIMESTAMP NOT NULL, -- time of the block: the difficulty holds from then on
  bits VARCHAR NOT NULL, -- compact target of the block header, eight hexadecimal digits: the exact source
  difficulty DECIMAL(38,8), -- rounded
  subsidy_satoshi BIGINT NOT NULL, -- new bitcoin of a block at this height
  source VARCHAR, -- what brought it
  recorded_utc TIMESTAMP NOT NULL, -- when the log recorded it
  evidence VARCHAR -- SHA-256 digest of the reply that it was read from
);

-- Transaction fees of all blocks of an interval.
CREATE TABLE block_fees (
  position BIGINT NOT NULL, -- of the event
  start_utc TIMESTAMP NOT NULL, -- of the interval
  end_utc TIMESTAMP NOT NULL, -- of the interval
  blocks BIGINT NOT NULL, -- in the interval
  fees_satoshi BIGINT NOT NULL, -- of all of them
  source VARCHAR, -- what brought it
  recorded_utc TIMESTAMP NOT NULL, -- when the log recorded it
  evidence VARCHAR -- SHA-256 digest of the reply that it was read from
);

-- Versions of the contracts of AI customers. A version holds from start_utc to
-- end_utc, or to the start of a later version, which replaces it for good.
CREATE TABLE contracts (
  position BIGINT NOT NULL, -- of the signing
  site VARCHAR NOT NULL, -- the site
  contract VARCHAR NOT NULL, -- the contract
  version BIGINT NOT NULL, -- from 1
  customer VARCHAR NOT NULL, -- the buyer
  customer_name VARCHAR, -- as documents name it
  seller_name VARCHAR, -- as documents name it
  series VARCHAR, -- of the invoice numbers
  currency VARCHAR NOT NULL, -- of all amounts
  minor_digits BIGINT NOT NULL, -- digits of the currency's minor unit: 2 for USD
  zone VARCHAR NOT NULL, -- IANA name of the zone whose months are billed
  start_utc TIMESTAMP NOT NULL, -- when the version begins
  end_utc TIMESTAMP, -- NULL: until a later version ends it
  local_day DATE, -- at the site, of start_utc
  payment_days BIGINT, -- from issue to due
  tax_name VARCHAR, -- of the tax on its invoices
  tax_rate_portion DECIMAL(28,10), -- 0.0825 is 8.25 %
  tax_reason VARCHAR, -- why the rate is zero
  recorded_utc TIMESTAMP NOT NULL -- when the log recorded it
);

-- The priced terms of contract versions.
CREATE TABLE contract_charges (
  position BIGINT NOT NULL, -- of the signing
  ordinal BIGINT NOT NULL, -- place in the contract, from 1: reservations take GPU time in this order
  site VARCHAR NOT NULL, -- the site
  contract VARCHAR NOT NULL, -- the contract
  version BIGINT NOT NULL, -- of the contract
  charge VARCHAR NOT NULL, -- names the charge in the contract
  kind VARCHAR NOT NULL, -- reserved-gpus, on-demand-gpus, reserved-power, power-pass-through, fixed, usage, demand, percentage, minimum, maximum, commitment or sla-credit
  description VARCHAR, -- as the invoice has it
  quantity BIGINT, -- GPUs or kW that are reserved
  currency VARCHAR NOT NULL, -- of rates and adder
  rate DECIMAL(28,10), -- per GPU-month, GPU-hour, kW-month, kWh or month, as the kind says; NULL where tiers, a table or an index set it (see terms)
  overage_rate DECIMAL(28,10), -- per GPU-hour beyond the reservation
  adder_per_megawatt_hour DECIMAL(28,10), -- of a pass-through, on top of the price of power
  loss_portion DECIMAL(28,10), -- of a pass-through: scales the energy up to the revenue meter
  meters VARCHAR[], -- of a pass-through
  terms VARCHAR NOT NULL -- the charge as it was signed, in JSON with all digits
);

-- GPUs that served a customer: the billable truth.
CREATE TABLE allocations (
  position BIGINT NOT NULL, -- of the start
  site VARCHAR NOT NULL, -- the site
  allocation VARCHAR NOT NULL, -- the scheduler's key
  customer VARCHAR NOT NULL, -- who was served
  host VARCHAR, -- node that the GPUs are built into
  gpus BIGINT NOT NULL, -- how many
  start_utc TIMESTAMP NOT NULL, -- from when on
  end_utc TIMESTAMP, -- NULL: not known to have ended
  local_day DATE, -- at the site, of start_utc
  end_position BIGINT, -- of the end
  end_state VARCHAR, -- the scheduler's word: COMPLETED, FAILED
  source VARCHAR, -- what brought the start
  evidence VARCHAR -- SHA-256 digest of the reply that the start was read from
);

-- Billing periods that are closed.
CREATE TABLE closed_periods (
  position BIGINT NOT NULL, -- of the closing
  as_of_position BIGINT NOT NULL, -- what was known when it was closed
  site VARCHAR NOT NULL, -- the site
  period VARCHAR NOT NULL, -- the month: 2026-10
  start_utc TIMESTAMP NOT NULL, -- local midnight
  end_utc TIMESTAMP NOT NULL, -- local midnight
  local_day DATE, -- at the site, of start_utc
  metered_intervals BIGINT NOT NULL, -- pairs of meter and interval that were read
  estimated_intervals BIGINT NOT NULL, -- that were estimated
  missing_intervals BIGINT NOT NULL, -- that are unknown
  balance_digest VARCHAR, -- SHA-256 digest of the balance of the period
  usage_digest VARCHAR, -- SHA-256 digest of the usage of the period
  margin_digest VARCHAR, -- SHA-256 digest of the margins of the period
  first_day DATE NOT NULL, -- of the period, at the site
  last_day DATE NOT NULL, -- of the period, at the site
  currency VARCHAR NOT NULL, -- of all amounts of the row
  site_energy_milliwatt_hours BIGINT, -- counted by the revenue meter, as it was known at the closing
  mining_revenue DECIMAL(38,10), -- likewise, and so are all figures of the row
  ai_revenue DECIMAL(38,10), -- before the rounding of invoices
  site_cost DECIMAL(38,10), -- of the energy at the revenue meter
  site_margin DECIMAL(38,10), -- mining revenue and AI revenue less the site's cost
  unknown_intervals BIGINT -- of which the margin was not known
);

-- Margins of each use in closed periods, as they were known at the closing:
-- what the table margins says of the same intervals may have changed since.
CREATE TABLE closed_margins (
  position BIGINT NOT NULL, -- of the closing
  as_of_position BIGINT NOT NULL, -- what was known when it was closed
  site VARCHAR NOT NULL, -- the site
  period VARCHAR NOT NULL, -- the month: 2026-10
  use VARCHAR NOT NULL, -- mining, ai, overhead, or site
  currency VARCHAR NOT NULL, -- of all amounts of the row
  energy_milliwatt_hours BIGINT, -- that the use drew; a sum of what is known, NULL if nothing is
  revenue DECIMAL(38,10), -- that it earned
  energy_cost DECIMAL(38,10), -- of its energy
  margin DECIMAL(38,10), -- revenue less cost
  intervals BIGINT NOT NULL, -- in the period
  unknown_intervals BIGINT NOT NULL, -- of which the margin was not known
  estimated_intervals BIGINT NOT NULL -- in which a meter was estimated
);

-- Issued invoices. They never change: those that were voided stay, and are in
-- voided_invoices as well.
CREATE TABLE invoices (
  position BIGINT NOT NULL, -- of the issue
  as_of_position BIGINT NOT NULL, -- what was known when it was drawn
  number VARCHAR NOT NULL, -- of the invoice
  site VARCHAR NOT NULL, -- the site
  contract VARCHAR NOT NULL, -- the contract
  contract_version BIGINT NOT NULL, -- the last one in force in the period
  customer VARCHAR NOT NULL, -- the buyer
  customer_name VARCHAR, -- as the documents name it
  period VARCHAR NOT NULL, -- the month: 2026-10
  start_utc TIMESTAMP NOT NULL, -- of the period, in the contract's zone
  end_utc TIMESTAMP NOT NULL, -- of the period
  zone VARCHAR NOT NULL, -- IANA name of the contract's zone, whose days the next four columns are
  first_day DATE NOT NULL, -- of the period
  last_day DATE NOT NULL, -- of the period
  issued_day DATE NOT NULL, -- as the documents have it
  due_day DATE NOT NULL, -- as the documents have it
  issued_utc TIMESTAMP NOT NULL, -- when it was issued
  due_utc TIMESTAMP NOT NULL, -- when it is due
  currency VARCHAR NOT NULL, -- of all amounts
  minor_digits BIGINT NOT NULL, -- digits of the currency's minor unit: 2 for USD
  subtotal DECIMAL(22,3) NOT NULL, -- sum of the lines
  tax_name VARCHAR, -- of the tax
  tax_rate_portion DECIMAL(28,10) NOT NULL, -- 0.0825 is 8.25 %
  tax_amount DECIMAL(22,3) NOT NULL, -- rounded once, on the subtotal
  total DECIMAL(22,3) NOT NULL, -- subtotal and tax
  prepaid DECIMAL(22,3) NOT NULL -- part of the total that was paid from prepayments when it was issued
);

-- Lines of issued invoices.
CREATE TABLE invoice_lines (
  position BIGINT NOT NULL, -- of the issue
  number VARCHAR NOT NULL, -- of the invoice
  line BIGINT NOT NULL, -- from 1
  site VARCHAR NOT NULL, -- the site
  contract VARCHAR NOT NULL, -- the contract
  charge VARCHAR NOT NULL, -- the charge of the contract
  kind VARCHAR NOT NULL, -- of the charge
  description VARCHAR, -- as the documents have it
  start_utc TIMESTAMP NOT NULL, -- of service
  end_utc TIMESTAMP NOT NULL, -- of service
  first_day DATE NOT NULL, -- of service, in the contract's zone
  last_day DATE NOT NULL, -- of service, in the contract's zone
  quantity DECIMAL(28,10) NOT NULL, -- in unit
  unit VARCHAR NOT NULL, -- GPU-month, GPU-hour, kW-month, kWh, month or each
  unit_price DECIMAL(28,10), -- NULL where every interval has its own
  currency VARCHAR NOT NULL, -- of unit price and amount
  amount DECIMAL(22,3) NOT NULL, -- rounded once
  estimated_quantity DECIMAL(28,10), -- part of quantity that rests on estimates
  detail VARCHAR -- how the amount came about
);

-- Credit and debit notes, which correct issued invoices. They never change, and
-- amounts keep their sign: those of a credit note are mostly negative.
CREATE TABLE credit_notes (
  position BIGINT NOT NULL, -- of the issue
  as_of_position BIGINT NOT NULL, -- what was known when it was drawn
  number VARCHAR NOT NULL, -- of the note
  kind VARCHAR NOT NULL, -- credit: the buyer owes less; debit: more
  corrects VARCHAR NOT NULL, -- number of the invoice
  site VARCHAR NOT NULL, -- the site
  contract VARCHAR NOT NULL, -- the contract
  customer VARCHAR NOT NULL, -- the buyer
  customer_name VARCHAR, -- as the documents name it
  period VARCHAR NOT NULL, -- the month of the service: 2026-10
  zone VARCHAR NOT NULL, -- IANA name of the contract's zone, whose days the next four columns are
  first_day DATE NOT NULL, -- of the period
  last_day DATE NOT NULL, -- of the period
  issued_day DATE NOT NULL, -- as the documents have it
  due_day DATE NOT NULL, -- as the documents have it
  issued_utc TIMESTAMP NOT NULL, -- when it was issued
  currency VARCHAR NOT NULL, -- of all amounts
  subtotal DECIMAL(22,3) NOT NULL, -- sum of the lines
  tax_amount DECIMAL(22,3) NOT NULL, -- on them
  total DECIMAL(22,3) NOT NULL, -- subtotal and tax
  prepaid DECIMAL(22,3) NOT NULL, -- 0 or less: what it gives back of the prepayment that its invoice drew
  causes VARCHAR[] -- what is known now that was not known before
);

-- Lines of credit and debit notes.
CREATE TABLE credit_note_lines (
  position BIGINT NOT NULL, -- of the issue
  number VARCHAR NOT NULL, -- of the note
  line BIGINT NOT NULL, -- from 1
  charge VARCHAR NOT NULL, -- the charge of the contract
  kind VARCHAR NOT NULL, -- of the charge
  description VARCHAR, -- as the documents have it
  start_utc TIMESTAMP NOT NULL, -- of service
  end_utc TIMESTAMP NOT NULL, -- of service
  quantity DECIMAL(28,10) NOT NULL, -- in unit
  unit VARCHAR NOT NULL, -- of the quantity
  unit_price DECIMAL(28,10), -- NULL where every interval has its own
  currency VARCHAR NOT NULL, -- of unit price and amount
  amount DECIMAL(22,3) NOT NULL -- rounded once
);

-- Money that arrived: for invoices, and for use to come; and payments that were
-- taken back.
CREATE TABLE payments (
  position BIGINT NOT NULL, -- of the event
  kind VARCHAR NOT NULL, -- payment, prepayment or reversal (of a payment)
  contract VARCHAR NOT NULL, -- the contract
  number VARCHAR, -- of the invoice; NULL for a prepayment
  currency VARCHAR NOT NULL, -- of the amount
  amount DECIMAL(22,3) NOT NULL, -- what arrived; negative: what was taken back
  value_utc TIMESTAMP NOT NULL, -- value date
  value_day DATE NOT NULL, -- the same as a UTC day
  reference VARCHAR, -- of the bank; of a reversal, that of the payment
  source VARCHAR, -- what brought it
  recorded_utc TIMESTAMP NOT NULL, -- when the log recorded it
  evidence VARCHAR -- SHA-256 digest of the file that it was read from
);

-- Issued invoices that count for nothing. They keep their numbers.
CREATE TABLE voided_invoices (
  position BIGINT NOT NULL, -- of the event
  number VARCHAR NOT NULL, -- of the invoice
  contract VARCHAR NOT NULL, -- the contract
  period VARCHAR NOT NULL, -- the month
  voided_utc TIMESTAMP NOT NULL, -- when it was voided
  voided_day DATE, -- the same in the zone of the invoice
  reason VARCHAR -- why
);

-- What the utility charges for the site's energy. A bill that the utility
-- restates is taken back by a row of its amount with the sign reversed, so that
-- the rows of a reference sum to what it comes to now.
CREATE TABLE utility_bills (
  position BIGINT NOT NULL, -- of the event
  site VARCHAR NOT NULL, -- the site
  start_utc TIMESTAMP NOT NULL, -- of the interval that is billed
  end_utc TIMESTAMP NOT NULL, -- of the interval that is billed
  currency VARCHAR NOT NULL, -- of the amount
  amount DECIMAL(22,3) NOT NULL, -- of the bill; negative: a credit, or what is taken back
  billed_utc TIMESTAMP NOT NULL, -- date of the bill
  reference VARCHAR, -- of the bill
  source VARCHAR, -- what brought it
  recorded_utc TIMESTAMP NOT NULL, -- when the log recorded it
  evidence VARCHAR -- SHA-256 digest of the file that it was read from
);

-- What customers owe by all that is known: issued invoices with their notes and
-- payments. Of an invoice that is voided, what was paid is owed back. The macro
-- receivables_on says what they owed at the end of a day.
CREATE TABLE receivables_ageing (
  position BIGINT NOT NULL, -- of the issue
  number VARCHAR NOT NULL, -- of the invoice
  site VARCHAR NOT NULL, -- the site
  contract VARCHAR NOT NULL, -- the contract
  customer VARCHAR NOT NULL, -- the buyer
  customer_name VARCHAR, -- as the documents name it
  issued_day DATE NOT NULL, -- in the contract's zone
  due_day DATE NOT NULL, -- in the contract's zone
  currency VARCHAR NOT NULL, -- of all amounts
  total DECIMAL(22,3) NOT NULL, -- of the invoice
  notes DECIMAL(22,3) NOT NULL, -- of its credit and debit notes
  paid DECIMAL(22,3) NOT NULL, -- that arrived for it, prepayments that it drew and its notes did not give back included
  voided BOOLEAN NOT NULL, -- the invoice counts for nothing
  open_amount DECIMAL(22,3) NOT NULL, -- total and notes less what was paid; negative: paid beyond what was due
  known_day DATE NOT NULL, -- UTC, of the last event that this file knows
  days_overdue BIGINT NOT NULL, -- on that day; negative: not due yet
  bucket VARCHAR NOT NULL -- settled, not due, 1-30, 31-60, 61-90 or over 90 days
);

-- The double-entry books: one row a posting. The values of an entry sum to zero
-- in each currency, and so do those of the table. An entry is named by site,
-- position and entry.
CREATE TABLE journal (
  position BIGINT NOT NULL, -- of the event that the entry follows from
  event VARCHAR NOT NULL, -- id of that event
  entry BIGINT NOT NULL, -- among the entries of the event, from 1
  posting BIGINT NOT NULL, -- in the entry, from 1
  site VARCHAR NOT NULL, -- whose books
  local_day DATE NOT NULL, -- date of the entry, at the site
  narration VARCHAR, -- what happened, in words
  pending BOOLEAN NOT NULL, -- follows from days that are not closed yet, and may change
  account VARCHAR NOT NULL, -- levels are separated by colons; the first is Assets, Liabilities, Equity, Income or Expenses
  commodity VARCHAR NOT NULL, -- of the amount: a currency, or BTC
  amount DECIMAL(28,10) NOT NULL, -- into the account; negative: out of it
  value DECIMAL(28,10) NOT NULL, -- what the posting counts in the sum of its entry: money as it is, bitcoin at its cost
  value_currency VARCHAR NOT NULL, -- of the value
  lot VARCHAR, -- the bitcoin's: the pool account and day that earned it; NULL for money
  lot_day DATE, -- the local day that earned it
  cost_per_bitcoin DECIMAL(22,3), -- of the lot
  price_event VARCHAR -- id of the event that published the price at which bitcoin came into the entry
);

-- Issued invoices, and the credit and debit notes that correct them, as cost and
-- usage of their customers under the column names of FOCUS (FinOps Open Cost and
-- Usage Specification): the rows of their documents, one a line, and one a tax;
-- of a reservation one of what was used, and one of what was not. A prepayment is
-- a purchase of its own. Prices are contracted; there is no list.
CREATE TABLE focus_cost_and_usage (
  BilledCost DECIMAL(22,3) NOT NULL, -- the rows of a document sum to what it asks to be paid; what is prepaid is billed when it is bought
  BillingAccountId VARCHAR NOT NULL, -- the customer
  BillingAccountName VARCHAR, -- the customer, as the documents name it
  BillingCurrency VARCHAR NOT NULL, -- of all amounts
  BillingPeriodEnd TIMESTAMP NOT NULL, -- exclusive, UTC
  BillingPeriodStart TIMESTAMP NOT NULL, -- of the invoice, UTC; a note is billed in the month of its issue
  CapacityReservationId VARCHAR, -- charge of a reservation
  CapacityReservationStatus VARCHAR, -- Used or Unused: which part of the reservation the row is
  ChargeCategory VARCHAR NOT NULL, -- Usage, Credit, Adjustment or Tax
  ChargeClass VARCHAR, -- Correction: the row is of a note; else NULL
  ChargeDescription VARCHAR, -- as the documents have it
  ChargeFrequency VARCHAR NOT NULL, -- Recurring, Usage-Based or One-Time
  ChargePeriodEnd TIMESTAMP NOT NULL, -- exclusive, UTC
  ChargePeriodStart TIMESTAMP NOT NULL, -- of service, UTC
  ConsumedQuantity DECIMAL(28,10), -- of what is charged by use
  ConsumedUnit VARCHAR, -- of ConsumedQuantity
  ContractedCost DECIMAL(28,10) NOT NULL, -- ContractedUnitPrice times PricingQuantity
  ContractedUnitPrice DECIMAL(28,10), -- NULL where there is not one price for all of the row
  EffectiveCost DECIMAL(22,3) NOT NULL, -- on the document, whatever pays for it; 0 of a prepayment
  HostProviderName VARCHAR, -- who runs the site
  InvoiceDetailId VARCHAR, -- row of focus_invoice_detail; NULL of a prepayment, which is on no invoice
  InvoiceId VARCHAR, -- number of the invoice or note; NULL of a prepayment
  InvoiceIssuerName VARCHAR, -- the seller
  ListCost DECIMAL(28,10) NOT NULL, -- the same as ContractedCost
  ListUnitPrice DECIMAL(28,10), -- the same as ContractedUnitPrice
  PricingCategory VARCHAR, -- Committed, Standard, Dynamic or Other
  PricingQuantity DECIMAL(28,10), -- in PricingUnit
  PricingUnit VARCHAR, -- GPU Months, GPU Hours, kW Months, kWh and others
  RegionId VARCHAR NOT NULL, -- the site
  RegionName VARCHAR, -- the site
  ServiceCategory VARCHAR NOT NULL, -- AI and Machine Learning, or Other
  ServiceName VARCHAR NOT NULL, -- GPU compute, Power, Hosting or Billing
  ServiceProviderName VARCHAR, -- the seller
  ServiceSubcategory VARCHAR, -- Other (AI and Machine Learning), or Other (Other); NULL for documents that were issued without it
  SkuId VARCHAR, -- charge of the contract
  SkuPriceId VARCHAR, -- charge and description
  SubAccountId VARCHAR NOT NULL, -- the contract
  x_ContractVersion BIGINT NOT NULL, -- the last one in force in the period
  x_EstimatedQuantity DECIMAL(28,10), -- part of PricingQuantity that rests on estimates
  x_LogPosition BIGINT NOT NULL, -- what was known when the document was drawn
  x_ReferenceInvoiceId VARCHAR, -- the invoice that a note corrects
  x_Position BIGINT NOT NULL -- of the issue
);

-- Issued invoices and notes under the column names of FOCUS Invoice Detail: one
-- row a line, and one a tax.
CREATE TABLE focus_invoice_detail (
  BilledCost DECIMAL(22,3) NOT NULL, -- to be paid: the sum of BilledCost of its rows in focus_cost_and_usage
  BillingAccountId VARCHAR NOT NULL, -- the customer
  BillingAccountName VARCHAR, -- the customer, as the documents name it
  BillingCurrency VARCHAR NOT NULL, -- of BilledCost and x_Amount
  BillingPeriodEnd TIMESTAMP NOT NULL, -- exclusive, UTC
  BillingPeriodStart TIMESTAMP NOT NULL, -- UTC; a note is billed in the month of its issue
  ChargeCategory VARCHAR NOT NULL, -- Usage, Credit, Adjustment or Tax
  InvoiceDetailCreated TIMESTAMP NOT NULL, -- when the document was issued, UTC
  InvoiceDetailDescription VARCHAR, -- as the line describes it
  InvoiceDetailGrain VARCHAR NOT NULL, -- what tells the row from others, as JSON
  InvoiceDetailId VARCHAR NOT NULL, -- the line, or the tax; unique in the document
  InvoiceDetailLastUpdated TIMESTAMP NOT NULL, -- when the document was issued, or voided, UTC
  InvoiceId VARCHAR NOT NULL, -- number of the invoice or note
  InvoiceIssueDate DATE NOT NULL, -- in the contract's zone
  InvoiceIssueStatus VARCHAR NOT NULL, -- Issued, or Voided
  InvoiceIssuerName VARCHAR, -- the seller
  PaymentCurrency VARCHAR NOT NULL, -- the same as BillingCurrency
  PaymentCurrencyBilledCost DECIMAL(22,3) NOT NULL, -- the same as BilledCost
  PaymentDueDate DATE NOT NULL, -- in the contract's zone
  PaymentTerms VARCHAR NOT NULL, -- in words: Net 30 days
  PurchaseOrderNumber VARCHAR, -- the buyer's, if the contract names one
  ReferenceInvoiceId VARCHAR NOT NULL, -- of a note the invoice that it corrects, else its own number
  x_Amount DECIMAL(22,3) NOT NULL, -- on the document; beyond BilledCost it is paid from prepayments
  x_Kind VARCHAR NOT NULL, -- invoice, credit (note) or debit (note)
  x_Position BIGINT NOT NULL -- of the issue
);

-- What a mining pool says it owes for a day. A later row for the same day is
-- the pool's correction.
CREATE TABLE pool_statements (
  position BIGINT NOT NULL, -- of the event
  pool VARCHAR NOT NULL, -- the pool
  account VARCHAR NOT NULL, -- the account
  earning_day DATE NOT NULL, -- the day of the pool, which is UTC
  start_utc TIMESTAMP NOT NULL, -- of the earning period
  end_utc TIMESTAMP NOT NULL, -- of the earning period
  subsidy_satoshi BIGINT, -- for the work, of new bitcoin, or with fees_satoshi NULL of both; NULL if the pool tells its net alone
  fees_satoshi BIGINT, -- for the work, of transaction fees; NULL if the pool does not tell them apart
  pool_fee_satoshi BIGINT, -- what the pool keeps; NULL if it does not tell
  other_satoshi BIGINT NOT NULL, -- bonuses and deductions
  net_satoshi BIGINT NOT NULL, -- what it owes
  hashes_per_second DECIMAL(38,0), -- mean of the work that the pool credits
  complete BOOLEAN NOT NULL, -- false: the earning period was not over
  source VARCHAR, -- what brought it
  observed_utc TIMESTAMP, -- when the source had it
  recorded_utc TIMESTAMP NOT NULL, -- when the log recorded it
  evidence VARCHAR -- SHA-256 digest of the reply that it was read from
);

-- Bitcoin that arrived for a pool account. What was undone on the chain has a
-- second row that takes it back, so that the rows sum to what has arrived.
CREATE TABLE payouts (
  position BIGINT NOT NULL, -- of the event
  pool VARCHAR NOT NULL, -- the pool
  account VARCHAR NOT NULL, -- the account
  transaction_id VARCHAR NOT NULL, -- on the chain
  address VARCHAR, -- that it was paid to
  arrived_utc TIMESTAMP NOT NULL, -- when it arrived
  arrived_day DATE NOT NULL, -- the same as a UTC day
  amount_satoshi BIGINT NOT NULL, -- what arrived; negative: what did not after all
  source VARCHAR, -- what brought it
  recorded_utc TIMESTAMP NOT NULL, -- when the log recorded it
  evidence VARCHAR -- SHA-256 digest of the reply that it was read from
);

-- Payments out of a pool account's balance as the pool tells them. A later row
-- with the same reference replaces the one before it.
CREATE TABLE pool_payouts (
  position BIGINT NOT NULL, -- of the event
  pool VARCHAR NOT NULL, -- the pool
  account VARCHAR NOT NULL, -- the account
  reference VARCHAR NOT NULL, -- the pool's own name of it
  rail VARCHAR NOT NULL, -- on-chain, generation (of a coinbase), lightning or internal
  status VARCHAR NOT NULL, -- pending, paid or failed
  start_utc TIMESTAMP NOT NULL, -- when it was paid
  amount_satoshi BIGINT NOT NULL, -- that should arrive
  network_fee_satoshi BIGINT NOT NULL, -- that left the balance beside it
  transaction_id VARCHAR, -- on the chain, if it names one
  address VARCHAR, -- that it was paid to
  source VARCHAR, -- what brought it
  recorded_utc TIMESTAMP NOT NULL, -- when the log recorded it
  evidence VARCHAR -- SHA-256 digest of the reply that it was read from
);

-- What people decided about unexplained differences of a pool's days. The last
-- row of a day counts while the difference is what it was.
CREATE TABLE pool_difference_marks (
  position BIGINT NOT NULL, -- of the event
  as_of_position BIGINT NOT NULL, -- what was known when it was decided
  site VARCHAR NOT NULL, -- whose work it is
  pool VARCHAR NOT NULL, -- the pool
  account VARCHAR NOT NULL, -- the account
  start_utc TIMESTAMP NOT NULL, -- of the earning day
  end_utc TIMESTAMP NOT NULL, -- of the earning day
  unexplained_satoshi BIGINT NOT NULL, -- the difference that it is about
  status VARCHAR NOT NULL, -- open, disputed, accepted or written-off
  decided_by VARCHAR NOT NULL, -- who decided it
  note VARCHAR, -- in words
  recorded_utc TIMESTAMP NOT NULL -- when the log recorded it
);

-- Own work against the pool's statement and what arrived, day by day.
-- difference_satoshi = expected_satoshi - received_satoshi = the sum of the
-- thirteen lines of the bridge, which end in _bridge_satoshi.
CREATE TABLE pool_days (
  position BIGINT NOT NULL, -- what was known when the row was drawn
  site VARCHAR NOT NULL, -- whose work it is
  pool VARCHAR NOT NULL, -- the pool
  account VARCHAR NOT NULL, -- the account
  earning_day DATE NOT NULL, -- the day of the pool, which is UTC
  start_utc TIMESTAMP NOT NULL, -- of the earning day
  end_utc TIMESTAMP NOT NULL, -- of the earning day
  local_start TIMESTAMP NOT NULL, -- start_utc by the clock at the site
  local_end TIMESTAMP NOT NULL, -- end_utc by the clock at the site
  share_difficulty DECIMAL(38,8), -- accepted work of the miners that work for the account
  expected_satoshi BIGINT, -- what it should earn, net of the agreed fee
  stated_satoshi BIGINT, -- what the pool says; NULL without a statement
  received_satoshi BIGINT NOT NULL, -- what arrived of it
  difference_satoshi BIGINT, -- expected less received
  work_not_credited_bridge_satoshi BIGINT, -- accepted work that the statement does not pay for
  fee_window_bridge_satoshi BIGINT, -- fees per block: expected against paid
  pool_fee_bridge_satoshi BIGINT, -- fee kept: agreed against taken
  bonus_or_other_bridge_satoshi BIGINT, -- credits and debits beside the work
  no_statement_bridge_satoshi BIGINT, -- nothing is known of what the pool says
  not_received_bridge_satoshi BIGINT, -- stated, but not received
  unpaid_balance_bridge_satoshi BIGINT, -- stated, and not paid out yet, where the pool tells its payouts
  network_fee_bridge_satoshi BIGINT, -- kept of the balance for the transaction
  paid_off_chain_bridge_satoshi BIGINT, -- credited by Lightning or in a book
  paid_not_arrived_bridge_satoshi BIGINT, -- paid by the pool's account of it, and not arrived
  luck_bridge_satoshi BIGINT, -- blocks that the pool found: mean against what they paid
  does_not_add_up_bridge_satoshi BIGINT, -- what the parts of the statement come to less its net, where that is more than rounding
  rounding_bridge_satoshi BIGINT, -- of the pool's credits and of the lines
  sigma_satoshi BIGINT, -- spread of what is stated, where the pool pays by luck; NULL where it does not, or where it is not known
  revenue_basis VARCHAR NOT NULL, -- what the day's revenue rests on: estimated, stated or received
  revenue_satoshi BIGINT, -- by that basis
  finding VARCHAR, -- what a person should look at
  reconciled_position BIGINT -- of the last reconciliation of the day on record
);

-- Reconciliations on record, as they were drawn. A later one of the same day
-- replaces the one before it; what is known by now is in the table pool_days.
CREATE TABLE reconciliations (
  position BIGINT NOT NULL, -- of the event
  as_of_position BIGINT NOT NULL, -- what was known when it was drawn
  site VARCHAR NOT NULL, -- whose work it is
  pool VARCHAR NOT NULL, -- the pool
  account VARCHAR NOT NULL, -- the account
  earning_day DATE NOT NULL, -- the day of the pool, which is UTC
  start_utc TIMESTAMP NOT NULL, -- of the earning day
  end_utc TIMESTAMP NOT NULL, -- of the earning day
  share_difficulty DECIMAL(38,8), -- accepted work of the site's miners
  expected_satoshi BIGINT NOT NULL, -- what it should earn, net of the agreed fee
  stated_satoshi BIGINT NOT NULL, -- what the pool said; 0 without a statement, which a line then says
  received_satoshi BIGINT NOT NULL, -- what arrived of it
  difference_satoshi BIGINT NOT NULL, -- expected less received: the sum of its lines
  finding VARCHAR -- what a person should look at
);

-- The named parts of the differences of reconciliations on record.
CREATE TABLE reconciliation_lines (
  position BIGINT NOT NULL, -- of the event
  line BIGINT NOT NULL, -- from 1
  site VARCHAR NOT NULL, -- whose work it is
  pool VARCHAR NOT NULL, -- the pool
  account VARCHAR NOT NULL, -- the account
  earning_day DATE NOT NULL, -- the day of the pool, which is UTC
  cause VARCHAR NOT NULL, -- work-not-credited, fee-window, pool-fee, bonus-or-other, no-statement, stated-but-not-received, unpaid-balance, network-fee, paid-off-chain, paid-not-arrived, luck, statement-does-not-add-up or rounding
  satoshi BIGINT NOT NULL -- of the difference
);

-- What is out of the ordinary about the data: readings that are late, missing,
-- estimated, corrected or not believed, replies that were not understood, and
-- facts that contradict what is on record.
CREATE TABLE data_gaps (
  position BIGINT NOT NULL, -- of the event
  row BIGINT NOT NULL, -- of the reading in its event
  site VARCHAR, -- the site; NULL for facts of the market
  kind VARCHAR NOT NULL, -- a mark of a reading, late, restated, reversed, rejected or conflict
  start_utc TIMESTAMP, -- of the reading's interval, or of the finding
  end_utc TIMESTAMP, -- of the reading's interval
  local_day DATE, -- at the site, of start_utc
  source VARCHAR, -- what brought it
  device VARCHAR, -- whose reading it is
  channel VARCHAR, -- of the reading
  value DECIMAL(38,0), -- of the reading, in the channel's unit
  register DECIMAL(38,0), -- of the reading
  readings BIGINT, -- how many it is about: late ones that follow each other in one event are one row, with their sum and the last register
  what VARCHAR -- in words, where the kind does not say all
);
