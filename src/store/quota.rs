//! A day's calls of one API of an account, drawn in blocks by the instances that share it.

use super::outbox::OutChannel;
use super::value::statements;
use super::{Conflict, Store, StoreError, Write};
use crate::domain::ids::AccountId;

statements! {
    OPEN = "INSERT INTO quota (account, api, day, drawn) VALUES ($1, $2, $3, 0) \
        ON CONFLICT (account, api, day) DO NOTHING";
    READ = "SELECT calls_max, drawn FROM quota WHERE account = $1 AND api = $2 AND day = $3";
    DRAW = "UPDATE quota SET drawn = drawn + $5 WHERE account = $1 AND api = $2 AND day = $3 AND drawn = $4";
    GIVE_BACK = "UPDATE quota SET drawn = drawn - $4 WHERE account = $1 AND api = $2 AND day = $3 AND drawn >= $4";
    LEARN = "UPDATE quota SET calls_max = $4, drawn = CASE WHEN drawn < $5 THEN $5 ELSE drawn END \
        WHERE account = $1 AND api = $2 AND day = $3";
    FORGET = "DELETE FROM quota WHERE day < $1";
}

/// A day's calls of one API of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaDay {
    /// Whose.
    pub account: AccountId,
    /// Which API.
    pub channel: OutChannel,
    /// Days of Beijing since 1970.
    pub day: i64,
}

/// How much of it is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaUse {
    /// What WeChat allows; `None`: it has not said so today.
    pub calls_max: Option<i64>,
    /// What instances took for themselves, used or not.
    pub drawn: i64,
}

impl Store {
    /// How much of a day's calls is drawn.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn quota_use(&self, of: &QuotaDay) -> Result<QuotaUse, StoreError> {
        let args = vec![of.account.as_str().into(), of.channel.name().into(), of.day.into()];
        let Some(row) = self.fetch_one(READ, args).await? else { return Ok(QuotaUse::default()) };
        Ok(QuotaUse { calls_max: row.int_opt(0)?, drawn: row.int(1)? })
    }

    /// Draws a block; [`Conflict::Stale`] when another instance drew since `before` was read.
    #[must_use]
    pub fn draw_quota(&self, of: &QuotaDay, before: QuotaUse, calls: i64) -> [Write; 2] {
        let mut args = vec![of.account.as_str().into(), of.channel.name().into(), of.day.into()];
        let open = Write::new(OPEN, args.clone());
        args.extend([before.drawn.into(), calls.into()]);
        [open, Write::one(DRAW, args, Conflict::Stale)]
    }

    /// Gives back what is left of a block.
    #[must_use]
    pub fn give_quota_back(&self, of: &QuotaDay, calls: i64) -> Write {
        let args = vec![of.account.as_str().into(), of.channel.name().into(), of.day.into(), calls.into()];
        Write::new(GIVE_BACK, args)
    }

    /// Keeps what WeChat says: how many calls it allows, and how many it has counted, by whomever they were made.
    #[must_use]
    pub fn learn_quota(&self, of: &QuotaDay, calls_max: i64, used: i64) -> [Write; 2] {
        let mut args = vec![of.account.as_str().into(), of.channel.name().into(), of.day.into()];
        let open = Write::new(OPEN, args.clone());
        args.extend([calls_max.into(), used.into()]);
        [open, Write::new(LEARN, args)]
    }

    /// Forgets the days before one.
    #[must_use]
    pub fn forget_quotas(&self, before_day: i64) -> Write {
        Write::new(FORGET, vec![before_day.into()])
    }
}
