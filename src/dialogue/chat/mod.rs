//! Conversations as text, that bank staff can read and write: who says what, what the bank answers (the whole text),
//! which operation ran, time that passes, faults that are switched on.
//!
//! ```text
//! == 查本期账单 ==
//! 持卡人: C10001
//! 客户: 查账单
//! 操作: core:bill_current
//! 银行: 尾号1234 2026年11月账单
//! 本期应还：¥3,288.60
//! ```
//!
//! In a reply `[账单明细]` is a link that says its words, `[点这里绑定信用卡](bind)` one that opens a page. A card with a picture
//! is `【图文】` with its headline, the words below it, and `[打开]` with its page.

mod house;
mod parse;
mod run;

pub use parse::{Chat, ChatFile, CoreFault, DeskNow, Step, parse};
pub(super) use run::made_up_account;
pub use run::{Core, ExampleCore, Met, Run, card_as_text, readable, run};
