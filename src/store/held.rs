//! Notices that wait for the end of somebody's quiet hours, and what a planner may know before it decides.

use std::collections::{BTreeMap, BTreeSet};

use super::identity::FOLLOWERS_MAX;
use super::outbox::count;
use super::value::statements;
use super::{Conflict, Family, NoticeRow, Row, Store, StoreError, Value, Write};
use crate::domain::binding::Binding;
use crate::domain::ids::{AccountId, CustomerId, FollowerKey};
use crate::domain::time::UnixMs;
use crate::domain::verdict::{State, Verdict};

statements! {
    ADD = "INSERT INTO held (family, notice_id, account, fkey, part, due_ms, state) \
        VALUES ($1, $2, $3, $4, $5, $6, 'pending') ON CONFLICT (family, notice_id, account, fkey) DO NOTHING";
    DUE = "SELECT DISTINCT h.account, h.fkey, h.part FROM held h JOIN part_lease l ON l.part = h.part AND l.owner = $1 \
        WHERE h.outbox_id IS NULL AND h.state = 'pending' AND h.due_ms <= $2 LIMIT $3";
    OF_FOLLOWER = "SELECT h.family, h.notice_id FROM held h WHERE h.account = $1 AND h.fkey = $2 AND h.part = $3 \
        AND h.outbox_id IS NULL AND h.state = 'pending' AND h.due_ms <= $4 ORDER BY h.due_ms, h.notice_id LIMIT $5";
    OF_NOTICE = "SELECT h.account, h.state, h.reason, h.outbox_id FROM held h \
        WHERE h.family = $1 AND h.notice_id = $2 ORDER BY h.account, h.fkey";
    RELEASE = "UPDATE held SET outbox_id = $5 WHERE family = $1 AND notice_id = $2 AND account = $3 AND fkey = $4 \
        AND outbox_id IS NULL AND state = 'pending'";
    END = "UPDATE held SET state = $5, reason = $6 WHERE family = $1 AND notice_id = $2 AND account = $3 AND fkey = $4 \
        AND outbox_id IS NULL AND state = 'pending'";
    DROP_FOLLOWER = "UPDATE held SET state = $3, reason = $4 WHERE account = $1 AND fkey = $2 AND outbox_id IS NULL \
        AND state = 'pending'";
    POKE_FOLLOWER = "UPDATE notice SET look_ms = $3, looks = looks + 1 WHERE (family, notice_id) IN \
        (SELECT h.family, h.notice_id FROM held h WHERE h.account = $1 AND h.fkey = $2 AND h.outbox_id IS NULL \
        AND h.state = 'pending')";
    POKE_OUTBOX = "UPDATE notice SET look_ms = $3, looks = looks + 1 WHERE (family, notice_id) IN \
        (SELECT o.cause_kind, o.cause_id FROM outbox o WHERE o.account = $1 AND o.fkey = $2 AND o.settled = 0)";
    POKE_CARRIED = "UPDATE notice SET look_ms = $2, looks = looks + 1 WHERE (family, notice_id) IN \
        (SELECT h.family, h.notice_id FROM held h WHERE h.outbox_id = $1)";
    POKE_CARRIED_BY_RECEIPT = "UPDATE notice SET look_ms = v.column3, looks = notice.looks + 1 \
        FROM (VALUES ($1, $2, $3)) AS v JOIN outbox o ON o.account = v.column1 AND o.msgid = v.column2 \
        JOIN held h ON h.outbox_id = o.outbox_id WHERE notice.family = h.family AND notice.notice_id = h.notice_id";
    SWEEP = "DELETE FROM held WHERE due_ms < $1";
    /// Each row of the list stands for one customer. The columns of a binding stand first.
    BOUND = "SELECT b.customer_sealed, b.profile_sealed, b.default_card, b.alerts, b.hide_amounts, b.source, b.bound_ms, \
        b.settings_sealed, b.account, b.fkey, v.column1, f.following, t.until_ms, s.until_ms FROM (VALUES ($1)) AS v \
        LEFT JOIN binding b ON b.customer_ix = v.column1 \
        LEFT JOIN follower f ON f.account = b.account AND f.fkey = b.fkey \
        LEFT JOIN quota_pause t ON t.account = b.account AND t.api = 'template' \
        LEFT JOIN quota_pause s ON s.account = b.account AND s.api = 'subscription' ORDER BY b.account, b.fkey";
    TOLD = "SELECT count(*) FROM (SELECT 1 AS one FROM notice n WHERE n.customer_ix = $1 AND n.kind = $2 \
        AND n.accepted_ms >= $3 AND n.planned = 1 AND n.state <> 'suppressed' LIMIT $4) AS bounded";
    OF_CUSTOMER = "SELECT n.family, n.notice_id FROM notice n WHERE n.customer_ix = $1 AND n.accepted_ms >= $2 \
        ORDER BY n.accepted_ms DESC, n.notice_id DESC LIMIT $3";
    GIVE_UP = "UPDATE outbox SET settled = 1, state = 'failed', settled_ms = $2, payload_sealed = NULL \
        WHERE outbox_id = $1 AND settled = 0 AND attempts > 0 AND due_ms > $3 \
        AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.outbox_id = outbox.outbox_id AND a.outcome = 'unclear')";
}

