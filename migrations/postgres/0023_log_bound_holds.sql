-- Finds that the bound of 0022 holds. It reads the whole log, while everybody goes on reading and writing.

DO $$
DECLARE
    bound NAME;
BEGIN
    SELECT conname INTO STRICT bound FROM pg_constraint
        WHERE conrelid = 'message'::regclass AND conname LIKE 'message\_before\_%';
    EXECUTE format('ALTER TABLE message VALIDATE CONSTRAINT %I', bound);
END $$;
