-- The trace (32 hexadecimal digits) that outgoing work belongs to, so that its send, its receipt and what the bank is
-- told of it are found under the same id as what caused it. NULL in rows from before.

ALTER TABLE outbox ADD COLUMN trace_id TEXT;
ALTER TABLE notice ADD COLUMN trace_id TEXT;
