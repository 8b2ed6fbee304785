//! What a message is: who owns the conversation, then the open form, taps, numbers, keywords, and only then what it
//! may mean.

use super::compose::{Line, Reply, parse_tap};
use super::corrections::says_change;
use super::meant::is_protest;
use super::outcome::{Effect, MisheardKind, OnPage, Outcome, PersonWanted, Say, Step};
use super::scene::Said;
use super::state::{Action, Item, Wish};
use super::texts::Key;
use super::turn::{GIVEN_CHARACTERS_MAX, Turn, cleaned, is_urgent};
use super::{Dialogue, MENU, PERSON};
use crate::catalogue::Service;
use crate::domain::case::Rating;
use crate::domain::conversation::Stage;
use crate::understanding::{normalise, number};

const LEAVE: [&str; 10] =
    ["取消", "算了", "返回", "退出", "不办了", "不用了", "不要了", "不查了", "不需要了", "取消办理"];
const LEAVE_QUEUE: [&str; 8] = ["取消", "算了", "退出", "不用了", "不要了", "取消排队", "退出排队", "不等了"];
/// Words before another wish while a form is open: 先查下额度; the longer before the shorter.
const TURN_ASIDE: [&str; 9] =
    ["先查一下", "先看一下", "先查下", "先看下", "先看看", "先查查", "先查", "先看", "先"];
const GO_ON: [&str; 6] = ["继续办理", "继续办", "接着办", "接着办理", "回到刚才", "继续刚才的"];
const MORE: [&str; 6] = ["更多", "下一页", "继续", "还有吗", "more", "下页"];

impl Dialogue {
    /// The urgent service that a text names: by its keyword, or by a danger.
    fn urgent_service(&self, plain: &str) -> Option<&Service> {
        let lexicon = self.understanding.lexicon();
        let by_danger = || lexicon.family(lexicon.danger(plain)?.0)?.service.as_deref();
        let id = self.understanding.keyword(plain).or_else(by_danger)?;
        self.catalogue.get(id).filter(|service| is_urgent(service))
    }

    /// Whether a message alone, without what was said before, asks for what must not stay undone.
    #[must_use]
    pub fn is_urgent(&self, said: &Said) -> bool {
        match said {
            Said::Text { text, .. } => self.urgent_service(&normalise(text.reveal())).is_some(),
            Said::Key(key) => self.catalogue.get(key).is_some_and(is_urgent),
            _ => false,
        }
    }
}

/// Decides a message, or what has to be asked for it.
pub(super) fn decide(mut turn: Turn<'_>) -> Step {
    if let Some(rating) = turn.rating() {
        turn.effects.push(Effect::Rate { rating });
        return if turn.scene.stage == Stage::WithAgent {
            turn.silent()
        } else {
            turn.fixed(Key::rated, &[])
        };
    }
    match turn.scene.stage {
        // What must not wait for the agent is done; he reads of it.
        Stage::WithAgent => match turn.urgent_wish() {
            Some(wish) => turn.start(wish),
            None => turn.silent(),
        },
        Stage::Waiting => turn.while_waiting(),
        Stage::Bot | Stage::WrapUp => turn.with_bot(),
    }
}

impl<'a> Turn<'a> {
    /// What he thought of a talk, if this is his tap on the question. It counts whatever has begun since.
    fn rating(&self) -> Option<Rating> {
        match self.scene.said {
            Said::Text { menu_item, .. } => menu_item.as_deref().and_then(Rating::of_tap),
            _ => None,
        }
    }

    /// A wish from a page whose service must not wait.
    fn urgent_wish(&self) -> Option<Wish> {
        let Said::Resumed { wish } = self.scene.said else { return None };
        self.dialogue.catalogue.get(&wish.service).filter(|service| is_urgent(service)).map(|_| wish.clone())
    }

    /// The agent answers; the bot keeps out of it, but for the warning after something that must not be written.
    fn silent(self) -> Step {
        let warning = (!self.before.is_empty()).then(|| Say::Text(self.before.join("\n\n")));
        Step::Done(Outcome {
            reply: warning,
            state: self.state,
            effects: self.effects,
            service: None,
            masked: self.scene.masked,
            cut: false,
            page: OnPage::default(),
        })
    }

