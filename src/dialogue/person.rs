//! When a person is wanted: at once, or called back when somebody is there (P8).

use super::PERSON;
use super::compose::Reply;
use super::outcome::{Effect, PersonWanted, Step};
use super::texts::Key;
use super::turn::Turn;
use crate::catalogue::Service;
use crate::domain::conversation::Stage;

impl Turn<'_> {
    /// Calls a person together with the first thing that an urgent form does, or cannot do; once a form.
    pub(super) fn call_person(&mut self, service: &Service) {
        let urgent = service.manifest.form.as_ref().and_then(|form| form.urgent.as_ref());
        let Some(urgent) = urgent else { return };
        if let Some(form) = &mut self.state.form
            && std::mem::replace(&mut form.person, true)
        {
            return;
        }
        let is_called = |effect: &Effect| matches!(effect, Effect::Escalate(_) | Effect::CallBack(_));
        if self.effects.iter().any(is_called) || self.scene.stage == Stage::WithAgent {
            return;
        }
        // Who waits already moves ahead; he was told of the queue before.
        let waits = self.scene.stage == Stage::Waiting;
        if waits && !self.scene.desk.open {
            return;
        }
        let key = self.want_person(&urgent.reason, &urgent.skill, urgent.priority);
        if !waits {
            let words = self.say(key, &self.values());
            self.before.push(words);
        }
    }

    /// Fetches a person, and says nothing else.
    pub(super) fn escalate(mut self, reason: &str, skill: &str, priority: u8) -> Step {
        let key = self.want_person(reason, skill, priority);
        self.forget_lists();
        self.state.form = None;
        self.state.aside = None;
        self.state.misunderstood = 0;
        self.state.also = None;
        let body = self.say(key, &self.values());
        self.done(Some(PERSON), Reply { body, ..Reply::default() })
    }

    /// Puts him into the queue, or promises a call-back where nobody is there. What tells him so.
    fn want_person(&mut self, reason: &str, skill: &str, priority: u8) -> Key {
        let (reason, skill) = (reason.to_owned(), skill.to_owned());
        let wanted = PersonWanted { reason, skill, priority, complaint: None };
        let (key, effect) = if self.scene.desk.open {
            (Key::escalated, Effect::Escalate(wanted))
        } else {
            (Key::call_back, Effect::CallBack(wanted))
        };
        self.effects.push(effect);
        key
    }
}
