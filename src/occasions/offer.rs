//! The files of `templates/marketing/`: offers that fit a moment, for those who asked for offers. They stand on the page
//! of a purchase or in an answer to who asks; nothing here can reach a template or customer-service message.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use jiff::civil::Date;
use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::Occasion;
use super::lint::{self, Place};
use super::when::{When, WhenFile};
use crate::content::{Content, Fault, File};
use crate::domain::time::UnixMs;

/// Offers shown at one time.
const SHOWN_AT_ONCE_MAX: usize = 2;
/// Offers of all files together.
const OFFERS_MAX: usize = 500;
/// Longest title, in characters.
const TITLE_CHARS_MAX: usize = 24;
/// Longest text, in characters.
const TEXT_CHARS_MAX: usize = 160;
/// Largest hold-out group, in percent.
const HOLD_OUT_PERCENT_MAX: u8 = 50;
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// An offer, as it is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its file, without its end.
    pub id: String,
    /// One line.
    pub title: String,
    /// The rest; what an offer of credit costs a year stands first of all rates.
    pub text: String,
    /// Where it leads.
    pub url: Option<Url>,
}

impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Offer({})", self.id)
    }
}

/// An offer that was shown before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its file, without its end.
    pub offer: String,
    /// When, first on that day.
    pub at: UnixMs,
}

/// To whom offers are to be shown.
#[derive(Clone, Copy)]
pub struct Audience<'a> {
    /// Whether he asked for offers.
    pub opted_in: bool,
    /// What he was shown before: each offer once a day.
    pub shown: &'a [Shown],
    /// His lot for an offer, 0 to 99: always the same, known to nobody outside.
    pub lot: &'a (dyn Fn(&str) -> u8 + Sync),
    /// Now.
    pub now: UnixMs,
}

/// What was decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// To be shown, first what is shown first.
    pub offers: Vec<Offer>,
    /// Would have been shown, but the customer is in the group that shows what happens without it.
    pub held_out: Vec<String>,
}

/// Every offer, and what rules all of them.
#[derive(Debug)]
pub struct Offers {
    rules: Vec<Rule>,
    per_week_max: usize,
    version: String,
}

#[derive(Debug)]
struct Rule {
    offer: Offer,
    rank: u32,
    from: Date,
    until: Date,
    per_week_max: usize,
    total_max: usize,
    hold_out_percent: u8,
    when: When,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfferFile {
    /// The lower, the earlier.
    rank: u32,
    title: Spanned<String>,
    text: Spanned<String>,
    url: Option<Spanned<String>>,
    /// First and last day, in Beijing.
    from: Spanned<String>,
    until: Spanned<String>,
    /// Days in a week on which one follower is shown it.
    per_week_max: usize,
    /// Days in all.
    total_max: usize,
    /// Customers who are not shown it, so that its effect can be measured.
    #[serde(default = "nobody")]
    hold_out_percent: Spanned<u8>,
    when: WhenFile,
}

fn nobody() -> Spanned<u8> {
    Spanned::new(0..0, 0)
}

/// `marketing/consent.toml`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsentFile {
    /// The version of the text that `marketing_opt_in` shows.
    version: Spanned<String>,
    /// Offers a week that one follower is shown, all together.
    per_week_max: Spanned<usize>,
}

impl Offers {
    /// Reads the files and checks them.
    ///
    /// # Errors
    /// Every fault of every file; of what platform or law forbids, with the name of the rule.
    pub fn load(content: &Content) -> Result<Self, Vec<Fault>> {
        const CONSENT: &str = "marketing/consent.toml";
        let missing = || Fault::new(format!("templates/{CONSENT}"), 1, "this file is missing");
        let file = content.file(CONSENT).ok_or_else(|| vec![missing()])?;
        let consent: ConsentFile = file.parse().map_err(|fault| vec![fault])?;
        let mut faults = Vec::new();
        if consent.version.get_ref().trim().is_empty() {
            faults.push(file.fault_at(consent.version.span().start, "the version is empty"));
        }
        if let Some(service) =
            content.file("services/alerts/marketing_opt_in.toml").filter(|file| !file.is_empty())
            && !service.text.contains(consent.version.get_ref().trim())
        {
            let message = "marketing_opt_in shows the text to agree to, and does not name this version";
            faults.push(file.fault_at(consent.version.span().start, message));
        }
        let mut rules = Vec::new();
        for (path, file) in content.below("marketing/offers") {
            if rules.len() == OFFERS_MAX {
                faults.push(Fault::new(&file.origin, 1, format!("more than {OFFERS_MAX} offers")));
                break;
            }
            match file.parse::<OfferFile>() {
                Ok(read) => rules.extend(rule(path, file, read, &mut faults)),
                Err(fault) => faults.push(fault),
            }
        }
        rules.sort_by(|one, other| (one.rank, &one.offer.id).cmp(&(other.rank, &other.offer.id)));
        faults.sort();
        let (per_week_max, version) =
            (consent.per_week_max.into_inner(), consent.version.into_inner().trim().to_owned());
        if faults.is_empty() { Ok(Self { rules, per_week_max, version }) } else { Err(faults) }
    }

