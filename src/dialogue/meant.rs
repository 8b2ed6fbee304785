//! What a message means that is neither a tap nor a number nor a word of the dialogue: by itself, or by what was said
//! just before it (“那上个月呢”). What is not understood at once is kept for review.

use super::compose::{Line, Reply};
use super::fields::HINT_CHARACTERS_MAX;
use super::outcome::{Effect, Misheard, MisheardKind, Step};
use super::state::{Action, Item, Meant, Wish};
use super::texts::Key;
use super::turn::Turn;
use super::{MENU, PERSON, reading};
use crate::catalogue::{Service, Template};
use crate::domain::binding::Binding;
use crate::domain::card::Card;
use crate::domain::secret::Personal;
use crate::understanding::{Decision, Ranked, normalise, number};

/// Longest message that is kept for review, in characters.
const KEPT_CHARACTERS_MAX: usize = 200;
/// Longest message that may be about what was said just before it, in characters.
const FOLLOW_UP_CHARACTERS_MAX: usize = 16;
/// Whole messages that say: that was not what I meant.
const PROTESTS: [&str; 14] = [
    "不是这个",
    "不是这个意思",
    "我不是这个意思",
    "不是问这个",
    "我问的不是这个",
    "我不是问这个",
    "答非所问",
    "你没听懂",
    "没听懂我的意思",
    "不对",
    "不是",
    "错了",
    "理解错了",
    "你理解错了",
];
/// What may stand around a value in a message that is about what was said just before.
const AROUND: [&str; 34] = [
    "那么",
    "那",
    "再查一下",
    "再看一下",
    "查一下",
    "看一下",
    "看看",
    "再查",
    "再看",
    "换成",
    "改成",
    "改为",
    "换到",
    "换",
    "改",
    "查",
    "看",
    "我要",
    "我想",
    "要",
    "分成",
    "分",
    "帮我",
    "请",
    "如果",
    "再",
    "又",
    "也",
    "的",
    "呢",
    "吧",
    "啊",
    "份",
    "是",
];
/// Words for the other one of two cards.
const OTHER_CARD: [&str; 6] = ["另外一张卡", "另外一张", "另一张卡", "另一张", "另外那张", "别的卡"];

/// Whether a whole message says that the last answer was another's.
pub(super) fn is_protest(plain: &str) -> bool {
    PROTESTS.contains(&plain)
}

/// A value that a message names, and what is left of the message.
struct Named {
    name: &'static str,
    value: String,
    rest: String,
}

