-- What invoices of a month would come to with all that is known now, beside what was issued: the effect of late data.
-- param month (month): billing period; without it the last one that is closed
-- Charges that are rated over the whole period (tiers, demand, minimums and
-- others) are left out of every figure and named: wattbook invoice run issues
-- the notes that they need too.
WITH accrued AS ( -- the charges of an invoice that earn interval by interval
  SELECT i.number, a.charge, sum(a.amount) AS amount, count(*) - count(a.amount) AS unknown
  FROM invoices i JOIN accruals a ON a.contract = i.contract AND a.start_utc >= i.start_utc AND a.end_utc <= i.end_utc
  WHERE i.period = COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods))
  GROUP BY ALL
), now AS (
  SELECT number, sum(amount) AS amount, sum(unknown) AS unknown FROM accrued GROUP BY number
), billed AS (
  SELECT number, charge, amount AS issued, 0 AS noted FROM invoice_lines
  UNION ALL
  SELECT n.corrects, l.charge, 0, l.amount FROM credit_note_lines l JOIN credit_notes n USING (number)
), sums AS (
  SELECT b.number, sum(b.issued) FILTER (a.number IS NOT NULL) AS issued, sum(b.noted) FILTER (a.number IS NOT NULL) AS noted,
    string_agg(DISTINCT b.charge, ', ' ORDER BY b.charge) FILTER (a.number IS NULL) AS left_out
  FROM billed b LEFT JOIN accrued a USING (number, charge)
  GROUP BY b.number
)
SELECT
  i.customer_name,
  i.number,
  CAST(COALESCE(s.issued, 0) AS DECIMAL(22,3)) AS issued, -- before tax, of the charges that earn interval by interval
  CAST(COALESCE(s.noted, 0) AS DECIMAL(22,3)) AS notes, -- before tax, of its credit and debit notes for the same charges
  round(COALESCE(n.amount, 0), 2) AS now, -- lines are rounded once each on an invoice, and here once in all
  now - issued - notes AS effect, -- what no note has corrected yet; a cent or two is rounding
  CAST(n.unknown AS BIGINT) AS unknown, -- charges of intervals that are not in the sum, since a price or a meter is not known
  s.left_out, -- charges that are rated over the whole period, and in no figure of the row
  (SELECT count(*) FROM readings r WHERE r.books AND r.site = i.site AND r.position >= i.as_of_position AND r.start_utc < i.end_utc AND r.end_utc > i.start_utc) AS later_readings,
  i.currency
FROM invoices i LEFT JOIN now n USING (number) LEFT JOIN sums s USING (number)
WHERE i.period = COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods))
  AND i.number NOT IN (SELECT number FROM voided_invoices)
ORDER BY i.number;
