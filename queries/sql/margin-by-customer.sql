-- What each customer earned in a month, and the margin where the customer's energy is metered by itself.
-- param month (month): month of local days; without it the last one that is closed
SELECT
  customer,
  round(sum(revenue), 2) AS revenue, -- before the rounding of invoices
  gpu_hours(sum(gpu_milliseconds)) AS gpu_hours,
  megawatt_hours(sum(energy_milliwatt_hours)) AS energy_mwh, -- of the customer's own meters
  round(sum(energy_cost), 2) AS energy_cost,
  round(sum(margin), 2) AS margin,
  currency
FROM margins_by_customer
WHERE strftime(local_day, '%Y-%m') = COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods))
GROUP BY customer, currency
ORDER BY revenue DESC, customer;