impl Turn<'_> {
    /// A text that is neither a choice nor a word of the dialogue.
    pub(super) fn meant(mut self, text: &str, plain: &str) -> Step {
        let understanding = &self.dialogue.understanding;
        if let Some(id) = understanding.keyword(plain) {
            return self.start(Wish::of(id));
        }
        if let Some(talk) = understanding.lexicon().talk(plain) {
            let body = talk.say.trim().to_owned();
            return self.done(None, Reply { body, ..Reply::default() });
        }
        let ranked = understanding.rank(text);
        self.state.meant = Some(self.as_meant(text, &ranked));
        match ranked.decision {
            Decision::Answer => match ranked.candidates.first() {
                Some(best) => {
                    self.state.also = ranked.also;
                    self.start(Wish::of(&best.id))
                }
                None => self.not_understood(),
            },
            Decision::Ask(ids) => self.ask_back(&ids),
            Decision::Refuse if ranked.abusive => self.fixed(Key::abused, &[PERSON, MENU]),
            Decision::Refuse => {
                if let Some((refusal, _)) = understanding.lexicon().refusal(plain) {
                    let (body, next) = (refusal.say.trim().to_owned(), self.lines(&[PERSON, MENU]));
                    return self.done(None, Reply { body, next, ..Reply::default() });
                }
                let meant = self.state.meant.clone();
                self.review(meant, MisheardKind::Refused, None);
                if ranked.unrelated { self.not_offered() } else { self.not_understood() }
            }
            Decision::Person(Some(family)) => self.danger(&family),
            Decision::Person(None) => self.start(Wish::of(PERSON)),
        }
    }

    fn as_meant(&self, text: &str, ranked: &Ranked) -> Meant {
        let nearest = ranked.candidates.first().map(|best| best.about.as_ref().unwrap_or(&best.id).clone());
        Meant {
            text: text.chars().take(KEPT_CHARACTERS_MAX).collect(),
            nearest: nearest.unwrap_or_default(),
            offered: matches!(ranked.decision, Decision::Ask(_)),
        }
    }

    fn ask_back(mut self, ids: &[String]) -> Step {
        self.forget_lists();
        let mut current: Vec<&str> = Vec::new();
        for id in ids.iter().filter_map(|id| self.current(id)) {
            if !current.contains(&id) {
                current.push(id);
            }
        }
        let mut rows = self.lines(&current);
        for row in &mut rows {
            self.with_his_words(row);
        }
        let label = self.say(Key::none_of_these, &self.values());
        rows.push(Line { item: Item { label, note: None, action: Action::NoneOfThese }, service: None });
        let body = self.say(Key::ask_back, &self.values());
        self.done(None, Reply { body, rows, ..Reply::default() })
    }

    /// Gives a line that starts a service what he has said to it already. A tap on it then counts for this list only.
    fn with_his_words(&self, line: &mut Line) {
        let Some(Meant { text, .. }) = &self.state.meant else { return };
        let Action::Start(wish) = &mut line.item.action else { return };
        let Some(service) = self.dialogue.catalogue.get(&wish.service) else { return };
        if service.manifest.form.is_some() {
            wish.hint = text.chars().take(HINT_CHARACTERS_MAX).collect();
        }
        self.heard_besides(service, wish, text);
        if *wish != Wish::of(service.id()) {
            line.service = None;
        }
    }

    /// An entry of the knowledge base, or its service where the entry is out of date.
    fn current<'s>(&'s self, id: &'s str) -> Option<&'s str> {
        let service = self.dialogue.catalogue.get(id)?;
        let outdated = service.entry().filter(|entry| !entry.is_valid(self.scene.now));
        Some(outdated.map_or(id, |entry| entry.about.as_str()))
    }

    /// Keeps a message for review.
    pub(super) fn review(&mut self, meant: Option<Meant>, kind: MisheardKind, chosen: Option<String>) {
        let Some(Meant { text, nearest, .. }) = meant else { return };
        let text = Personal::new(text);
        self.effects.push(Effect::Review(Misheard { text, kind, nearest, chosen }));
    }

    /// What he chose after several services were offered says what he had meant.
    pub(super) fn review_choice(&mut self, meant: Option<Meant>, chosen: Option<Action>) {
        let Some(meant) = meant.filter(|meant| meant.offered) else { return };
        match chosen {
            Some(Action::Start(wish)) => self.review(Some(meant), MisheardKind::Chosen, Some(wish.service)),
            Some(Action::NoneOfThese) => self.review(Some(meant), MisheardKind::Corrected, None),
            _ => {}
        }
    }

    /// Puts the second wish of a message first among what is offered next.
    pub(super) fn offer_second_wish(&mut self, reply: &mut Reply) {
        let Some(also) = self.state.also.take() else { return };
        let Some(line) = self.lines(&[&also]).pop() else { return };
        let mut values = self.values();
        values.set_text("service", &line.item.label);
        values.set_text("number", &(reply.rows.len() + 1).to_string());
        reply.next_words = self.say(Key::also, &values);
        reply.next.retain(|other| other.service.as_deref() != Some(also.as_str()));
        reply.next.insert(0, line);
        reply.next.truncate(crate::catalogue::NEXT_MAX);
    }

    /// Remembers what is wished for, and about which card.
    pub(super) fn remember(&mut self, service: &Service, wish: &Wish) {
        self.state.card.clone_from(&wish.card);
        self.state.last_wish = Some(wish.clone());
        if self.state.also.as_deref() == Some(service.id()) {
            self.state.also = None;
        }
    }

    /// The card that answers are about: the one that he named, else the default one.
    pub(super) fn card_of<'b>(&self, binding: &'b Binding) -> Option<&'b Card> {
        let named = self.state.card.as_ref();
        let named = named.and_then(|id| binding.cards.iter().find(|card| card.card_id == *id));
        named.or_else(|| binding.card())
    }

    /// The card, the month, the days, the periods, the amount and its bounds that a wish names in its own words.
    pub(super) fn heard_besides(&self, service: &Service, wish: &mut Wish, text: &str) {
        if wish.card.is_none() && self.is_about_a_card(service) {
            wish.card = self.named_card(text).map(|named| named.value);
        }
        let named = [self.named_month(text), named_periods(text), named_amount(text), named_bound(text)];
        let days = reading::days(text, self.scene.now.beijing().date()).filter(|_| accepts(service, "from"));
        for named in named.into_iter().flatten() {
            // The month of a day names that day only.
            if accepts(service, named.name) && !(named.name == "month" && days.is_some()) {
                wish.given.entry(named.name.to_owned()).or_insert(named.value);
            }
        }
        if let Some((from, to)) = days {
            wish.given.extend([("from".to_owned(), from), ("to".to_owned(), to)]);
        }
    }

    /// A short message that only names another card, month or number of periods is about what was wished for last:
    /// “那上个月呢”, “第二张卡的”, “换成24期”.
    pub(super) fn follow_up(&self, text: &str) -> Option<Wish> {
        let last = self.state.last_wish.as_ref()?;
        let plain = normalise(text);
        if plain.chars().count() > FOLLOW_UP_CHARACTERS_MAX {
            return None;
        }
        let named =
            self.named_card(&plain).or_else(|| self.named_month(&plain)).or_else(|| named_periods(&plain))?;
        let rest = AROUND.iter().fold(named.rest.clone(), |rest, word| rest.replace(word, ""));
        if !rest.is_empty() {
            return None;
        }
        let service = self.dialogue.catalogue.get(&last.service)?;
        if named.name == "card_id" {
            let card = Some(named.value);
            return self.is_about_a_card(service).then(|| Wish { card, shown: 0, ..last.clone() });
        }
        // Of what was wished for, or of what follows it: the bill of a month is a service of its own.
        let next = service.manifest.next.iter().filter_map(|id| self.dialogue.catalogue.get(id.get_ref()));
        let takes_it = std::iter::once(service).chain(next).find(|service| accepts(service, named.name))?;
        let same = takes_it.id() == service.id();
        let mut wish = if same { Wish { shown: 0, ..last.clone() } } else { Wish::of(takes_it.id()) };
        wish.card.clone_from(&last.card);
        wish.given.insert(named.name.to_owned(), named.value);
        Some(wish)
    }

    /// Whether a service asks the core about one card.
    fn is_about_a_card(&self, service: &Service) -> bool {
        let manifest = &service.manifest;
        let of_lookup = manifest.lookup.iter().flat_map(|lookup| lookup.params.values());
        let mut params = of_lookup.chain(manifest.form.iter().flat_map(|form| form.params.values()));
        let wants = |param: &Template| self.dialogue.catalogue.wants(service, param, "card");
        service.needs_binding() && params.any(wants)
    }

    /// The card that a text names, where it is another one than the one that a service's form is about.
    pub(super) fn other_card(&self, service: &Service, text: &str) -> Option<String> {
        let named = self.named_card(text).filter(|_| self.is_about_a_card(service))?;
        let present = self.card_of(self.scene.binding?)?;
        (named.value != present.card_id).then_some(named.value)
    }

    /// One of his cards: `第二张卡`, `尾号5678`, `另一张`.
    fn named_card(&self, text: &str) -> Option<Named> {
        let plain = normalise(text);
        let binding = self.scene.binding?;
        let named = |card: &Card, words: &str| {
            let value = card.card_id.clone();
            let rest = plain.replacen(words, "", 1).replace("卡", "");
            Some(Named { name: "card_id", value, rest })
        };
        for card in &binding.cards {
            let tail = card.tail.as_str();
            for words in [format!("尾号{tail}"), format!("{tail}那张"), format!("{tail}这张")] {
                if plain.contains(&words) {
                    return named(card, &words);
                }
            }
        }
        if let Some(words) = OTHER_CARD.iter().find(|words| plain.contains(**words)) {
            let present = self.card_of(binding)?.card_id.clone();
            let mut others = binding.cards.iter().filter(|card| card.card_id != present);
            let other = others.next()?;
            return others.next().is_none().then(|| named(other, words)).flatten();
        }
        let (_, after) = plain.split_once('第')?;
        let (which, _) = after.split_once('张')?;
        let card = binding.cards.get(number(which)?.checked_sub(1)?)?;
        named(card, &format!("第{which}张"))
    }

    /// A month as `2026-10`: `上个月`, `9月`, `去年12月`. One without a year is the latest that has begun.
    fn named_month(&self, text: &str) -> Option<Named> {
        let plain = normalise(text);
        let words = match reading::month_words(&plain) {
            Some(words) => words.to_owned(),
            None => {
                let (before, _) = plain.split_once('月')?;
                let digits = trailing_number(before)?;
                let year = before.strip_suffix(digits.as_str()).unwrap_or_default();
                let year = reading::YEARS.iter().find(|(words, _)| year.ends_with(words));
                format!("{}{digits}月", year.map_or("", |(words, _)| words))
            }
        };
        let value = reading::month(&words, self.scene.now.beijing().date())?;
        let rest = plain.replacen(&words, "", 1);
        Some(Named { name: "month", value, rest })
    }
}

