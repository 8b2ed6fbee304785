-- What a follower proved himself with last: a one-time code, or his PIN on the bank's own page.
ALTER TABLE step_up ADD COLUMN proof TEXT NOT NULL DEFAULT 'otp';
