-- The official accounts whose customers a person serves: ids separated by commas; empty: every account.
ALTER TABLE staff ADD COLUMN accounts TEXT NOT NULL DEFAULT '';
