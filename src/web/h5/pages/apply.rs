//! The pages of a card application, and of its progress.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;

use super::{Alert, Faults, Frame, form_status, respond};
use crate::domain::mask;
use crate::domain::money::Money;
use crate::domain::time::UnixMs;
use crate::identity::checks::FieldFault;
use crate::identity::{
    Application, ApplicationStep, Catalogue, DRAFT_LIFE, Person, Product, Progress, Submitted, Work,
};

/// What the page of any step is made of.
pub(in super::super) struct Step<'a> {
    pub(in super::super) frame: &'a Frame,
    pub(in super::super) catalogue: &'a Catalogue,
    pub(in super::super) application: &'a Application,
    pub(in super::super) now: UnixMs,
    pub(in super::super) faults: Vec<FieldFault>,
    pub(in super::super) alert: Option<Alert>,
}

/// The part that the pages of all steps share.
struct Common<'a> {
    frame: &'a Frame,
    catalogue: &'a Catalogue,
    application: &'a Application,
    /// `11月29日`, until which the draft is kept.
    kept_until: Option<String>,
    faults: Faults,
    alert: Option<Alert>,
}

impl Common<'_> {
    fn chosen(&self, product: &Product) -> bool {
        self.application.form.product_id.as_deref() == Some(product.product_id.as_str())
    }

    fn step_path(&self, step: ApplicationStep) -> String {
        format!("{}?step={}", self.frame.path("apply"), step.path())
    }
}

#[derive(Template)]
#[template(path = "pages/h5/apply_product.html")]
struct ProductPage<'a> {
    frame: &'a Frame,
    common: Common<'a>,
}

#[derive(Template)]
#[template(path = "pages/h5/apply_person.html")]
struct PersonPage<'a> {
    frame: &'a Frame,
    common: Common<'a>,
    person: &'a Person,
}

#[derive(Template)]
#[template(path = "pages/h5/apply_work.html")]
struct WorkPage<'a> {
    frame: &'a Frame,
    common: Common<'a>,
    work: &'a Work,
}

#[derive(Template)]
#[template(path = "pages/h5/apply_credit.html")]
struct CreditPage<'a> {
    frame: &'a Frame,
    common: Common<'a>,
}

#[derive(Template)]
#[template(path = "pages/h5/apply_review.html")]
struct ReviewPage<'a> {
    frame: &'a Frame,
    common: Common<'a>,
    product: Option<&'a Product>,
    person: Person,
    work: Work,
    id_masked: String,
}

impl ReviewPage<'_> {
    /// The income as amounts read elsewhere; as he typed it should it not be one.
    fn annual_income(&self) -> String {
        let typed = &self.work.annual_income;
        Money::parse(typed, "CNY").map_or_else(|_| typed.clone(), Money::display)
    }
}

#[derive(Template)]
#[template(path = "pages/h5/apply_code.html")]
struct CodePage<'a> {
    frame: &'a Frame,
    common: Common<'a>,
    phone_masked: String,
    wait_s: u64,
    verified: bool,
}

impl<'a> Step<'a> {
    fn common(self) -> (StatusCode, Common<'a>) {
        let faults = Faults(self.faults);
        let status = form_status(&faults, self.alert.as_ref());
        let kept_until = self.application.begun.map(|begun| day(begun + DRAFT_LIFE));
        let Self { frame, catalogue, application, alert, .. } = self;
        (status, Common { frame, catalogue, application, kept_until, faults, alert })
    }

    pub(in super::super) fn product(self) -> HttpResponse {
        let (status, common) = self.common();
        respond(common.frame, status, &ProductPage { frame: common.frame, common })
    }

    pub(in super::super) fn person(self, person: &Person) -> HttpResponse {
        let (status, common) = self.common();
        respond(common.frame, status, &PersonPage { frame: common.frame, common, person })
    }

    pub(in super::super) fn work(self, work: &Work) -> HttpResponse {
        let (status, common) = self.common();
        respond(common.frame, status, &WorkPage { frame: common.frame, common, work })
    }

    pub(in super::super) fn credit(self) -> HttpResponse {
        let (status, common) = self.common();
        respond(common.frame, status, &CreditPage { frame: common.frame, common })
    }

    pub(in super::super) fn review(self) -> HttpResponse {
        let form = &self.application.form;
        let product = form.product_id.as_deref().and_then(|product_id| self.catalogue.product(product_id));
        let person = form.person.clone().unwrap_or_default();
        let work = form.work.clone().unwrap_or_default();
        let id_masked = id_masked(&person.id_number);
        let (status, common) = self.common();
        respond(
            common.frame,
            status,
            &ReviewPage { frame: common.frame, common, product, person, work, id_masked },
        )
    }

    pub(in super::super) fn code(self) -> HttpResponse {
        let form = &self.application.form;
        let phone_masked = form.person.as_ref().map(|person| mask::phone(&person.phone)).unwrap_or_default();
        let wait_s = form.challenge.as_ref().map_or(0, |challenge| challenge.wait_s(self.now));
        let verified = form.verified;
        let (status, common) = self.common();
        respond(
            common.frame,
            status,
            &CodePage { frame: common.frame, common, phone_masked, wait_s, verified },
        )
    }
}

/// First and last character.
fn id_masked(number: &str) -> String {
    let count = number.chars().count();
    let ends = |at: usize| number.chars().nth(at).map(String::from).unwrap_or_default();
    format!("{}{}{}", ends(0), "*".repeat(count.saturating_sub(2)), ends(count.saturating_sub(1)))
}

/// `2026-11-25` as `11月25日`; anything else as it is.
fn plain_day(date: &str) -> String {
    let day = date.parse::<jiff::civil::Date>();
    day.map_or_else(|_| date.to_owned(), |day| format!("{}月{}日", day.month(), day.day()))
}

fn day(moment: UnixMs) -> String {
    let day = moment.beijing();
    format!("{}月{}日", day.month(), day.day())
}

#[derive(Template)]
#[template(path = "pages/h5/apply_done.html")]
struct Done<'a> {
    frame: &'a Frame,
    submitted: &'a Submitted,
}

/// 受理编号
pub(in super::super) fn done(frame: &Frame, submitted: &Submitted) -> HttpResponse {
    respond(frame, StatusCode::OK, &Done { frame, submitted })
}

#[derive(Template)]
#[template(path = "pages/h5/progress.html")]
struct ProgressPage<'a> {
    frame: &'a Frame,
    applications: &'a [Progress],
}

/// 办卡进度
pub(in super::super) fn progress(frame: &Frame, applications: &[Progress]) -> HttpResponse {
    respond(frame, StatusCode::OK, &ProgressPage { frame, applications })
}
