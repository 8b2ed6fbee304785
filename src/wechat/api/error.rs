//! What can go wrong with a call to the platform.

use std::fmt;

use crate::wechat::errcode::{self, Class};

/// A call to the platform failed. Prints what, where and what to do next; never a token, an openid or a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    call: &'static str,
    fault: Fault,
    stage: Stage,
}

/// How a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No connection to any host: nothing was sent.
    NotConnected,
    /// No answer in time. It may have been done.
    TimedOut,
    /// The connection broke, or what came back is no answer of the platform. It may have been done.
    Broken(&'static str),
    /// The platform says no.
    Refused {
        /// `errcode`
        code: i64,
        /// `errmsg`, bounded; printed only where it speaks of settings and fields, not of people.
        message: String,
        /// The platform's name of this very call, for its support.
        rid: Option<String>,
    },
}

/// How far the call had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The token was being fetched.
    BeforeSending,
    /// The call itself, authorised by a token.
    WithToken,
    /// The call itself, authorised by the AppSecret.
    WithSecret,
}

impl ApiError {
    pub(in crate::wechat) fn before_sending(call: &'static str, fault: Fault) -> Self {
        Self { call, fault, stage: Stage::BeforeSending }
    }

    pub(super) fn with_token(call: &'static str, fault: Fault) -> Self {
        Self { call, fault, stage: Stage::WithToken }
    }

    pub(super) fn with_secret(call: &'static str, fault: Fault) -> Self {
        Self { call, fault, stage: Stage::WithSecret }
    }

    /// What to do about it.
    #[must_use]
    pub fn class(&self) -> Class {
        match &self.fault {
            Fault::NotConnected | Fault::TimedOut | Fault::Broken(_) => Class::RetryLater,
            Fault::Refused { code, .. } => match self.stage {
                Stage::WithToken => errcode::class(*code),
                Stage::BeforeSending | Stage::WithSecret => errcode::class_of_secret_call(*code),
            },
        }
    }

    /// Whether the platform has certainly not done what was asked. Otherwise it may have: a send without an
    /// idempotency key must then not be repeated blindly.
    #[must_use]
    pub fn is_certainly_not_done(&self) -> bool {
        self.stage == Stage::BeforeSending
            || matches!(self.fault, Fault::NotConnected | Fault::Refused { .. })
    }

    /// Whether it failed for want of a token: what it was to say was not looked at.
    #[must_use]
    pub fn is_before_sending(&self) -> bool {
        self.stage == Stage::BeforeSending
    }

    /// The platform's code; `None` when it did not answer.
    #[must_use]
    pub fn code(&self) -> Option<i64> {
        match self.fault {
            Fault::Refused { code, .. } => Some(code),
            _ => None,
        }
    }

    /// The platform's name of this call.
    #[must_use]
    pub fn rid(&self) -> Option<&str> {
        match &self.fault {
            Fault::Refused { rid, .. } => rid.as_deref(),
            _ => None,
        }
    }

    /// How it failed.
    #[must_use]
    pub fn fault(&self) -> &Fault {
        &self.fault
    }

    /// Which call.
    #[must_use]
    pub fn call(&self) -> &'static str {
        self.call
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WeChat call {}: ", self.call)?;
        let class = self.class();
        match &self.fault {
            Fault::NotConnected => write!(f, "no host could be reached")?,
            Fault::TimedOut => write!(f, "no answer in time")?,
            Fault::Broken(how) => write!(f, "{how}")?,
            Fault::Refused { code, message, rid } => {
                write!(f, "errcode {code}")?;
                let meaning = errcode::meaning(*code);
                if !meaning.is_empty() {
                    write!(f, " ({meaning})")?;
                }
                if matches!(class, Class::Malformed | Class::Permission | Class::Configuration) {
                    write!(f, ", said: {message}")?;
                } else if let Some(rid) = rid {
                    write!(f, ", rid {rid}")?;
                }
            }
        }
        let outcome = if self.is_certainly_not_done() { "not done" } else { "perhaps done" };
        write!(f, "; {outcome}; {}", class.advice())
    }
}

impl std::error::Error for ApiError {}