/// A follower for whom notices waited that may leave now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldFor {
    /// His account.
    pub account: AccountId,
    /// Who.
    pub follower: FollowerKey,
    /// The partition of the notices.
    pub part: u8,
}

/// One waiting of one notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldRow {
    /// The account of the follower for whom it waits.
    pub account: AccountId,
    /// Pending while it waits; else how that ended.
    pub verdict: Verdict,
    /// The message that carried it.
    pub outbox_id: Option<String>,
}

/// A follower who is bound to a customer, as far as it decides whether and how he is told.
#[derive(Clone, Debug)]
pub struct Bound {
    /// His account.
    pub account: AccountId,
    /// Who.
    pub follower: FollowerKey,
    /// His binding.
    pub binding: Binding,
    /// Whether he follows, as far as WeChat has said.
    pub following: Option<bool>,
    /// Until when WeChat takes no template messages of his account.
    pub templates_paused_until: Option<UnixMs>,
    /// The same of subscription notices.
    pub subscriptions_paused_until: Option<UnixMs>,
}

fn key(notice: &NoticeRow, account: &AccountId, follower: FollowerKey) -> Vec<super::Value> {
    vec![
        notice.family.name().into(),
        notice.notice_id.as_str().into(),
        account.as_str().into(),
        follower.into(),
    ]
}

impl Store {
    /// Lets a notice wait for a follower until a moment.
    #[must_use]
    pub fn hold(
        &self,
        notice: &NoticeRow,
        account: &AccountId,
        follower: FollowerKey,
        until: UnixMs,
    ) -> Write {
        let mut args = key(notice, account, follower);
        args.extend([notice.fence.part.into(), until.into()]);
        Write::one(ADD, args, Conflict::Duplicate)
    }

