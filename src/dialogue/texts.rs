//! The robot's own words: `answers/dialogue.toml`.

use std::collections::BTreeSet;

use serde::Deserialize;
use toml::Spanned;

use crate::catalogue::samples;
use crate::content::{Content, Fault, line_of};
use crate::render::{Texts, Values, Words};
use crate::wechat::text::Text;

const PATH: &str = "answers/dialogue.toml";

macro_rules! answers {
    ($($(#[$doc:meta])* $name:ident($($sees:literal),*);)*) => {
        /// One of the robot's own texts.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(non_camel_case_types, reason = "each is a key of the file")]
        pub(super) enum Key { $($(#[$doc])* $name),* }

        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File { $($name: Spanned<String>),* }

        impl File {
            fn texts(&self) -> Vec<(Key, &Spanned<String>, &'static [&'static str])> {
                vec![$((Key::$name, &self.$name, &[$($sees),*])),*]
            }
        }

        impl Key {
            fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }
        }
    };
}

answers! {
    /// After following.
    welcome("link");
    /// After following again while bound.
    welcome_bound();
    /// Words of the link to bind.
    bind_label();
    /// A service that needs binding.
    bind_first("service", "link");
    /// Words of the link to the page that takes a one-time code.
    step_up_label();
    /// A service that needs a one-time code.
    step_up_first("service", "link");
    /// The words of the link to the bank's page for the PIN.
    pin_label();
    /// What it is for.
    pin_first("service", "link");
    /// Before the numbers of what comes next.
    next();
    /// After a list that goes on.
    more();
    /// “更多” without a list.
    no_more();
    /// After a list that can be narrowed.
    filter("words");
    /// A number outside the list.
    choose("count");
    /// A tap on an older list.
    old_list();
    /// Before two or three services that may be meant.
    ask_back();
    /// The last line of those.
    none_of_these();
    /// Before the numbers, where the first of them is a second wish of his message.
    also("service", "number");
    /// Abuse.
    abused();
    /// The first misunderstanding.
    rephrase();
    /// A wish that none of our services fulfils.
    unrelated();
    /// The second in a row.
    offer_person();
    /// A person is on the way.
    escalated();
    /// A person is wanted while nobody is there.
    call_back();
    /// A message while waiting.
    waiting();
    /// He said what he thought of a talk with a person.
    rated();
    /// He left the queue.
    wait_left();
    /// “取消” without anything to leave.
    nothing_to_leave();
    /// He left a form.
    form_left("service");
    /// He asks something else in the middle of a form.
    form_aside("service");
    /// The line that goes on with it.
    go_on_label("service");
    /// A form was left alone too long.
    form_expired("service", "minutes");
    /// A wrong answer in a form.
    form_wrong();
    /// Neither a yes nor a no nor a correction, where the last step waits for one of them.
    form_wrong_confirm("label");
    /// No amount, where one is wanted.
    form_wrong_amount();
    /// No span of the day, or too long a one, where one is wanted.
    form_wrong_hours();
    /// No whole number, where one is wanted.
    form_wrong_count();
    /// No day or month, where one is wanted.
    form_wrong_date();
    /// No mobile number, where one is wanted.
    form_wrong_phone();
    /// Too long an answer in a form.
    form_too_long("characters_max");
    /// The third wrong answer in a row.
    form_given_up("service");
    /// The word that submits a form.
    confirm_label();
    /// The word that leaves a form.
    cancel_label();
    /// A yes.
    yes_label();
    /// A no.
    no_label();
    /// The core gave no answer to a question.
    down("service");
    /// The core answered something that cannot be said.
    unsayable("service");
    /// The core gave no usable answer to a change.
    unclear("service");
    /// The core refused, in its own words.
    refused("message");
    /// A picture, a film.
    media();
    /// A voice message that was not recognised.
    voice();
    /// A place, where no service wants to know it.
    location();
    /// A place that cannot be read.
    no_position();
    /// A code whose scene is no service.
    scanned();
    /// He wrote what he should not have written.
    masked();
}

/// The texts, compiled.
#[derive(Debug)]
pub(super) struct Answers {
    texts: Texts,
}

impl Answers {
    /// Reads the file, and fills every text once with the longest values.
    pub(super) fn load(content: &Content, words: Words) -> Result<Self, Vec<Fault>> {
        let Some(file) = content.file(PATH) else {
            return Err(vec![Fault::new(format!("templates/{PATH}"), 1, "the file is missing")]);
        };
        let read: File = file.parse().map_err(|fault| vec![fault])?;
        let mut texts = Texts::new(words);
        let mut faults = Vec::new();
        for (key, text, sees) in read.texts() {
            let start = text.span().start;
            let block = file.text.get(start..).is_some_and(|text| text.starts_with("\"\"\"\n"));
            let line = line_of(&file.text, start) + usize::from(block);
            let mut say = |line: usize, message: String| faults.push(Fault::new(&file.origin, line, message));
            if let Err(fault) = texts.add(key.name(), text.get_ref()) {
                say(line + fault.line - 1, fault.message);
                continue;
            }
            let known: BTreeSet<&str> =
                samples::scene_names().into_iter().chain(sees.iter().copied()).collect();
            let wanted = texts.wants(key.name());
            let root = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
            if let Some(name) = wanted.iter().find(|name| !known.contains(root(name).as_str())) {
                let known: Vec<&str> = known.into_iter().collect();
                say(line, format!("the text uses {name:?}; there are {}", known.join(", ")));
                continue;
            }
            match texts.render(key.name(), &longest(sees)) {
                Ok(text) if text.is_empty() => say(line, "the text is empty".to_owned()),
                Ok(text) if text.len() > Text::BYTES_MAX => say(line, samples::too_long(&text)),
                Ok(_) => {}
                Err(fault) => say(line + fault.line - 1, fault.message),
            }
        }
        if faults.is_empty() { Ok(Self { texts }) } else { Err(faults) }
    }

    /// Fills one of the texts. Loading has filled each of them before, so a failure here is a missing value of ours:
    /// then its name is said, which is better than nothing.
    pub(super) fn say(&self, key: Key, values: &Values) -> String {
        self.texts.render(key.name(), values).unwrap_or_else(|fault| {
            tracing::error!(text = key.name(), %fault, "a fixed text could not be filled and its name was said instead: run `weikefu check`");
            key.name().to_owned()
        })
    }
}

fn longest(sees: &[&str]) -> Values {
    let mut values = Values::new();
    values.extend(&samples::scene_values(true));
    for name in sees {
        values.set_text(name, &"长".repeat(20));
    }
    values
}