    /// The version of the text that a follower agrees to now.
    #[must_use]
    pub fn consent_version(&self) -> &str {
        &self.version
    }

    /// What fits a moment, for this audience: pure. Nothing for who did not ask for offers.
    #[must_use]
    pub fn offers_for(&self, occasion: &Occasion<'_>, audience: &Audience<'_>) -> Chosen {
        let mut chosen = Chosen::default();
        if !audience.opted_in {
            return chosen;
        }
        let today = audience.now.beijing().date();
        let in_week = |shown: &&Shown| audience.now < shown.at + WEEK;
        let is_today = |shown: &Shown| shown.at.beijing().date() == today;
        let mut week = audience.shown.iter().filter(in_week).count();
        for rule in &self.rules {
            if !(rule.from..=rule.until).contains(&today) || !rule.when.holds(occasion) {
                continue;
            }
            let before: Vec<&Shown> =
                audience.shown.iter().filter(|shown| shown.offer == rule.offer.id).collect();
            // What he saw today already may stay where it is; it counted then.
            if !before.iter().any(|shown| is_today(shown)) {
                let this_week = before.iter().filter(|shown| in_week(shown)).count();
                if before.len() >= rule.total_max
                    || this_week >= rule.per_week_max
                    || week >= self.per_week_max
                {
                    continue;
                }
                if (audience.lot)(&rule.offer.id) < rule.hold_out_percent {
                    chosen.held_out.push(rule.offer.id.clone());
                    continue;
                }
                week += 1;
            }
            chosen.offers.push(rule.offer.clone());
            if chosen.offers.len() == SHOWN_AT_ONCE_MAX {
                break;
            }
        }
        chosen
    }
}

fn rule(path: &str, file: &File, read: OfferFile, faults: &mut Vec<Fault>) -> Option<Rule> {
    let id = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".toml").to_owned();
    let before = faults.len();
    if let Some(start) = read.when.of_notices() {
        let message = "an offer stands beside a transaction, never beside a notice";
        faults.push(file.fault_at(start, message.to_owned()));
    }
    let when = When::read(file, read.when, faults);
    let mut found = BTreeSet::new();
    for (text, chars_max) in [(&read.title, TITLE_CHARS_MAX), (&read.text, TEXT_CHARS_MAX)] {
        let length = text.get_ref().trim().chars().count();
        if !(1..=chars_max).contains(&length) {
            let message = format!("this has {length} characters; 1 to {chars_max} are allowed");
            found.insert(file.fault_at(text.span().start, message));
        }
        found.extend(lint::text(file, text, Place::Offer));
    }
    let at = read.title.span().start;
    if let Some(message) = lint::annual_rate(&[read.title.get_ref(), read.text.get_ref()]) {
        found.insert(file.fault_at(at, message));
    }
    let mut day = |text: &Spanned<String>| {
        let read = Date::strptime("%Y-%m-%d", text.get_ref());
        read.inspect_err(|_| {
            found.insert(file.fault_at(text.span().start, "must be a day such as 2026-12-31"));
        })
        .ok()
    };
    let (from, until) = (day(&read.from), day(&read.until));
    if let (Some(from), Some(until)) = (from, until)
        && from > until
    {
        found.insert(file.fault_at(read.until.span().start, "until is before from"));
    }
    let url = read.url.as_ref().and_then(|text| {
        let url = Url::parse(text.get_ref()).ok().filter(|url| url.scheme() == "https" && url.has_host());
        if url.is_none() {
            found.insert(file.fault_at(text.span().start, "must be an address that begins with https://"));
        }
        url
    });
    if *read.hold_out_percent.get_ref() > HOLD_OUT_PERCENT_MAX {
        let message = format!("hold_out_percent is at most {HOLD_OUT_PERCENT_MAX}");
        found.insert(file.fault_at(read.hold_out_percent.span().start, message));
    }
    faults.extend(found);
    let (from, until) = (from?, until?);
    let text = |text: Spanned<String>| text.into_inner().trim().to_owned();
    (faults.len() == before).then(|| Rule {
        offer: Offer { id, title: text(read.title), text: text(read.text), url },
        rank: read.rank,
        from,
        until,
        per_week_max: read.per_week_max,
        total_max: read.total_max,
        hold_out_percent: read.hold_out_percent.into_inner(),
        when,
    })
}