    /// Followers for whom notices waited that may leave now and whose partition `owner` holds.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn held_due(
        &self,
        owner: &str,
        now: UnixMs,
        rows_max: usize,
    ) -> Result<Vec<HeldFor>, StoreError> {
        let rows = self.fetch(DUE, vec![owner.into(), now.into(), count(rows_max).into()]).await?;
        rows.iter()
            .map(|row| {
                let bad = StoreError::Decode { statement: DUE.name, column: 2 };
                Ok(HeldFor {
                    account: AccountId::new(row.text(0)?),
                    follower: row.follower(1)?,
                    part: u8::try_from(row.int(2)?).map_err(|_| bad)?,
                })
            })
            .collect()
    }

    /// The notices that waited for a follower, in the order in which their waiting ended.
    ///
    /// # Errors
    /// When the database fails or a sealed value does not open.
    pub async fn held_for(
        &self,
        whom: &HeldFor,
        now: UnixMs,
        rows_max: usize,
    ) -> Result<Vec<NoticeRow>, StoreError> {
        let args = vec![
            whom.account.as_str().into(),
            whom.follower.into(),
            whom.part.into(),
            now.into(),
            count(rows_max).into(),
        ];
        let rows = self.fetch(OF_FOLLOWER, args).await?;
        self.notices_named(&rows).await
    }

    async fn notices_named(&self, rows: &[Row]) -> Result<Vec<NoticeRow>, StoreError> {
        let mut notices = Vec::with_capacity(rows.len());
        for row in rows {
            let bad = StoreError::Decode { statement: row.statement, column: 0 };
            let family = Family::parse(row.text(0)?).ok_or(bad)?;
            notices.extend(self.notice(family, row.text(1)?).await?);
        }
        Ok(notices)
    }

    /// The waitings of one notice.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn held_of(&self, family: Family, notice_id: &str) -> Result<Vec<HeldRow>, StoreError> {
        let rows = self.fetch(OF_NOTICE, vec![family.name().into(), notice_id.into()]).await?;
        rows.iter()
            .map(|row| {
                let bad = StoreError::Decode { statement: OF_NOTICE.name, column: 1 };
                let state = State::parse(row.text(1)?).ok_or(bad)?;
                Ok(HeldRow {
                    account: AccountId::new(row.text(0)?),
                    verdict: Verdict { state, reason: row.text_opt(2)?.map(str::to_owned) },
                    outbox_id: row.text_opt(3)?.map(str::to_owned),
                })
            })
            .collect()
    }

    /// A notice that waited leaves with a message; [`Conflict::Stale`] when it waits no more.
    #[must_use]
    pub fn release(
        &self,
        notice: &NoticeRow,
        account: &AccountId,
        follower: FollowerKey,
        outbox_id: &str,
    ) -> Write {
        let mut args = key(notice, account, follower);
        args.push(outbox_id.into());
        Write::one(RELEASE, args, Conflict::Stale)
    }

    /// A notice that waited is not told; [`Conflict::Stale`] when it waits no more.
    #[must_use]
    pub fn end_hold(
        &self,
        notice: &NoticeRow,
        account: &AccountId,
        follower: FollowerKey,
        verdict: &Verdict,
    ) -> Write {
        let mut args = key(notice, account, follower);
        args.extend([verdict.state.name().into(), verdict.reason.clone().into()]);
        Write::one(END, args, Conflict::Stale)
    }

    /// Ends whatever waits for a follower or is on its way to him: he left, or his binding ended. Each notice of it is
    /// looked at next.
    #[must_use]
    pub fn drop_alerts_of(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        verdict: &Verdict,
    ) -> [Write; 4] {
        let now = self.clock().now();
        let whose = || vec![account.as_str().into(), follower.into()];
        let at = || [whose(), vec![now.into()]].concat();
        let dropped = [verdict.state.name().into(), verdict.reason.clone().into()];
        [
            Write::new(POKE_OUTBOX, at()),
            Write::new(POKE_FOLLOWER, at()),
            Write::new(DROP_FOLLOWER, [whose(), dropped.to_vec()].concat()),
            self.drop_outbox_of(account, follower, verdict),
        ]
    }

    /// Asks for a look at the notices that a message carried together.
    #[must_use]
    pub fn poke_carried(&self, outbox_id: &str) -> Write {
        Write::new(POKE_CARRIED, vec![outbox_id.into(), self.clock().now().into()])
    }

    /// Asks for a look at the notices of a message that WeChat reported on.
    #[must_use]
    pub fn poke_carried_by_receipt(&self, account: &AccountId, msgid: &str) -> Write {
        let args = vec![account.as_str().into(), msgid.into(), self.clock().now().into()];
        Write::new(POKE_CARRIED_BY_RECEIPT, args)
    }

    /// Forgets waitings that ended before a moment.
    #[must_use]
    pub fn sweep_held(&self, before: UnixMs) -> Write {
        Write::new(SWEEP, vec![before.into()])
    }

    /// Who is bound to each of these customers, by the keyed hash of the customer; at most 64 followers of one.
    ///
    /// # Errors
    /// When the database fails or a sealed value does not open.
    pub async fn bound_to(
        &self,
        customers: impl IntoIterator<Item = &CustomerId>,
    ) -> Result<BTreeMap<[u8; 16], Vec<Bound>>, StoreError> {
        let asked: BTreeSet<[u8; 16]> =
            customers.into_iter().map(|customer| self.customer_index(customer)).collect();
        let asked: Vec<Vec<Value>> = asked.into_iter().map(|customer| vec![customer.into()]).collect();
        let mut bound: BTreeMap<[u8; 16], Vec<Bound>> = BTreeMap::new();
        for row in self.fetch_each(BOUND, &asked).await? {
            let bad = StoreError::Decode { statement: BOUND.name, column: 10 };
            let of_customer = bound.entry(row.blob(10)?.try_into().map_err(|_| bad)?).or_default();
            if row.text_opt(8)?.is_none() || of_customer.len() >= FOLLOWERS_MAX {
                continue;
            }
            let (account, follower, binding) = self.read_whose_binding(&row)?;
            of_customer.push(Bound {
                account,
                follower,
                binding,
                following: row.int_opt(11)?.map(|following| following != 0),
                templates_paused_until: row.time_opt(12)?,
                subscriptions_paused_until: row.time_opt(13)?,
            });
        }
        Ok(bound)
    }

    /// How many notices of a kind a customer was told, or is being told, that were accepted since a moment; counted up
    /// to `bound`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn told_since(
        &self,
        customer: &CustomerId,
        kind: &str,
        since: UnixMs,
        bound: u32,
    ) -> Result<u32, StoreError> {
        let args = vec![self.customer_index(customer).into(), kind.into(), since.into(), bound.into()];
        let row = self.fetch_one(TOLD, args).await?;
        let told = row.map(|row| row.int(0)).transpose()?.unwrap_or(0);
        Ok(u32::try_from(told).unwrap_or(u32::MAX))
    }

    /// A customer's notices since a moment, the newest first.
    ///
    /// # Errors
    /// When the database fails or a sealed value does not open.
    pub async fn notices_of_customer(
        &self,
        customer: &CustomerId,
        since: UnixMs,
        rows_max: usize,
    ) -> Result<Vec<NoticeRow>, StoreError> {
        let args = vec![self.customer_index(customer).into(), since.into(), count(rows_max).into()];
        let rows = self.fetch(OF_CUSTOMER, args).await?;
        self.notices_named(&rows).await
    }

    /// Gives a message up that WeChat has clearly refused and that would only be tried again after `asleep_until`, so
    /// that another way may be taken; [`Conflict::Stale`] when it was perhaps sent, or may be sent before.
    #[must_use]
    pub fn give_up_outbox(&self, outbox_id: &str, asleep_until: UnixMs) -> Write {
        let args = vec![outbox_id.into(), self.clock().now().into(), asleep_until.into()];
        Write::one(GIVE_UP, args, Conflict::Stale)
    }
}
