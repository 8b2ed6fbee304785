-- The log is about to be cut into days (0024). First a bound that no message goes beyond before that is done: the day after
-- tomorrow, or in a week where there are messages. What stands there is not looked at, so nobody waits; a lock that is not
-- had at once is asked for again with the next start, rather than that everybody queues behind it.
-- takes away: nothing that the version before writes before the bound; 0024 moves the bound into the name of a partition.

SET LOCAL lock_timeout = '3s';
DO $$
DECLARE
    newest BIGINT;
    bound DATE;
BEGIN
    SELECT max(message_id) INTO newest FROM message;
    bound := to_timestamp(greatest(newest >> 20, CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)) / 1000)
        AT TIME ZONE INTERVAL '8 hours';
    bound := bound + CASE WHEN newest IS NULL THEN 2 ELSE 7 END;
    EXECUTE format('ALTER TABLE message ADD CONSTRAINT message_before_%s CHECK (message_id < %s) NOT VALID',
        to_char(bound, 'YYYYMMDD'), (CAST(extract(epoch FROM bound) AS BIGINT) - 8 * 3600) * 1000 << 20);
END $$;