    /// In the queue: what is written is kept for the agent; what can be told at a tap is told.
    fn while_waiting(mut self) -> Step {
        let dialogue = self.dialogue;
        self.expire_form();
        match self.scene.said {
            Said::Text { text, menu_item } => {
                let plain = normalise(text.reveal());
                if self.state.form.is_some() && !LEAVE_QUEUE.contains(&plain.as_str()) {
                    return match menu_item.as_deref().and_then(Tap::of) {
                        Some(tap) => self.tap(&tap),
                        None => self.in_form(text.reveal(), &plain),
                    };
                }
                if let Some(wish) = self.meant_urgently(&plain) {
                    return self.start(wish);
                }
                if LEAVE_QUEUE.contains(&plain.as_str()) {
                    self.effects.push(Effect::CancelWait);
                    return self.fixed(Key::wait_left, &[MENU]);
                }
                let family = dialogue.understanding.lexicon().danger(&plain);
                if let Some(family) =
                    family.and_then(|(name, _)| dialogue.understanding.lexicon().family(name))
                {
                    self.before.push(family.say.trim().to_owned());
                    self.effects.push(Effect::Escalate(PersonWanted {
                        reason: family.reason.clone(),
                        skill: family.skill.clone(),
                        priority: family.priority,
                        complaint: None,
                    }));
                } else if let Some(service) = menu_item.as_deref().and_then(|id| dialogue.catalogue.get(id)) {
                    return self.tell_while_waiting(service);
                }
                self.fixed(Key::waiting, &[])
            }
            Said::Key(key) => match dialogue.catalogue.get(key) {
                Some(service) => self.tell_while_waiting(service),
                None => self.fixed(Key::waiting, &[]),
            },
            Said::Resumed { wish } => self.start(wish.clone()),
            _ => self.fixed(Key::waiting, &[]),
        }
    }

    fn tell_while_waiting(mut self, service: &Service) -> Step {
        let manifest = &service.manifest;
        let waiting = self.say(Key::waiting, &self.values());
        if manifest.form.is_some() || manifest.escalate.is_some() {
            return self.fixed(Key::waiting, &[]);
        }
        self.before.push(waiting);
        self.start(Wish::of(service.id()))
    }

    fn with_bot(mut self) -> Step {
        self.expire_form();
        match self.scene.said {
            Said::Text { text, menu_item } => self.written(text.reveal(), menu_item.as_deref()),
            Said::Voice { recognition: Some(text) } => self.written(text.reveal(), None),
            Said::Key(key) => self.tapped_service(key),
            Said::Followed { scene } => self.followed(scene.as_deref()),
            Said::Scanned { scene } => match self.scene_service(scene) {
                Some(id) => self.tapped_service(&id),
                None => self.fixed(Key::scanned, &[MENU]),
            },
            Said::Resumed { wish } => self.start(wish.clone()),
            Said::Voice { recognition: None } => self.fixed(Key::voice, &[MENU, PERSON]),
            Said::Location { position: Some(position), .. } => self.at_place(position.reveal()),
            Said::Location { position: None, .. } => self.fixed(Key::no_position, &[MENU, PERSON]),
            Said::Media(_) => self.fixed(Key::media, &[MENU, PERSON]),
        }
    }

    fn tapped_service(mut self, id: &str) -> Step {
        self.put_form_aside();
        match self.dialogue.catalogue.get(id) {
            Some(service) => self.start(Wish::of(service.id())),
            None => self.not_understood(),
        }
    }

    fn followed(mut self, scene: Option<&str>) -> Step {
        let started = scene.and_then(|scene| self.scene_service(scene));
        let mut values = self.values();
        let key = if self.scene.binding.is_some() {
            Key::welcome_bound
        } else {
            values.set_markup("link", self.bind_link());
            Key::welcome
        };
        let welcome = self.say(key, &values);
        match started {
            Some(id) => {
                self.before.push(welcome);
                self.start(Wish::of(&id))
            }
            None => {
                let next = self.most_used(4, &[MENU]);
                self.done(None, Reply { body: welcome, next, ..Reply::default() })
            }
        }
    }

