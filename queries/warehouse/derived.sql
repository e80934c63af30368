-- What the publisher computes from tables into tables, for every database that
-- it publishes.

INSERT INTO receivables_ageing
WITH noted AS (
  SELECT corrects AS number, sum(total) AS amount, sum(prepaid) AS prepaid FROM credit_notes GROUP BY 1
), arrived AS (
  SELECT number, sum(amount) AS amount FROM payments WHERE kind IN ('payment', 'reversal') GROUP BY 1
), owed AS (
  SELECT i.*, CAST(COALESCE(n.amount, 0) AS DECIMAL(22,3)) AS notes, v.number IS NOT NULL AS voided,
    CAST(COALESCE(p.amount, 0) + if(voided, 0, i.prepaid + COALESCE(n.prepaid, 0)) AS DECIMAL(22,3)) AS paid,
    CAST(CASE WHEN voided THEN -paid ELSE i.total + notes - paid END AS DECIMAL(22,3)) AS open_amount
  FROM invoices i LEFT JOIN noted n USING (number) LEFT JOIN arrived p USING (number) LEFT JOIN (SELECT DISTINCT number FROM voided_invoices) v USING (number)
)
SELECT o.position, o.number, o.site, o.contract, o.customer, o.customer_name, o.issued_day, o.due_day, o.currency, o.total, o.notes, o.paid, o.voided, o.open_amount,
  k.day, date_diff('day', o.due_day, k.day) AS days,
  CASE WHEN o.open_amount <= 0 THEN 'settled' WHEN days <= 0 THEN 'not due' WHEN days <= 30 THEN '1-30 days' WHEN days <= 60 THEN '31-60 days'
    WHEN days <= 90 THEN '61-90 days' ELSE 'over 90 days' END
FROM owed o, (SELECT CAST(known_utc AS DATE) AS day FROM published) k
ORDER BY o.position;

UPDATE focus_invoice_detail AS f SET InvoiceIssueStatus = 'Voided', InvoiceDetailLastUpdated = v.voided_utc
FROM (SELECT number, max(voided_utc) AS voided_utc FROM voided_invoices GROUP BY 1) v
WHERE f.InvoiceId = v.number;
