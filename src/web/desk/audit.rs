//! `/desk/audit`: the audit trail for administrators, page by page and as CSV. Both carry the reader's name.

use actix_web::http::{StatusCode, header};
use actix_web::web::{self, Data, Query, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use serde::Deserialize;

use super::guard::{self, DeskFailure};
use super::words::{Language, Words};
use super::{WATERMARKS, base, guarded, html, see_other};
use crate::config::Config;
use crate::desk::Desk;
use crate::domain::time::UnixMs;
use crate::staff::{Activity, Reach, Role, Session, Staff};
use crate::store::AuditLine;

/// Lines of one page.
const PAGE_LINES: usize = 100;
/// Lines of one file.
const FILE_LINES_MAX: usize = 10_000;

pub(super) fn configure(services: &mut ServiceConfig) {
    services.route("/audit", web::get().to(show)).route("/audit.csv", web::get().to(file));
}

#[derive(Template)]
#[template(path = "pages/desk/audit.html")]
struct AuditPage<'a> {
    base: &'a str,
    words: &'a Words,
    lines: Vec<Shown>,
    /// Where the lines before these are.
    older: Option<String>,
    watermarks: Vec<String>,
}

/// A line as it is read.
struct Shown {
    at: String,
    actor: String,
    action: String,
    account: String,
    detail: String,
}

impl Shown {
    fn of(line: &AuditLine) -> Self {
        Self {
            at: line.at.beijing().strftime("%Y-%m-%d %H:%M:%S").to_string(),
            actor: line.actor.clone(),
            action: line.action.clone(),
            account: line.account.clone(),
            detail: line.detail.as_ref().map(|detail| detail.reveal().to_owned()).unwrap_or_default(),
        }
    }
}

#[derive(Deserialize)]
struct Before {
    at: Option<i64>,
    id: Option<String>,
}

impl Before {
    fn place(&self) -> Option<(UnixMs, &str)> {
        Some((UnixMs(self.at?), self.id.as_deref()?))
    }
}

/// Who reads, if he may: administrators of every account, because the trail is of the whole house.
async fn reader(request: &HttpRequest, staff: &Staff, config: &Config) -> Result<Session, HttpResponse> {
    match guard::session(request, staff, Activity::Person).await {
        Ok(session) if session.role == Role::Admin && session.reach == Reach::Every => Ok(session),
        Ok(_) => {
            Err(DeskFailure::new(StatusCode::FORBIDDEN, "not_allowed", Language::of(request)).response())
        }
        Err(failure) if failure.is_signed_out() => Err(see_other(&format!("{}/sign-in", base(config)))),
        Err(failure) => Err(failure.response()),
    }
}

async fn show(
    request: HttpRequest,
    before: Query<Before>,
    staff: Data<Staff>,
    desk: Data<Desk>,
    config: Data<Config>,
) -> HttpResponse {
    let session = match reader(&request, &staff, &config).await {
        Ok(session) => session,
        Err(refused) => return refused,
    };
    let lines = match staff.audit_lines(before.place(), PAGE_LINES + 1).await {
        Ok(lines) => lines,
        Err(error) => return guard::broken(&request, &error).response(),
    };
    let base = base(&config);
    let language = Language::of(&request);
    let last = lines.get(PAGE_LINES - 1).filter(|_| lines.len() > PAGE_LINES);
    let page = AuditPage {
        base: &base,
        words: language.words(),
        older: last.map(|last| format!("{base}/audit?at={}&id={}", last.at.0, last.audit_id)),
        lines: lines.iter().take(PAGE_LINES).map(Shown::of).collect(),
        watermarks: vec![format!("{} {}", session.name, desk.today()); WATERMARKS],
    };
    html(StatusCode::OK, page.render(), language)
}

async fn file(
    request: HttpRequest,
    staff: Data<Staff>,
    desk: Data<Desk>,
    config: Data<Config>,
) -> HttpResponse {
    let session = match reader(&request, &staff, &config).await {
        Ok(session) => session,
        Err(refused) => return refused,
    };
    // Whoever takes the trail out of the house stands in it.
    let lines = match staff.take_audit_out(&session, FILE_LINES_MAX).await {
        Ok(lines) => lines,
        Err(error) => return guard::broken(&request, &error).response(),
    };
    let language = Language::of(&request);
    let marked = format!("{} {}", session.name, desk.now().beijing().strftime("%Y-%m-%d %H:%M"));
    let Ok(table) = table(&lines, language.words(), &marked) else {
        return DeskFailure::new(StatusCode::INTERNAL_SERVER_ERROR, "broken", language).response();
    };
    guarded(StatusCode::OK)
        .insert_header((header::CONTENT_TYPE, "text/csv; charset=utf-8"))
        .insert_header((
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"audit-{}.csv\"", desk.today()),
        ))
        .body(table)
}

/// Each row ends with the name of who took it, so that a part of the file says it, too.
fn table(lines: &[AuditLine], words: &Words, marked: &str) -> Result<Vec<u8>, csv::Error> {
    // Spreadsheets know UTF-8 by this mark.
    let mut writer = csv::Writer::from_writer("\u{feff}".as_bytes().to_vec());
    writer.write_record([
        words.audit_at,
        words.audit_actor,
        words.audit_action,
        words.audit_account,
        words.audit_detail,
        words.audit_taken_by,
    ])?;
    for line in lines {
        let line = Shown::of(line);
        let cells = [&line.at, &line.actor, &line.action, &line.account, &line.detail, marked];
        writer.write_record(cells.map(harmless))?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

/// A cell that no spreadsheet takes for a formula, and in which nothing turns the direction of reading.
pub(super) fn harmless(cell: &str) -> String {
    let turns =
        |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}');
    let seen: String =
        cell.chars().map(|c| if turns(c) || c.is_control() { '\u{fffd}' } else { c }).collect();
    let formula = seen.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    if formula { format!("'{seen}") } else { seen }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::secret::Personal;

    #[test]
    fn a_spreadsheet_gets_text_and_who_took_it_in_every_row() {
        let attacks = [
            "=HYPERLINK(\"http://evil.example\")",
            " +1+1",
            "@SUM(A1)",
            "-2+3",
            "＝1",
            "\t=1",
            "a\u{202e}gnp.exe",
            "a\r\n=1",
        ];
        let lines = attacks.map(|attack| AuditLine {
            audit_id: "i".to_owned(),
            at: UnixMs(1_795_312_800_000),
            actor: attack.to_owned(),
            action: "a".to_owned(),
            account: String::new(),
            detail: Some(Personal::new(attack)),
        });
        let table = table(&lines, Language::English.words(), "boss 2026-11-22 10:00").unwrap();
        let text = String::from_utf8(table).unwrap();
        assert!(text.starts_with('\u{feff}') && text.contains("2026-11-22 10:00:00"), "{text}");
        assert_eq!(text.lines().count(), attacks.len() + 1, "{text}");
        assert_eq!(text.matches("boss 2026-11-22 10:00").count(), attacks.len());
        let mut reader = csv::Reader::from_reader(text.trim_start_matches('\u{feff}').as_bytes());
        for row in reader.records() {
            for cell in &row.unwrap() {
                assert!(!cell.starts_with(['=', '+', '-', '@', '＝', '\t', '\r']), "{cell:?}");
                assert!(!cell.contains('\u{202e}'), "{cell:?}");
            }
        }
    }
}