    /// The service that a code's scene names, as `bill_current` or `service:bill_current`.
    fn scene_service(&self, scene: &str) -> Option<String> {
        let scene = scene.strip_prefix("qrscene_").unwrap_or(scene);
        let id = scene.strip_prefix("service:").unwrap_or(scene);
        self.dialogue.catalogue.get(id).map(|service| service.id().to_owned())
    }

    fn written(mut self, text: &str, menu_item: Option<&str>) -> Step {
        let plain = normalise(text);
        let understanding = &self.dialogue.understanding;
        let meant = self.state.meant.take();
        if let Some((family, _)) = understanding.lexicon().danger(&plain) {
            return self.danger(family);
        }
        if understanding.lexicon().person(&plain).is_some() {
            self.review(meant, MisheardKind::Escalated, None);
            return self.start(Wish::of(PERSON));
        }
        if let Some(step) = menu_item.and_then(Tap::of) {
            self.review_choice(meant, self.tapped(&step).map(|item| item.action.clone()));
            return self.tap(&step);
        }
        if self.state.form.is_some() {
            return self.in_form(text, &plain);
        }
        if let Some(service) = menu_item.and_then(|id| self.dialogue.catalogue.get(id)) {
            self.review_choice(meant, Some(Action::Start(Wish::of(service.id()))));
            return self.start(Wish::of(service.id()));
        }
        if let Some(item) = self.offered(&plain) {
            self.review_choice(meant, Some(item.action.clone()));
            return self.choose(item);
        }
        if number(&plain).is_some() && !self.state.offered.is_empty() {
            return self.choose_again();
        }
        if MORE.contains(&plain.as_str()) {
            return match self.state.more.take() {
                Some(wish) => self.start(wish),
                None => self.fixed(Key::no_more, &[MENU]),
            };
        }
        if let Some(wish) = self.narrowed(text).or_else(|| self.elsewhere(text)) {
            return self.start(wish);
        }
        if self.state.aside.is_some() && GO_ON.contains(&plain.as_str()) {
            return self.take_up_form();
        }
        if LEAVE.contains(&plain.as_str()) {
            return self.leave_form();
        }
        if is_protest(&plain) {
            self.review(meant, MisheardKind::Corrected, None);
            return self.act(Action::NoneOfThese, String::new());
        }
        if let Some(wish) = self.follow_up(text) {
            return self.start(wish);
        }
        self.meant(text, &plain)
    }

    /// The urgent service that a text means: by its keyword, or by a danger that names it.
    fn meant_urgently(&self, plain: &str) -> Option<Wish> {
        let service = self.dialogue.urgent_service(plain)?;
        (self.scene.binding.is_some() || !service.needs_binding()).then(|| Wish::of(service.id()))
    }

    pub(super) fn danger(mut self, family: &str) -> Step {
        let Some(family) = self.dialogue.understanding.lexicon().family(family) else {
            return self.start(Wish::of(PERSON));
        };
        // Who can be helped at once is helped first; who cannot gets a person.
        let service = family.service.as_deref().and_then(|id| self.dialogue.catalogue.get(id));
        if let Some(service) =
            service.filter(|service| !service.needs_binding() || self.scene.binding.is_some())
        {
            return self.start(Wish::of(service.id()));
        }
        self.before.push(family.say.trim().to_owned());
        self.escalate(&family.reason, &family.skill, family.priority)
    }

