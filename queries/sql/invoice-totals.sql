-- What each invoice comes to when it is computed again from allocations, readings, prices and contracts, beside what was issued.
-- All of it is integer arithmetic: no step rounds but those that the contract
-- names, once per line and once for the tax. It takes the charges as they are
-- in the version that is named on the invoice.
WITH parties AS (
  SELECT i.number, i.contract, i.contract_version AS version, i.customer, i.site, i.start_utc, i.end_utc, i.total, i.tax_rate_portion
  FROM invoices i
), charges AS (
  SELECT p.number, p.customer, p.site, p.start_utc AS period_start, p.end_utc AS period_end, c.charge, c.kind, c.meters,
    CAST(c.quantity AS HUGEINT) AS quantity,
    CAST(COALESCE(c.rate, 0) * 10000000000 AS HUGEINT) AS rate_e10,
    CAST(COALESCE(c.overage_rate, 0) * 10000000000 AS HUGEINT) AS overage_e10,
    COALESCE(c.adder_per_megawatt_hour, 0) AS adder,
    CAST((1 + COALESCE(c.loss_portion, 0)) * 10000000000 AS HUGEINT) AS gross_e10
  FROM parties p JOIN contract_charges c ON c.contract = p.contract AND c.version = p.version
), served AS ( -- GPU time of each customer in each metering interval, in milliseconds
  SELECT c.number, c.charge, c.quantity, s.step_microseconds, g.step,
    sum(CAST(a.gpus AS HUGEINT) * (least(epoch_us(a.end_utc), (g.step + 1) * s.step_microseconds, epoch_us(c.period_end))
      - greatest(epoch_us(a.start_utc), g.step * s.step_microseconds, epoch_us(c.period_start)))) // 1000 AS milliseconds
  FROM charges c
  JOIN sites s ON s.site = c.site
  JOIN (SELECT * REPLACE (COALESCE(end_utc, TIMESTAMP '9999-01-01') AS end_utc) FROM allocations) a
    ON a.site = c.site AND a.customer = c.customer AND a.start_utc < c.period_end AND a.end_utc > c.period_start,
  LATERAL (SELECT unnest(range(epoch_us(greatest(a.start_utc, c.period_start)) // s.step_microseconds,
    (epoch_us(least(a.end_utc, c.period_end)) - 1) // s.step_microseconds + 1)) AS step) g
  WHERE c.kind IN ('reserved-gpus', 'on-demand-gpus')
  GROUP BY ALL
), gpu AS ( -- inside and beyond a reservation
  SELECT number, charge, sum(milliseconds) AS used,
    sum(greatest(milliseconds - quantity * step_microseconds // 1000, 0)) AS beyond
  FROM served
  GROUP BY ALL
), power AS ( -- milliwatt-hours x price and adder x losses, in 10^-29 of the currency
  SELECT c.number, c.charge,
    sum(CAST(v.value AS HUGEINT) * CAST((p.price_per_megawatt_hour + c.adder) * 10000000000 AS HUGEINT) * c.gross_e10) AS amount_e29
  FROM charges c
  JOIN booked_values v ON v.site = c.site AND list_contains(c.meters, v.device) AND v.channel = 'energy.import' AND v.start_utc >= c.period_start AND v.end_utc <= c.period_end
  JOIN sites s ON s.site = c.site
  JOIN power_prices p ON p.node = s.node AND p.currency = s.currency AND p.start_utc <= v.start_utc AND v.end_utc <= p.end_utc
  WHERE c.kind = 'power-pass-through'
  GROUP BY ALL
), lines AS ( -- each rounded once, half away from zero, to the cent
  SELECT number, charge, (quantity * rate_e10 + 50000000) // 100000000 AS cents
  FROM charges WHERE kind IN ('reserved-gpus', 'reserved-power')
  UNION ALL
  SELECT c.number, c.charge, (g.beyond * c.overage_e10 + 180000000000000) // 360000000000000
  FROM charges c JOIN gpu g USING (number, charge) WHERE c.kind = 'reserved-gpus'
  UNION ALL
  SELECT c.number, c.charge, (g.used * c.rate_e10 + 180000000000000) // 360000000000000
  FROM charges c JOIN gpu g USING (number, charge) WHERE c.kind = 'on-demand-gpus'
  UNION ALL
  SELECT number, charge,
    sign(amount_e29) * ((abs(amount_e29) + 500000000000000000000000000) // 1000000000000000000000000000)
  FROM power
), sums AS (
  SELECT number, sum(cents) AS subtotal_cents FROM lines GROUP BY 1
)
SELECT
  p.number, -- of the invoice
  CAST(s.subtotal_cents + (s.subtotal_cents * CAST(p.tax_rate_portion * 10000 AS HUGEINT) + 5000) // 10000 AS DECIMAL(20,0)) * 0.01 AS computed, -- again
  p.total AS issued, -- on the invoice
  computed = issued AS same -- to the cent
FROM parties p JOIN sums s USING (number)
ORDER BY number;
