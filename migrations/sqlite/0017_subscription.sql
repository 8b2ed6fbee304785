-- What followers consented to be told by subscription notices: how many more of each template. One consent gives one
-- notice; a long-term one leaves the number at one until it is taken back.
CREATE TABLE subscription (
    account      TEXT NOT NULL,
    fkey         BLOB NOT NULL,
    template_id  TEXT NOT NULL,
    notices_left INTEGER NOT NULL,
    changed_ms   INTEGER NOT NULL,
    PRIMARY KEY (account, fkey, template_id)
) STRICT, WITHOUT ROWID;
-- By it WeChat's report finds the notice that it is about.
CREATE INDEX outbox_subscription ON outbox (account, fkey, order_no) WHERE channel = 'subscription' AND msgid IS NULL;
