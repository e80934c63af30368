-- Macros of the finance warehouse: arithmetic that stays exact, and tables as
-- they were known before. A client that attached the file calls them after
-- USE wh. Every statement ends with a semicolon at the end of a line.

-- a divided by b, both whole numbers, rounded half away from zero; NULL if b
-- is zero. DuckDB's own division of decimals gives floats.
CREATE MACRO quotient(a, b) AS
  CASE WHEN b = 0 THEN NULL ELSE
    CAST(sign(CAST(a AS HUGEINT)) * sign(CAST(b AS HUGEINT)) AS HUGEINT) * ((2 * abs(CAST(a AS HUGEINT)) + abs(CAST(b AS HUGEINT))) // (2 * abs(CAST(b AS HUGEINT)))) END;

-- An amount of money per MWh of an energy in milliwatt-hours, to four digits.
CREATE MACRO per_megawatt_hour(amount, energy) AS
  CAST(quotient(CAST(amount * 10000000000 AS HUGEINT) * 1000, energy) AS DECIMAL(34,0)) * 0.0001;

-- How many per cent of b a is, both whole numbers, to four digits.
CREATE MACRO percent(a, b) AS
  CAST(quotient(CAST(a AS HUGEINT) * 1000000, b) AS DECIMAL(34,0)) * 0.0001;

-- An energy in milliwatt-hours as MWh, with all digits.
CREATE MACRO megawatt_hours(energy) AS CAST(energy AS DECIMAL(29,0)) * 0.000000001;

-- GPU time in milliseconds as GPU-hours, to four digits.
CREATE MACRO gpu_hours(milliseconds) AS CAST(quotient(milliseconds, 360) AS DECIMAL(34,0)) * 0.0001;

-- Satoshi as bitcoin, with all digits.
CREATE MACRO bitcoin(satoshi) AS CAST(satoshi AS DECIMAL(30,0)) * 0.00000001;

-- What was known at a moment (UTC): the position of the event that was recorded
-- next. Macros that end in _at take it, and so does wattbook sql --at, which
-- answers for all tables.
CREATE MACRO position_at(moment) AS (SELECT count(*) FROM events WHERE created_at <= CAST(moment AS TIMESTAMP));

-- What a period was closed on, and its invoices were drawn from.
CREATE MACRO position_invoiced(month) AS (SELECT max(as_of_position) FROM closed_periods WHERE period = month);

-- What is known now.
CREATE MACRO position_now() AS (SELECT position FROM published);

CREATE MACRO events_at(known) AS TABLE FROM events WHERE position < known;

CREATE MACRO readings_at(known) AS TABLE FROM readings WHERE position < known;

CREATE MACRO decisions_at(known) AS TABLE FROM decisions WHERE position < known;

CREATE MACRO contracts_at(known) AS TABLE FROM contracts WHERE position < known;

CREATE MACRO contract_charges_at(known) AS TABLE FROM contract_charges WHERE position < known;

CREATE MACRO invoices_at(known) AS TABLE FROM invoices WHERE position < known;

CREATE MACRO invoice_lines_at(known) AS TABLE FROM invoice_lines WHERE position < known;

CREATE MACRO payments_at(known) AS TABLE FROM payments WHERE position < known;

CREATE MACRO credit_notes_at(known) AS TABLE FROM credit_notes WHERE position < known;

CREATE MACRO credit_note_lines_at(known) AS TABLE FROM credit_note_lines WHERE position < known;

CREATE MACRO voided_invoices_at(known) AS TABLE FROM voided_invoices WHERE position < known;

CREATE MACRO utility_bills_at(known) AS TABLE FROM utility_bills WHERE position < known;

CREATE MACRO block_fees_at(known) AS TABLE FROM block_fees WHERE position < known;

CREATE MACRO difficulty_at(known) AS TABLE FROM difficulty WHERE position < known;

CREATE MACRO reconciliation_lines_at(known) AS TABLE FROM reconciliation_lines WHERE position < known;

-- Allocations that had started, and of their ends those that were known.
CREATE MACRO allocations_at(known) AS TABLE
SELECT * REPLACE (
  CASE WHEN end_position < known THEN end_utc END AS end_utc,
  CASE WHEN end_position < known THEN end_position END AS end_position,
  CASE WHEN end_position < known THEN end_state END AS end_state)
FROM allocations WHERE position < known;

CREATE MACRO closed_periods_at(known) AS TABLE FROM closed_periods WHERE position < known;

CREATE MACRO closed_margins_at(known) AS TABLE FROM closed_margins WHERE position < known;

CREATE MACRO payouts_at(known) AS TABLE FROM payouts WHERE position < known;

-- Payments that count as the pool tells them: the last of each reference.
CREATE MACRO pool_payouts_at(known) AS TABLE
FROM pool_payouts WHERE position < known
QUALIFY row_number() OVER (PARTITION BY pool, account, reference ORDER BY position DESC) = 1;

-- Decisions that count about differences: the last of each earning day.
CREATE MACRO pool_difference_marks_at(known) AS TABLE
FROM pool_difference_marks WHERE position < known
QUALIFY row_number() OVER (PARTITION BY pool, account, start_utc ORDER BY position DESC) = 1;

CREATE MACRO data_gaps_at(known) AS TABLE FROM data_gaps WHERE position < known;

CREATE MACRO focus_cost_and_usage_at(known) AS TABLE FROM focus_cost_and_usage WHERE x_Position < known;

CREATE MACRO focus_invoice_detail_at(known) AS TABLE FROM focus_invoice_detail WHERE x_Position < known;

CREATE MACRO power_price_history_at(known) AS TABLE FROM power_price_history WHERE position < known;

CREATE MACRO bitcoin_price_history_at(known) AS TABLE FROM bitcoin_price_history WHERE position < known;

-- Prices of power that counted: the last of each interval.
CREATE MACRO power_prices_at(known) AS TABLE
FROM power_price_history WHERE position < known
QUALIFY row_number() OVER (PARTITION BY node, currency, start_utc, end_utc ORDER BY position DESC, row DESC) = 1;

-- Prices of bitcoin that counted: the last of each interval.
CREATE MACRO bitcoin_prices_at(known) AS TABLE
FROM bitcoin_price_history WHERE position < known
QUALIFY row_number() OVER (PARTITION BY currency, start_utc, end_utc ORDER BY position DESC, row DESC) = 1;

-- Statements that count: the last of each earning day.
CREATE MACRO pool_statements_at(known) AS TABLE
FROM pool_statements WHERE position < known
QUALIFY row_number() OVER (PARTITION BY pool, account, start_utc ORDER BY position DESC) = 1;

-- Reconciliations that count: the last of each earning day.
CREATE MACRO reconciliations_at(known) AS TABLE
FROM reconciliations WHERE position < known
QUALIFY row_number() OVER (PARTITION BY pool, account, start_utc ORDER BY position DESC) = 1;

-- What customers owed at the end of a day, and how long it was due: invoices,
-- notes, voids and payments count by the day that they bear, whenever they
-- became known. Without a day, NULL, all of them count, and it is looked at on
-- the day of the last event.
CREATE MACRO receivables_on(looked_on) AS TABLE
WITH noted AS (
  SELECT corrects AS number, sum(total) AS amount, sum(prepaid) AS prepaid FROM credit_notes WHERE looked_on IS NULL OR issued_day <= looked_on GROUP BY corrects
), arrived AS (
  SELECT number, sum(amount) AS amount FROM payments WHERE kind IN ('payment', 'reversal') AND (looked_on IS NULL OR value_day <= looked_on) GROUP BY number
), gone AS (
  SELECT DISTINCT number FROM voided_invoices WHERE looked_on IS NULL OR voided_day <= looked_on
), owed AS (
  SELECT i.*, v.number IS NOT NULL AS voided, COALESCE(looked_on, (SELECT CAST(known_utc AS DATE) FROM published)) AS looked_at,
    CAST(COALESCE(n.amount, 0) AS DECIMAL(22,3)) AS notes,
    CAST(COALESCE(p.amount, 0) + if(v.number IS NULL, i.prepaid + COALESCE(n.prepaid, 0), 0) AS DECIMAL(22,3)) AS paid,
    CAST(if(v.number IS NULL, i.total + COALESCE(n.amount, 0) - i.prepaid - COALESCE(n.prepaid, 0), 0) - COALESCE(p.amount, 0) AS DECIMAL(22,3)) AS open_amount,
    greatest(date_diff('day', i.due_day, COALESCE(looked_on, (SELECT CAST(known_utc AS DATE) FROM published))), 0) AS days_overdue
  FROM invoices i LEFT JOIN noted n USING (number) LEFT JOIN arrived p USING (number) LEFT JOIN gone v USING (number)
  WHERE looked_on IS NULL OR i.issued_day <= looked_on
)
SELECT position, number, site, contract, customer, customer_name, issued_day, due_day, currency, minor_digits, total, notes, paid, voided, open_amount, looked_at, days_overdue,
  CASE WHEN open_amount <= 0 THEN 'settled' WHEN days_overdue = 0 THEN 'not due' WHEN days_overdue <= 30 THEN '1-30 days' WHEN days_overdue <= 60 THEN '31-60 days'
    WHEN days_overdue <= 90 THEN '61-90 days' ELSE 'over 90 days' END AS bucket
FROM owed;

-- What counted of the readings, like the view booked_values.
CREATE MACRO booked_values_at(known) AS TABLE
WITH stepped AS (
  SELECT r.*, s.step_microseconds AS step_length,
    epoch_us(r.start_utc) // s.step_microseconds AS first_step,
    epoch_us(r.end_utc) // s.step_microseconds AS end_step
  FROM readings r JOIN sites s ON s.site = r.site
  WHERE r.books AND r.position < known
), spread AS (
  SELECT *, end_step - first_step AS steps, unnest(range(first_step, end_step)) AS step
  FROM stepped
  WHERE end_step - first_step <= 105408
)
SELECT position, row, site, device, channel,
  make_timestamp(step * step_length) AS start_utc, make_timestamp((step + 1) * step_length) AS end_utc,
  CAST(CASE WHEN steps = 1 THEN value
    ELSE CAST(CAST(value AS HUGEINT) * (step - first_step + 1) // steps
            - CAST(value AS HUGEINT) * (step - first_step) // steps AS DECIMAL(38,0)) END AS DECIMAL(38,0)) AS value,
  unit, CASE WHEN steps > 1 OR mark = 'estimated' THEN 'estimated' ELSE 'metered' END AS state, provenance, source, evidence
FROM spread
QUALIFY row_number() OVER (PARTITION BY site, device, channel, step ORDER BY position DESC, row DESC) = 1;
