//! The report: what the desk and the bot did on some days, as a page with charts and as CSV.

use std::collections::BTreeMap;

use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::web::Query;
use askama::Template;
use jiff::civil::Date;
use serde::Deserialize;

use super::api::{Answer, Rooms};
use super::audit::harmless;
use super::guard::{self, DeskFailure};
use super::supervise::supervisor;
use super::words::{self, Language, Words};
use super::{base, guarded, html};
use crate::desk::{Containment, Figures, Report};
use crate::domain::ids::AccountId;
use crate::staff::{Activity, Session};
use crate::store::JudgedAgent;

/// Days of a report when none are asked for.
const REPORT_DAYS: i32 = 7;
/// Height of the tallest bar of a chart, in the units of its drawing.
const BAR_MAX: u64 = 100;
/// Width of a day in a chart.
const BAR_STEP: u64 = 40;

/// One line of a report: its name and its figures, already in words.
struct Line {
    name: String,
    cells: Vec<String>,
}

/// A table of a report: its title, the heads of its columns, its lines.
type Table = (&'static str, Vec<&'static str>, Vec<Line>);

/// One bar of a chart.
struct Bar {
    name: String,
    value: u64,
    x: u64,
    y: u64,
    height: u64,
}

#[derive(Template)]
#[template(path = "pages/desk/report.html")]
struct ReportPage<'a> {
    base: &'a str,
    words: &'a Words,
    session: &'a Session,
    watermarks: Vec<String>,
    accounts: Vec<(&'a str, &'a str)>,
    account: &'a str,
    from: String,
    to: String,
    trouble: Option<&'static str>,
    cut: bool,
    tables: Vec<Table>,
    charts: Vec<(&'static str, Vec<Bar>)>,
    chart_width: u64,
    counts: Vec<(&'static str, Vec<(String, u64)>)>,
}

#[derive(Deserialize)]
pub(super) struct Period {
    account: Option<String>,
    from: Option<String>,
    to: Option<String>,
}

/// What was asked for, with what it means where nothing was said.
struct Asked {
    account: AccountId,
    from: Date,
    to: Date,
}

impl Asked {
    fn of(period: &Period, accounts: &[AccountId], today: Date) -> Option<Self> {
        let date = |text: &Option<String>| match text.as_deref() {
            None | Some("") => Ok(None),
            Some(text) => text.parse::<Date>().map(Some),
        };
        let to = date(&period.to).ok()?.unwrap_or(today);
        let week = jiff::Span::new().days(REPORT_DAYS - 1);
        let from = date(&period.from).ok()?.or_else(|| to.checked_sub(week).ok())?;
        let asked = period.account.as_deref();
        let account = accounts.iter().find(|id| asked.is_none_or(|asked| id.as_str() == asked))?;
        Some(Self { account: account.clone(), from, to })
    }
}

pub(super) async fn show_report(request: HttpRequest, rooms: Rooms, period: Query<Period>) -> HttpResponse {
    let session = match supervisor(&request, &rooms).await {
        Ok(session) => session,
        Err(response) => return response,
    };
    let language = Language::of(&request);
    let accounts = rooms.accounts(&session);
    let today = rooms.desk.now().beijing().date();
    let asked = Asked::of(&period, &accounts, today);
    let read = match &asked {
        Some(asked) => rooms.desk.report(&session, &asked.account, asked.from, asked.to).await.ok(),
        None => None,
    };
    let trouble = read.is_none().then(|| words::failure(language, "bad_period"));
    let report = read.unwrap_or_default();
    let base = base(&rooms.config);
    let files = rooms.desk.files();
    let group_name = |id: &String| words::group(language, &files.groups, id).to_owned();
    let words = language.words();
    // Several reasons may have one name.
    let mut why_came: BTreeMap<String, u64> = BTreeMap::new();
    for (reason, count) in &report.reasons {
        *why_came.entry(words::reason(language, &files.reasons, reason).to_owned()).or_default() += count;
    }
    let heads = || words.columns().to_vec();
    let page = ReportPage {
        base: &base,
        words,
        watermarks: super::watermarks(&session, &rooms.desk),
        accounts: accounts
            .iter()
            .map(|id| {
                (id.as_str(), rooms.config.account(id.as_str()).map_or("", |account| account.name.as_str()))
            })
            .collect(),
        account: asked.as_ref().map_or("", |asked| asked.account.as_str()),
        from: asked.as_ref().map_or_else(String::new, |asked| asked.from.to_string()),
        to: asked.as_ref().map_or_else(String::new, |asked| asked.to.to_string()),
        trouble,
        cut: report.cut,
        tables: vec![
            (words.in_all, heads(), vec![line(words.in_all.to_owned(), &report.whole)]),
            (words.containment, words.containment_columns().to_vec(), containment_lines(words, &report)),
            (
                words.by_group,
                heads(),
                report.groups.iter().map(|(id, of)| line(group_name(id), of)).collect(),
            ),
            (
                words.by_agent,
                heads(),
                report.agents.iter().map(|(name, of)| line(name.clone(), of)).collect(),
            ),
            (
                words.quality,
                words.quality_columns().to_vec(),
                report.quality.iter().map(quality_line).collect(),
            ),
            (words.by_day, heads(), report.days.iter().map(|(day, of)| line(day.to_string(), of)).collect()),
        ],
        charts: vec![
            (words.cases_a_day, bars(&report.days, |of| of.cases)),
            (words.wait_a_day, bars(&report.days, |of| of.wait_p50_s.unwrap_or(0))),
            (words.containment_a_day, bars(&report.contained_days, |of| percent_of(of).unwrap_or(0))),
        ],
        chart_width: BAR_STEP * u64::try_from(report.days.len().max(1)).unwrap_or(1),
        counts: vec![
            (words.why_came, why_came.into_iter().collect()),
            (
                words.how_ended,
                report
                    .ends
                    .iter()
                    .map(|(end, count)| (words::close_reason(language, end).to_owned(), *count))
                    .collect(),
            ),
        ],
        session: &session,
    };
    html(StatusCode::OK, page.render(), language)
}

pub(super) async fn report_csv(request: HttpRequest, rooms: Rooms, period: Query<Period>) -> Answer {
    let session = guard::session(&request, &rooms.staff, Activity::Person).await?;
    let accounts = rooms.accounts(&session);
    let today = rooms.desk.now().beijing().date();
    let language = Language::of(&request);
    let bad = || DeskFailure::new(StatusCode::BAD_REQUEST, "bad_period", language);
    let asked = Asked::of(&period, &accounts, today).ok_or_else(bad)?;
    let report = rooms.desk.report(&session, &asked.account, asked.from, asked.to).await;
    let report = report.map_err(|error| DeskFailure::of(&request, &error))?;
    let marked = format!("{} {}", session.name, rooms.desk.now().beijing().strftime("%Y-%m-%d %H:%M"));
    let text = csv_of(&report, language.words(), &marked).map_err(|_| bad())?;
    let name = format!("attachment; filename=\"desk-{}-{}-{}.csv\"", asked.account, asked.from, asked.to);
    Ok(guarded(StatusCode::OK)
        .insert_header((header::CONTENT_TYPE, "text/csv; charset=utf-8"))
        .insert_header((header::CONTENT_DISPOSITION, name))
        .body(text))
}

/// The tables one below the other, each row with the name of who took them out of the house.
fn csv_of(report: &Report, words: &Words, marked: &str) -> Result<Vec<u8>, csv::Error> {
    // Spreadsheets know UTF-8 by this mark.
    let mut writer = csv::Writer::from_writer("\u{feff}".as_bytes().to_vec());
    let (cases, contained, quality) = (words.columns(), words.containment_columns(), words.quality_columns());
    let heads = cases.into_iter().chain(contained).chain(quality);
    writer
        .write_record([words.part, words.name_of_line].into_iter().chain(heads).chain([words.exported_by]))?;
    let none = |count: usize| vec![String::new(); count];
    // A row has figures of cases, of contacts, or of judgements; what is not of its kind stays empty.
    let mut put = |part: &str, name: String, filled: [Option<Vec<String>>; 3]| {
        let widths = [cases.len(), contained.len(), quality.len()];
        let cells =
            filled.into_iter().zip(widths).flat_map(|(cells, width)| cells.unwrap_or_else(|| none(width)));
        let row = [part.to_owned(), name].into_iter().chain(cells).chain([marked.to_owned()]);
        writer.write_record(row.map(|cell| harmless(&cell)))
    };
    put(
        words.in_all,
        String::new(),
        [Some(cells(&report.whole)), Some(contact_cells(&report.contained)), None],
    )?;
    for ((day, figures), (_, contained)) in report.days.iter().zip(&report.contained_days) {
        put(words.by_day, day.to_string(), [Some(cells(figures)), Some(contact_cells(contained)), None])?;
    }
    for (group, figures) in &report.groups {
        put(words.by_group, group.clone(), [Some(cells(figures)), None, None])?;
    }
    for (agent, figures) in &report.agents {
        put(words.by_agent, agent.clone(), [Some(cells(figures)), None, None])?;
    }
    for judged in &report.quality {
        put(words.quality, judged.agent.clone(), [None, None, Some(quality_line(judged).cells)])?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

fn line(name: String, of: &Figures) -> Line {
    Line { name, cells: cells(of) }
}

fn cells(of: &Figures) -> Vec<String> {
    let or_none = |value: Option<u64>| value.map_or_else(|| "–".to_owned(), |value| value.to_string());
    vec![
        of.cases.to_string(),
        of.answered.to_string(),
        percent(of.in_time, of.answered),
        or_none(of.wait_p50_s),
        or_none(of.wait_p90_s),
        or_none(of.handling_p50_s),
        of.transferred.to_string(),
        of.rated.to_string(),
        points(of.score_hundredths),
    ]
}

fn containment_lines(words: &Words, report: &Report) -> Vec<Line> {
    let days = report.contained_days.iter().filter(|(_, of)| of.contacts > 0);
    let days = days.map(|(day, of)| Line { name: day.to_string(), cells: contact_cells(of) });
    let whole = Line { name: words.in_all.to_owned(), cells: contact_cells(&report.contained) };
    std::iter::once(whole).chain(days).collect()
}

fn contact_cells(of: &Containment) -> Vec<String> {
    vec![
        of.contacts.to_string(),
        of.handed_over.to_string(),
        of.repeated.to_string(),
        percent(of.contained(), of.contacts),
    ]
}

fn quality_line(judged: &JudgedAgent) -> Line {
    let mean = (judged.points * 100).checked_div(judged.cases);
    Line { name: judged.agent.clone(), cells: vec![judged.cases.to_string(), points(mean)] }
}

fn percent_of(of: &Containment) -> Option<u64> {
    (of.contained() * 100).checked_div(of.contacts)
}

fn percent(part: u64, whole: u64) -> String {
    (part * 100).checked_div(whole).map_or_else(|| "–".to_owned(), |percent| format!("{percent}%"))
}

fn points(hundredths: Option<u64>) -> String {
    hundredths
        .map_or_else(|| "–".to_owned(), |hundredths| format!("{}.{:02}", hundredths / 100, hundredths % 100))
}

fn bars<T>(days: &[(Date, T)], value: impl Fn(&T) -> u64) -> Vec<Bar> {
    let most = days.iter().map(|(_, of)| value(of)).max().unwrap_or(0).max(1);
    let bar = |(at, (day, of)): (u64, &(Date, T))| {
        let height = value(of) * BAR_MAX / most;
        Bar {
            name: day.strftime("%m-%d").to_string(),
            value: value(of),
            x: at * BAR_STEP,
            y: BAR_MAX - height,
            height,
        }
    };
    (0..).zip(days).map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spreadsheet_gets_text_and_the_name_of_who_took_it() {
        let mut report = Report { whole: Figures { cases: 2, ..Figures::default() }, ..Report::default() };
        report.agents.insert("=HYPERLINK(\"http://evil.example\")".to_owned(), Figures::default());
        let text = csv_of(&report, Language::English.words(), "agent01 2026-11-22 10:00").unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("\"'=HYPERLINK"), "{text}");
        assert_eq!(text.matches("agent01 2026-11-22 10:00").count(), 2, "{text}");
    }

    #[test]
    fn a_period_is_a_week_unless_it_is_said() {
        let accounts = [AccountId::new("card"), AccountId::new("loan")];
        let today = jiff::civil::date(2026, 11, 22);
        let of = |account: Option<&str>, from: Option<&str>| {
            let period =
                Period { account: account.map(str::to_owned), from: from.map(str::to_owned), to: None };
            Asked::of(&period, &accounts, today)
                .map(|asked| (asked.account.to_string(), asked.from.to_string()))
        };
        assert_eq!(of(None, None), Some(("card".into(), "2026-11-16".into())));
        assert_eq!(of(Some("loan"), Some("2026-11-01")), Some(("loan".into(), "2026-11-01".into())));
        assert_eq!(of(Some("foreign"), None), None);
        assert_eq!(of(None, Some("1 OR 1=1")), None);
    }
}
