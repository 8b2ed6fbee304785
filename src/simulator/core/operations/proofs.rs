//! What a customer must have proved before the bank does something, whoever calls: the server's word for it stands in
//! the call's context, and without it the bank refuses.

use serde_json::Value;

use super::{Asked, pin};
use crate::domain::step_up::Proof;
use crate::simulator::core::events::Refusal;

/// What these operations want proved before anything else is looked at. Those that first look whether there is anything
/// to do (a lock to open, a loss to cancel) ask for their proof themselves.
fn wanted(operation: &str, params: &Value) -> Proof {
    match operation {
        "repay_now" | "inst_cash_apply" => Proof::Pin,
        "profile_update" if params["part"] == "phone" => Proof::Pin,
        "profile_update"
        | "inst_bill_apply"
        | "inst_txn_apply"
        | "inst_early_settle"
        | "bill_date_change"
        | "bill_dispute"
        | "limit_temp_apply"
        | "limit_perm_apply"
        | "points_redeem"
        | "repay_auto_set"
        | "repay_auto_cancel"
        | "repay_hardship"
        | "card_replace"
        | "supplementary_apply"
        | "supplement_submit"
        | "interview_book" => Proof::Otp,
        _ => Proof::None,
    }
}

/// Refuses a customer who has not proved what the operation wants. Who is no customer is told so by the operation.
pub(super) fn demand(asked: &Asked<'_>, operation: &str, params: &Value) -> Result<(), Refusal> {
    match wanted(operation, params) {
        _ if asked.customer().is_err() => Ok(()),
        Proof::None => Ok(()),
        Proof::Otp => by_code(asked),
        Proof::Pin => pin::proved(asked),
    }
}

/// What needs a one-time code is refused without one.
pub(super) fn by_code(asked: &Asked<'_>) -> Result<(), Refusal> {
    if matches!(asked.guard, Some("otp" | "pin")) {
        return Ok(());
    }
    Err(Refusal::new("step_up_required", "为了您的账户安全，请先用短信验证码确认是您本人。"))
}
