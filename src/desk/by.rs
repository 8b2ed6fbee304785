//! Who acts, and what is committed with what he does.

use super::actions::Answered;
use crate::staff::Session;
use crate::store::{StoreError, Write};

/// Makes what is committed with an action; of what was said it gets where it stands in the log.
pub type Remember<'a> = dyn Fn(Option<Answered>) -> Result<Write, StoreError> + Send + Sync + 'a;

/// Somebody who acts. Our own people are their sessions; behind another system's agent stands a call, and that it was
/// answered is committed with what it changed: a call that is repeated after a crash is known, or changed nothing.
#[derive(Clone, Copy)]
pub struct By<'a> {
    pub(super) session: &'a Session,
    pub(super) receipt: Receipt<'a>,
}

impl<'a> By<'a> {
    /// Somebody whose call is remembered with what it does.
    #[must_use]
    pub fn call(session: &'a Session, remember: &'a Remember<'a>) -> Self {
        Self { session, receipt: Receipt(Some(remember)) }
    }
}

impl<'a> From<&'a Session> for By<'a> {
    fn from(session: &'a Session) -> Self {
        Self { session, receipt: Receipt::default() }
    }
}

/// What remembers a call, where there is one.
#[derive(Clone, Copy, Default)]
pub(super) struct Receipt<'a>(Option<&'a Remember<'a>>);

impl Receipt<'_> {
    /// What joins the commit of the action.
    pub(super) fn writes(self, said: Option<Answered>) -> Result<Vec<Write>, StoreError> {
        self.0.map(|remember| remember(said)).into_iter().collect()
    }
}
