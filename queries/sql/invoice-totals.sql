-- What each invoice and note comes to when it is computed again from allocations, readings, prices and contracts.
-- All of it is integer arithmetic: no step rounds but those that the contract
-- names, once per line and once for the tax. Every document is computed on what
-- was known when it was drawn: the events before its as_of_position. A note's
-- figure is that of its invoice with all notes up to it. Charges that are
-- computed from other lines, or rated over the whole period, are not said here:
-- computed is NULL then, and the last column says why.
WITH documents AS (
  SELECT number, number AS invoice, position, as_of_position, total FROM invoices
  UNION ALL
  SELECT number, corrects, position, as_of_position, total FROM credit_notes
), papers AS (
  SELECT d.number, d.invoice, d.position, d.as_of_position, i.contract, i.site, i.customer, i.start_utc, i.end_utc, s.step_microseconds AS step_length, s.node, s.zone AS site_zone,
    epoch_us(i.end_utc) - epoch_us(i.start_utc) AS month_length,
    sum(d.total) OVER (PARTITION BY d.invoice ORDER BY d.position) AS issued
  FROM documents d JOIN invoices i ON i.number = d.invoice JOIN sites s ON s.site = i.site
), signed AS ( -- versions that were known, up to the start of the next
  SELECT p.*, c.version, c.zone, c.currency, c.tax_rate_portion, c.minor_digits,
    greatest(c.start_utc, p.start_utc) AS from_utc,
    least(COALESCE(c.end_utc, p.end_utc), p.end_utc, COALESCE(min(c.start_utc) OVER (PARTITION BY p.number ORDER BY c.version ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING), p.end_utc)) AS until_utc
  FROM papers p JOIN contracts c ON c.contract = p.contract AND c.position < p.as_of_position
), charges AS ( -- from when until when each is in force in the period
  SELECT v.*, c.charge, c.ordinal, c.kind, c.meters, c.terms, CAST(COALESCE(c.quantity, 0) AS HUGEINT) AS quantity,
    CAST(CASE v.minor_digits WHEN 0 THEN 1 WHEN 2 THEN 100 ELSE 1000 END AS HUGEINT) AS minor,
    CAST(COALESCE(c.rate, 0) * 10000000000 AS HUGEINT) AS rate_e10,
    CAST(COALESCE(c.overage_rate, 0) * 10000000000 AS HUGEINT) AS overage_e10,
    COALESCE(CAST(json_extract_string(c.terms, '$.overage_factor') AS DECIMAL(28,10)), 0) AS factor,
    CAST(COALESCE(c.adder_per_megawatt_hour, 0) * 10000000000 AS HUGEINT) AS adder_e10,
    CAST((1 + CAST(COALESCE(c.loss_portion, 0) AS DECIMAL(14,10))) * CAST(COALESCE(json_extract_string(c.terms, '$.pue.cap'), '1') AS DECIMAL(12,6)) AS DECIMAL(38,16)) AS gross, -- energy for energy metered
    COALESCE(json_extract_string(c.terms, '$.index'), v.node) AS priced_at,
    CAST(CAST(json_extract_string(c.terms, '$.index_floor') AS DECIMAL(28,10)) * 10000000000 AS HUGEINT) AS floor_e10,
    CAST(CAST(json_extract_string(c.terms, '$.index_cap') AS DECIMAL(28,10)) * 10000000000 AS HUGEINT) AS cap_e10,
    c.kind IN ('reserved-gpus', 'on-demand-gpus') OR c.kind = 'usage' AND json_extract_string(c.terms, '$.measure') = 'gpu-hours' AS takes_gpus,
    greatest(v.from_utc, COALESCE(CAST(json_extract_string(c.terms, '$.from') AS TIMESTAMP), v.from_utc)) AS begins,
    least(v.until_utc, COALESCE(CAST(json_extract_string(c.terms, '$.until') AS TIMESTAMP), v.until_utc)) AS ends
  FROM signed v JOIN contract_charges c ON c.contract = v.contract AND c.version = v.version AND c.position < v.as_of_position
  WHERE v.from_utc < v.until_utc
), known AS ( -- which of them are said here
  SELECT *, epoch_us(ends) - epoch_us(begins) AS length,
    CASE
      WHEN kind IN ('percentage', 'minimum', 'maximum', 'commitment', 'sla-credit') THEN 'is computed from other lines'
      WHEN json_extract(terms, '$.ramp') IS NOT NULL THEN 'changes in steps'
      WHEN kind = 'usage' AND (COALESCE(json_extract_string(terms, '$.model'), '') <> '' OR json_extract(terms, '$.free_quantity') IS NOT NULL OR json_extract(terms, '$.block_quantity') IS NOT NULL) THEN 'is rated over the whole period'
      WHEN kind = 'usage' AND json_extract(terms, '$.index') IS NOT NULL THEN 'follows an index'
      WHEN kind = 'usage' AND json_extract(terms, '$.windows') IS NOT NULL AND (takes_gpus OR zone <> site_zone) THEN 'is priced by the time of day of GPU time, or of another zone'
      WHEN kind = 'reserved-power' AND factor <> 0 THEN 'has power beyond the reservation'
      WHEN json_extract(terms, '$.pue.facility') IS NOT NULL THEN 'is scaled by the PUE of each interval'
      WHEN gross <> round(gross, 8) THEN 'scales energy by more than eight digits'
      WHEN kind IN ('usage', 'power-pass-through', 'demand') AND NOT takes_gpus AND (epoch_us(begins) % step_length <> 0 OR epoch_us(ends) % step_length <> 0) THEN 'begins or ends inside a metering interval'
      WHEN takes_gpus AND (begins > from_utc OR ends < until_utc) AND count(*) FILTER (takes_gpus) OVER (PARTITION BY number, version) > 1 THEN 'begins or ends among others that take GPU time'
    END AS unsaid
  FROM charges
  WHERE begins < ends
), takers AS ( -- what takes the GPU time that reservations leave: the first of a version that can
  SELECT * FROM (
    SELECT *, sum(if(kind = 'reserved-gpus', quantity, 0)) OVER (PARTITION BY number, version ORDER BY ordinal) AS reserved
    FROM known WHERE takes_gpus
  )
  WHERE kind <> 'reserved-gpus' OR overage_e10 <> 0 OR factor <> 0
  QUALIFY row_number() OVER (PARTITION BY number, version ORDER BY ordinal) = 1
), served AS ( -- GPU time in each metering interval or the part of it that the charge is in force, in milliseconds
  SELECT t.number, t.version, t.charge, t.reserved, g.step, any_value(t.begins) AS begins, any_value(t.ends) AS ends, any_value(t.step_length) AS step_length,
    sum(CAST(a.gpus AS HUGEINT) * (least(epoch_us(a.end_utc), (g.step + 1) * t.step_length, epoch_us(t.ends)) - greatest(epoch_us(a.start_utc), g.step * t.step_length, epoch_us(t.begins)))) // 1000 AS milliseconds
  FROM takers t
  JOIN (SELECT position, site, customer, gpus, start_utc, COALESCE(end_utc, TIMESTAMP '9999-01-01') AS known_end, end_position FROM allocations) b
    ON b.site = t.site AND b.customer = t.customer AND b.position < t.as_of_position AND b.start_utc < t.ends,
  LATERAL (SELECT b.gpus, b.start_utc, if(COALESCE(b.end_position < t.as_of_position, false), b.known_end, TIMESTAMP '9999-01-01') AS end_utc) a,
  LATERAL (SELECT unnest(range(epoch_us(greatest(a.start_utc, t.begins)) // t.step_length, (epoch_us(least(a.end_utc, t.ends)) - 1) // t.step_length + 1)) AS step) g
  WHERE a.end_utc > t.begins
  GROUP BY ALL
), left_over AS (
  SELECT number, version, charge, CAST(sum(greatest(milliseconds
    - reserved * (least((step + 1) * step_length, epoch_us(ends)) - greatest(step * step_length, epoch_us(begins))) // 1000, 0)) AS HUGEINT) AS milliseconds
  FROM served
  GROUP BY ALL
), meters AS ( -- whose readings are asked for
  SELECT DISTINCT number, as_of_position, site, step_length, start_utc, end_utc, unnest(meters) AS device FROM known WHERE unsaid IS NULL AND NOT takes_gpus AND len(meters) > 0
), counted AS ( -- what counted of the readings that were known
  SELECT number, device, step,
    if(steps = 1, CAST(value AS HUGEINT), CAST(value AS HUGEINT) * (step - first_step + 1) // steps - CAST(value AS HUGEINT) * (step - first_step) // steps) AS energy
  FROM (
    SELECT m.number, m.device, m.start_utc AS period_start, m.end_utc AS period_end, m.step_length, r.position, r.row, r.value,
      epoch_us(r.start_utc) // m.step_length AS first_step, epoch_us(r.end_utc) // m.step_length - first_step AS steps,
      unnest(range(epoch_us(r.start_utc) // m.step_length, epoch_us(r.end_utc) // m.step_length)) AS step
    FROM meters m JOIN readings r ON r.site = m.site AND r.device = m.device AND r.channel = 'energy.import' AND r.books AND r.position < m.as_of_position
      AND r.start_utc < m.end_utc AND r.end_utc > m.start_utc AND epoch_us(r.end_utc) - epoch_us(r.start_utc) <= 105408 * m.step_length
  )
  QUALIFY row_number() OVER (PARTITION BY number, device, step ORDER BY position DESC, row DESC) = 1
), metered AS ( -- by charge and metering interval
  SELECT k.number, k.version, k.charge, v.step, sum(v.energy) AS energy
  FROM (SELECT number, version, charge, begins, ends, step_length, unnest(meters) AS device FROM known WHERE unsaid IS NULL AND NOT takes_gpus) k
  JOIN counted v ON v.number = k.number AND v.device = k.device AND v.step >= epoch_us(k.begins) // k.step_length AND v.step < epoch_us(k.ends) // k.step_length
  GROUP BY ALL
), published_prices AS ( -- the last that was known of each interval
  SELECT a.number, h.node, h.price_per_megawatt_hour AS price, epoch_us(h.start_utc) AS starts, epoch_us(h.end_utc) AS ends, a.step_length,
    gcd(a.step_length, min(epoch_us(h.end_utc) - epoch_us(h.start_utc)) OVER (PARTITION BY a.number, h.node)) AS piece
  FROM (SELECT DISTINCT number, as_of_position, priced_at, currency, step_length, start_utc, end_utc FROM known WHERE unsaid IS NULL AND kind = 'power-pass-through') a
  JOIN power_price_history h ON h.node = a.priced_at AND h.currency = a.currency AND h.position < a.as_of_position AND h.start_utc < a.end_utc AND h.end_utc > a.start_utc
  QUALIFY row_number() OVER (PARTITION BY a.number, h.node, h.start_utc, h.end_utc ORDER BY h.position DESC, h.row DESC) = 1
), priced AS ( -- of those that cover an instant the shortest; where prices change in a metering interval their mean over time
  SELECT number, node, place * piece // step_length AS step, quotient(sum(CAST(price * 10000000000 AS HUGEINT)), count(*)) AS price_e10
  FROM (
    SELECT number, node, price, step_length, piece, place
    FROM (SELECT *, unnest(range(starts // piece, ends // piece)) AS place FROM published_prices)
    QUALIFY row_number() OVER (PARTITION BY number, node, place ORDER BY ends - starts) = 1
  )
  GROUP BY number, node, step, step_length, piece
  HAVING count(*) = step_length // piece
), windows AS ( -- of a charge by the time of day, in minutes of the local week from Sunday on
  SELECT number, version, charge, place, rate_e10, minutes, (list_position(['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'], day) - 1) * 1440 + opens AS opens
  FROM (
    SELECT number, version, charge, place, CAST(CAST(json_extract_string(said, '$.rate') AS DECIMAL(28,10)) * 10000000000 AS HUGEINT) AS rate_e10,
      CAST(left(json_extract_string(said, '$.from'), 2) AS BIGINT) * 60 + CAST(right(json_extract_string(said, '$.from'), 2) AS BIGINT) AS opens,
      (CAST(left(json_extract_string(said, '$.to'), 2) AS BIGINT) * 60 + CAST(right(json_extract_string(said, '$.to'), 2) AS BIGINT) - opens + 1439) % 1440 + 1 AS minutes,
      unnest(COALESCE(CAST(json_extract(said, '$.days') AS VARCHAR[]), ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'])) AS day
    FROM (
      SELECT number, version, charge, unnest(CAST(json_extract(terms, '$.windows') AS JSON[])) AS said, unnest(range(len(CAST(json_extract(terms, '$.windows') AS JSON[])))) AS place
      FROM known WHERE unsaid IS NULL AND json_extract(terms, '$.windows') IS NOT NULL
    )
  )
), timed AS (
  SELECT t.number, t.version, t.charge, t.energy, w.place, w.rate_e10
  FROM (
    SELECT m.*, dayofweek(h.local_start) * 1440 + hour(h.local_start) * 60 + minute(h.local_start) + (m.step * k.step_length) % 3600000000 // 60000000 AS minute
    FROM metered m JOIN known k USING (number, version, charge)
    JOIN (SELECT site, start_utc, local_start FROM margins_by_hour WHERE use = 'site') h ON h.site = k.site AND h.start_utc = make_timestamp(m.step * k.step_length - (m.step * k.step_length) % 3600000000)
  ) t JOIN windows w ON w.number = t.number AND w.version = t.version AND w.charge = t.charge AND (t.minute - w.opens + 10080) % 10080 < w.minutes
  QUALIFY row_number() OVER (PARTITION BY t.number, t.version, t.charge, t.step ORDER BY w.place DESC) = 1
), lines AS ( -- each rounded once, half away from zero, to the minor unit
  SELECT number, quotient(CASE WHEN kind = 'fixed' THEN 1 ELSE quantity END * rate_e10 * minor * length, CAST(month_length AS HUGEINT) * 10000000000) AS amount
  FROM known WHERE kind IN ('reserved-gpus', 'reserved-power', 'fixed')
  UNION ALL
  SELECT number, CASE
      WHEN kind <> 'reserved-gpus' THEN quotient(milliseconds * rate_e10 * minor, 36000000000000000)
      WHEN factor = 0 THEN quotient(milliseconds * overage_e10 * minor, 36000000000000000)
      ELSE quotient(milliseconds * 1000 * CAST(factor * 10000 AS HUGEINT) * (rate_e10 // 1000000) * minor, CAST(month_length AS HUGEINT) * 100000000) END
  FROM takers JOIN left_over USING (number, version, charge)
  UNION ALL
  SELECT k.number, quotient(sum(m.energy * (least(greatest(p.price_e10, COALESCE(k.floor_e10, p.price_e10)), COALESCE(k.cap_e10, greatest(p.price_e10, COALESCE(k.floor_e10, p.price_e10)))) + k.adder_e10) * CAST(k.gross * 100000000 AS HUGEINT)) * any_value(k.minor), CAST(1000000000000000000000000000 AS HUGEINT))
  FROM known k JOIN metered m USING (number, version, charge) JOIN priced p ON p.number = k.number AND p.node = k.priced_at AND p.step = m.step
  WHERE k.kind = 'power-pass-through'
  GROUP BY k.number, k.version, k.charge
  UNION ALL
  SELECT k.number, quotient(sum(m.energy) * any_value(k.rate_e10 * k.minor), 10000000000000000)
  FROM known k JOIN metered m USING (number, version, charge)
  WHERE k.kind = 'usage' AND json_extract(k.terms, '$.windows') IS NULL
  GROUP BY k.number, k.version, k.charge
  UNION ALL
  SELECT t.number, quotient(sum(t.energy) * any_value(t.rate_e10 * k.minor), 10000000000000000)
  FROM timed t JOIN known k USING (number, version, charge)
  GROUP BY t.number, t.version, t.charge, t.place
  UNION ALL -- the greatest mean power of an interval, for the part of the month
  SELECT k.number, quotient(max(m.energy) * any_value(k.rate_e10 * k.minor) * 3600 * any_value(k.length // 1000000), any_value(CAST(k.month_length // 1000000 AS HUGEINT) * (k.step_length // 1000000)) * 10000000000000000)
  FROM known k JOIN metered m USING (number, version, charge)
  WHERE k.kind = 'demand'
  GROUP BY k.number, k.version, k.charge
), sums AS (
  SELECT number, sum(amount) AS subtotal FROM lines GROUP BY number
), taxed AS ( -- by the last version in force
  SELECT number, arg_max(tax_rate_portion, version) AS rate, arg_max(minor_digits, version) AS digits FROM signed WHERE from_utc < until_utc GROUP BY number
), unsaid AS (
  SELECT number, string_agg('charge ' || charge || ' ' || unsaid, '; ' ORDER BY version, ordinal) AS why FROM known WHERE unsaid IS NOT NULL GROUP BY number
), totals AS (
  SELECT t.number, t.digits, COALESCE(s.subtotal, 0) + quotient(COALESCE(s.subtotal, 0) * CAST(COALESCE(t.rate, 0) * 10000000000 AS HUGEINT), 10000000000) AS total
  FROM taxed t LEFT JOIN sums s USING (number)
)
SELECT
  p.number, -- of the invoice or note
  p.invoice, -- that it is, or corrects
  CAST(CASE WHEN u.why IS NULL THEN CAST(t.total AS DECIMAL(19,0)) * CASE t.digits WHEN 0 THEN 1.000 WHEN 2 THEN 0.010 ELSE 0.001 END END AS DECIMAL(22,3)) AS computed, -- again: the invoice with all notes up to this document; NULL where it is not said here
  p.issued, -- on the invoice and these notes
  computed = p.issued AS same, -- to the minor unit
  u.why -- computed is NULL
FROM papers p LEFT JOIN totals t USING (number) LEFT JOIN unsaid u USING (number)
ORDER BY p.invoice, p.position;
