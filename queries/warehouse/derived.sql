-- What the publisher computes from tables into tables.

INSERT INTO power_prices
SELECT position, node, currency, start_utc, end_utc, price_per_megawatt_hour, price_as_published, source, recorded_utc, evidence
FROM power_price_history
QUALIFY row_number() OVER (PARTITION BY node, currency, start_utc, end_utc ORDER BY position DESC, row DESC) = 1
ORDER BY ALL;

INSERT INTO bitcoin_prices
SELECT position, currency, start_utc, end_utc, price_per_bitcoin, price_as_published, source, recorded_utc, evidence
FROM bitcoin_price_history
QUALIFY row_number() OVER (PARTITION BY currency, start_utc, end_utc ORDER BY position DESC, row DESC) = 1
ORDER BY ALL;
