-- An auditor's sample of the readings behind an invoice's pass-through of power, drawn by a digest of what was measured.
-- param number (text): invoice; without it the last one that passes power through
-- param count (integer): how many readings; without it 10
-- Whoever draws it again draws the same readings, and nobody chose them. wattbook prove shows each in the signed log.
WITH chosen AS (
  SELECT COALESCE(getvariable('number'), (SELECT max(number) FROM invoice_lines WHERE kind = 'power-pass-through')) AS number
), behind AS (
  SELECT i.number, r.*
  FROM chosen JOIN invoices i USING (number)
  JOIN contract_charges c ON c.contract = i.contract AND c.version = i.contract_version AND c.kind = 'power-pass-through'
  JOIN readings r ON r.site = i.site AND list_contains(c.meters, r.device) AND r.channel = 'energy.import' AND r.books
    AND r.start_utc >= i.start_utc AND r.end_utc <= i.end_utc AND r.position < i.as_of_position
)
SELECT
  number, -- of the invoice
  position, -- of the event in the log
  row, -- in the event
  device,
  start_utc,
  end_utc,
  value AS milliwatt_hours,
  register, -- of the meter at the end of the interval
  mark,
  evidence -- SHA-256 digest of the meter's reply
FROM behind
ORDER BY sha256(site || '/' || device || '/' || epoch_us(start_utc)), position, row
LIMIT CAST(COALESCE(getvariable('count'), '10') AS BIGINT);