/// A number of instalments: `24期`, `十二期`.
fn named_periods(text: &str) -> Option<Named> {
    let plain = normalise(text);
    let words = plain.match_indices('期').find_map(|(at, _)| trailing_number(plain.get(..at)?))?;
    let value = reading::count(&format!("{words}期"), &["期".to_owned()], true)?.to_string();
    let rest = plain.replacen(&format!("{words}期"), "", 1);
    Some(Named { name: "periods", value, rest })
}

/// An amount that is marked as one: `一万二`, `5000元`.
fn named_amount(text: &str) -> Option<Named> {
    let value = reading::amount(text, true)?;
    Some(Named { name: "amount", value, rest: String::new() })
}

/// An amount that others lie above or below: `500元以上`, `低于100`.
fn named_bound(text: &str) -> Option<Named> {
    const MOST: [&str; 6] = ["以下", "以内", "低于", "小于", "不到", "不超过"];
    const LEAST: [&str; 5] = ["以上", "超过", "大于", "高于", "多于"];
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let name = match (says(&MOST), says(&LEAST)) {
        (true, _) => "amount_max",
        (false, true) => "amount_min",
        (false, false) => return None,
    };
    Some(Named { name, value: reading::amount(text, true)?, rest: String::new() })
}

/// The number that a text ends with, as it is written.
fn trailing_number(text: &str) -> Option<String> {
    let is_digit = |c: &char| c.is_ascii_digit() || "一二三四五六七八九十".contains(*c);
    let backwards: Vec<char> = text.chars().rev().take_while(is_digit).collect();
    (!backwards.is_empty()).then(|| backwards.into_iter().rev().collect())
}

/// Whether a service tells something of a value of this name. What a form takes, it reads for itself.
fn accepts(service: &Service, name: &str) -> bool {
    let lookup = service.manifest.lookup.iter();
    lookup.flat_map(|lookup| &lookup.accepts).any(|accepted| accepted.get_ref() == name)
}
