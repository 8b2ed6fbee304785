-- The account stands behind the lane, so that what waits for one follower is looked for by `outbox_follower` alone: a
-- server that knows nothing yet of a table that has just filled took this index for as good, and read all of a channel.
DROP INDEX outbox_way;
CREATE INDEX outbox_way ON outbox (lane, channel, account, due_ms, order_no) WHERE settled = 0;
