-- What each invoice comes to when it is computed again from usage, meters and
-- prices, beside what was issued. All of it is integer arithmetic: no step
-- rounds but those that the contract names, once per line and once for the tax.
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
), gpu AS ( -- milliseconds inside and beyond a reservation
  SELECT c.number, c.charge,
    sum(CAST(u.gpu_milliseconds AS HUGEINT)) AS used,
    sum(greatest(CAST(u.gpu_milliseconds AS HUGEINT) - c.quantity * (epoch_ms(u.end_utc) - epoch_ms(u.start_utc)), 0)) AS beyond
  FROM charges c JOIN usage u ON u.customer = c.customer AND u.site = c.site AND u.start_utc >= c.period_start AND u.end_utc <= c.period_end
  WHERE c.kind IN ('reserved-gpus', 'on-demand-gpus')
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
