//! When more pushes are in work than the house keeps up with, the least urgent are told so first.

use super::Inbound;
use crate::config::Account;
use crate::dialogue::Said;
use crate::domain::class::Class;
use crate::wechat::push::{Content, Event, Push};

/// Whether somebody looks at his phone for an answer; who taps a link or reports a place does not.
pub(super) fn is_awaited(push: &Push) -> bool {
    let Content::Event(event) = &push.content else { return true };
    matches!(event, Event::Click { .. } | Event::Subscribe { .. } | Event::Scan { .. })
}

impl Inbound {
    /// Of the pushes that may be in work, how many may be when this one still begins.
    pub(super) fn places_for(&self, account: &Account, push: &Push) -> usize {
        let in_work_max = self.limits.in_work_max;
        if Class::all_fit(self.in_work(), in_work_max) {
            return in_work_max;
        }
        self.class_of(account, push).places_of(in_work_max)
    }

    /// Notes that a push was turned away.
    pub(super) fn turned_away(&self, account: &Account, push: &Push) {
        let class = self.class_of(account, push).name();
        metrics::counter!("weikefu_shed_total", "place" => "webhook", "class" => class).increment(1);
        tracing::warn!(
            account = %account.id, class, in_work = self.in_work(), retry = "when the customer does",
            "more messages are in work than may be, and one was turned away: whoever waits for its answer reads that the \
             house is busy; an event that nobody waits for is lost, for WeChat does not deliver what was answered"
        );
    }

    fn class_of(&self, account: &Account, push: &Push) -> Class {
        match &push.content {
            Content::Text { text, .. } | Content::Voice { recognition: Some(text), .. } => {
                self.class_of_said(account, &Said::Text { text: text.clone(), menu_item: None })
            }
            Content::Event(Event::Click { key, .. }) => self.class_of_said(account, &Said::Key(key.clone())),
            Content::Event(Event::Subscribe { .. } | Event::Scan { .. }) => Class::Marketing,
            Content::Event(Event::TemplateSendJobFinish { .. } | Event::Unsubscribe) => Class::Alert,
            Content::Event(Event::View { .. } | Event::ViewMiniProgram { .. } | Event::Location { .. }) => {
                Class::Campaign
            }
            Content::Event(_) => Class::Query,
            _ => Class::Knowledge,
        }
    }

    fn class_of_said(&self, account: &Account, said: &Said) -> Class {
        if self.robot(&account.id).is_urgent(said) { Class::Security } else { Class::Query }
    }
}
