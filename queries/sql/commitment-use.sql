-- How much of what customers reserved they used in a month, and what they used beyond it.
-- param month (month): month of local days; without it the last one that is closed
WITH chosen AS (
  SELECT COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods)) AS month
), reserved AS (
  SELECT a.customer, a.contract, a.charge, a.site, a.start_utc, a.end_utc, a.overage, a.quantity, a.used_gpu_hours, c.quantity AS gpus
  FROM accruals a JOIN contract_charges c ON c.contract = a.contract AND c.version = a.version AND c.charge = a.charge, chosen
  WHERE a.kind = 'reserved-gpus' AND strftime(a.local_day, '%Y-%m') = chosen.month
), sums AS (
  SELECT customer, contract, charge,
    sum(CAST(gpus AS HUGEINT) * (epoch_ms(end_utc) - epoch_ms(start_utc))) FILTER (NOT overage) AS reserved_milliseconds,
    sum(used_gpu_hours) FILTER (NOT overage) AS used,
    COALESCE(sum(quantity) FILTER (overage), 0) AS beyond
  FROM reserved
  GROUP BY customer, contract, charge
)
SELECT
  customer,
  contract,
  charge,
  gpu_hours(reserved_milliseconds) AS reserved_gpu_hours,
  round(used, 4) AS used_gpu_hours, -- within the reservation
  percent(CAST(used * 10000 AS HUGEINT), quotient(reserved_milliseconds, 360)) AS used_percent,
  round(beyond, 4) AS beyond_gpu_hours -- charged at the overage rate
FROM sums
ORDER BY customer, contract, charge;
