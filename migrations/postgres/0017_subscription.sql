-- What followers consented to be told by subscription notices: how many more of each template. One consent gives one
-- notice; a long-term one leaves the number at one until it is taken back.
CREATE TABLE subscription (
    account      TEXT NOT NULL,
    fkey         BYTEA NOT NULL,
    template_id  TEXT NOT NULL,
    notices_left BIGINT NOT NULL,
    changed_ms   BIGINT NOT NULL,
    PRIMARY KEY (account, fkey, template_id)
);
-- By it WeChat's report finds the notice that it is about.
CREATE INDEX outbox_subscription ON outbox (account, fkey, order_no) WHERE channel = 'subscription' AND msgid IS NULL;