    fn in_form(mut self, text: &str, plain: &str) -> Step {
        if LEAVE.contains(&plain) {
            return self.leave_form();
        }
        if let Some(action) = self.form_answer(text) {
            let label = self.label_of(&action, text);
            return self.act(action, label);
        }
        let turned_aside = TURN_ASIDE.iter().find_map(|words| plain.strip_prefix(words)).unwrap_or(plain);
        let understanding = &self.dialogue.understanding;
        let other = understanding.keyword(plain).or_else(|| understanding.keyword(turned_aside));
        let other = other.filter(|id| Some(*id) != self.open_service());
        // What is a service's own word is that wish, unless it says that something is to be otherwise.
        if (other.is_none() || says_change(plain)) && self.correct(text, plain) {
            return self.go_on();
        }
        if let Some(id) = other {
            self.put_form_aside();
            return self.start(Wish::of(id));
        }
        self.wrong_answer()
    }

    fn open_service(&self) -> Option<&str> {
        self.state.form.as_ref().map(|form| form.wish.service.as_str())
    }

    /// A tap on a line of a list: only of the newest one, for an older list may mean something else by now.
    fn tap(mut self, tap: &Tap) -> Step {
        match self.tapped(tap).cloned() {
            Some(item) => self.choose(item),
            None => {
                let body = self.say(Key::old_list, &self.values());
                let rows = std::mem::take(&mut self.state.offered).into_iter().map(again).collect();
                self.done(None, Reply { body, rows, ..Reply::default() })
            }
        }
    }

    fn tapped(&self, tap: &Tap) -> Option<&Item> {
        self.state.offered.get(tap.number.checked_sub(1)?).filter(|_| tap.list == self.state.lists)
    }

    /// The line of the last list that a text names, by number or by its words.
    fn offered(&self, plain: &str) -> Option<Item> {
        let by_number = number(plain).and_then(|number| self.state.offered.get(number.checked_sub(1)?));
        let by_words = || self.state.offered.iter().find(|item| normalise(&item.label) == plain);
        by_number.or_else(by_words).cloned()
    }

    fn choose(self, item: Item) -> Step {
        self.act(item.action, item.label)
    }

    fn act(mut self, action: Action, label: String) -> Step {
        match action {
            Action::Start(wish) => {
                self.put_form_aside();
                self.start(wish)
            }
            Action::Value(value) => self.take_value(value, label),
            Action::Confirm => match self.open_service().and_then(|id| self.dialogue.catalogue.get(id)) {
                Some(service) => self.submit(service),
                None => self.not_understood(),
            },
            Action::Leave => self.leave_form(),
            Action::Return => self.take_up_form(),
            Action::NoneOfThese => {
                self.state.misunderstood = self.state.misunderstood.max(1);
                self.not_understood()
            }
        }
    }

    /// A number outside the list: the list again.
    fn choose_again(mut self) -> Step {
        let offered = std::mem::take(&mut self.state.offered);
        let mut values = self.values();
        values.set("count", &serde_json::json!(offered.len()));
        let body = self.say(Key::choose, &values);
        let rows = offered.into_iter().map(again).collect();
        self.done(None, Reply { body, rows, ..Reply::default() })
    }

    /// The list shown last, narrowed: `商户 星河超市`.
    fn narrowed(&self, text: &str) -> Option<Wish> {
        let mut wish = self.state.listed.clone()?;
        let lookup = self.dialogue.catalogue.get(&wish.service)?.manifest.lookup.as_ref()?;
        let (name, rest) = lookup.filter.iter().find_map(|(name, words)| {
            let rest = text.trim().strip_prefix(words.get_ref().as_str())?;
            Some((name, cleaned(rest.trim_start_matches([':', '：', '，', ',']))))
        })?;
        if rest.is_empty() || rest.chars().count() > GIVEN_CHARACTERS_MAX {
            return None;
        }
        wish.given.insert(name.clone(), rest);
        Some(wish)
    }
}

/// A line of an earlier list, offered again.
fn again(item: Item) -> Line {
    let service = match &item.action {
        Action::Start(wish) if wish.given.is_empty() => Some(wish.service.clone()),
        _ => None,
    };
    Line { item, service }
}

/// A tap on a line of a list.
struct Tap {
    list: u32,
    number: usize,
}

impl Tap {
    fn of(id: &str) -> Option<Self> {
        parse_tap(id).map(|(list, number)| Self { list, number })
    }
}
