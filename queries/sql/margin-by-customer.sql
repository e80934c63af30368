-- What each customer earned in a month, and the margin where the customer's energy is metered by itself.
-- param month (month): month of local days; without it the last one that is closed
-- What GPUs that customers share draw and cost is in the row (unallocated). Its
-- margin is that of all customers without a cost of their own, together.
SELECT
  site,
  customer,
  round(sum(revenue), 2) AS revenue, -- before the rounding of invoices
  gpu_hours(sum(gpu_milliseconds)) AS gpu_hours,
  megawatt_hours(sum(energy_milliwatt_hours)) AS energy_mwh, -- of the customer's own meters
  round(sum(energy_cost), 2) AS energy_cost,
  round(sum(margin), 2) AS margin, -- the rows of a site sum to that of the use ai, in its currency
  currency
FROM margins_by_customer
WHERE strftime(local_day, '%Y-%m') = COALESCE(getvariable('month'), (SELECT max(period) FROM closed_periods))
GROUP BY site, customer, currency
ORDER BY site, customer = '(unallocated)', revenue DESC, customer;
