//! The pages of a card application: a form in steps that can be left and taken up again.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Form, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;

use super::pages::{self, Notice};
use super::{Guest, admit, failure, see_other, welcome};
use crate::identity::checks::{self, FieldFault};
use crate::identity::{
    Agreed, Application, ApplicationStep, ApplyFault, Catalogue, CoreFault, Identity, IdentityError, Page,
    Person, Work,
};

#[derive(Deserialize)]
pub(super) struct ShowQuery {
    t: Option<String>,
    step: Option<String>,
}

/// What was typed, as it was typed. Cannot print itself.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Typed {
    csrf: String,
    product_id: String,
    name: String,
    id_number: String,
    phone: String,
    occupation: String,
    employer: String,
    annual_income: String,
    address: String,
    agree: String,
    text_hash: String,
    code: String,
}

pub(super) async fn show(
    identity: Data<Identity>,
    request: HttpRequest,
    account: Path<String>,
    query: Query<ShowQuery>,
) -> HttpResponse {
    let guest = match welcome(&identity, &request, &account, Page::Apply, query.t.as_deref()).await {
        Ok(guest) => guest,
        Err(response) => return response,
    };
    let (catalogue, application) = match load(&identity, &guest).await {
        Ok(loaded) => loaded,
        Err(response) => return response,
    };
    if application.begun.is_none()
        && let Some(submitted) = identity.submitted(&guest.visit)
    {
        return pages::apply_done(&guest.frame, submitted);
    }
    let reached = application.form.next_step();
    let wanted = query.step.as_deref().and_then(ApplicationStep::parse);
    let step = wanted.filter(|step| *step <= reached).unwrap_or(reached);
    Screen { identity: &identity, guest: &guest, catalogue: &catalogue, application: &application }
        .plain(step)
}

async fn load(identity: &Identity, guest: &Guest) -> Result<(Catalogue, Application), HttpResponse> {
    let catalogue = identity
        .catalogue(&guest.visit)
        .await
        .map_err(|fault| Notice::core(&guest.frame, &fault).respond(StatusCode::SERVICE_UNAVAILABLE))?;
    let application = identity
        .application(&guest.visit, &catalogue)
        .await
        .map_err(|error| failure(&guest.frame, &error))?;
    Ok((catalogue, application))
}

/// All that a page of a step is made of.
struct Screen<'a> {
    identity: &'a Identity,
    guest: &'a Guest,
    catalogue: &'a Catalogue,
    application: &'a Application,
}

impl Screen<'_> {
    fn plain(&self, step: ApplicationStep) -> HttpResponse {
        self.page(step, None, Vec::new(), None)
    }

    fn page(
        &self,
        step: ApplicationStep,
        typed: Option<&Typed>,
        faults: Vec<FieldFault>,
        alert: Option<pages::Alert>,
    ) -> HttpResponse {
        let form = &self.application.form;
        let context = pages::Step {
            frame: &self.guest.frame,
            catalogue: self.catalogue,
            application: self.application,
            now: self.identity.now(),
            faults,
            alert,
        };
        match step {
            ApplicationStep::Product => context.product(),
            ApplicationStep::Person => {
                context.person(&typed.map_or_else(|| form.person.clone().unwrap_or_default(), Typed::person))
            }
            ApplicationStep::Work => {
                context.work(&typed.map_or_else(|| form.work.clone().unwrap_or_default(), Typed::work))
            }
            ApplicationStep::CreditReport => context.credit(),
            ApplicationStep::Review => context.review(),
            ApplicationStep::Code => context.code(),
        }
    }
}

impl Typed {
    fn person(&self) -> Person {
        Person { name: self.name.clone(), id_number: self.id_number.clone(), phone: self.phone.clone() }
    }

    fn work(&self) -> Work {
        Work {
            occupation: self.occupation.clone(),
            employer: self.employer.clone(),
            annual_income: self.annual_income.clone(),
            address: self.address.clone(),
        }
    }
}

pub(super) async fn submit(
    identity: Data<Identity>,
    request: HttpRequest,
    path: Path<(String, String)>,
    form: Form<Typed>,
) -> HttpResponse {
    let (account, step) = path.into_inner();
    let typed = form.into_inner();
    let mut guest = match admit(&identity, &request, &account, &typed.csrf).await {
        Ok(guest) => guest,
        Err(response) => return response,
    };
    if step == "discard" {
        return match identity.discard_application(&mut guest.visit).await {
            Ok(()) => see_other(&guest.frame, "apply"),
            Err(error) => failure(&guest.frame, &error),
        };
    }
    let (catalogue, application) = match load(&identity, &guest).await {
        Ok(loaded) => loaded,
        Err(response) => return response,
    };
    let reached = application.form.next_step();
    let mut desk = Desk { identity: &identity, guest, catalogue, application };
    let outcome = match ApplicationStep::parse(&step) {
        Some(step) if step > reached => Ok(see_other(&desk.guest.frame, "apply")),
        Some(ApplicationStep::Product) => desk.product(&typed).await,
        Some(ApplicationStep::Person) => desk.person(&typed).await,
        Some(ApplicationStep::Work) => desk.work(&typed).await,
        Some(ApplicationStep::CreditReport) => desk.credit(&typed).await,
        Some(ApplicationStep::Review) => desk.review(&typed).await,
        Some(ApplicationStep::Code) => desk.code(&typed).await,
        None if step == "resend" && reached == ApplicationStep::Code => desk.resend().await,
        None => Ok(Notice::not_found().respond(StatusCode::NOT_FOUND)),
    };
    outcome.unwrap_or_else(|error| failure(&desk.guest.frame, &error))
}

type Answer = Result<HttpResponse, IdentityError>;

/// Where a form that came in is worked on.
struct Desk<'a> {
    identity: &'a Identity,
    guest: Guest,
    catalogue: Catalogue,
    application: Application,
}

impl Desk<'_> {
    fn again(
        &self,
        step: ApplicationStep,
        typed: Option<&Typed>,
        faults: Vec<FieldFault>,
        alert: Option<pages::Alert>,
    ) -> HttpResponse {
        Screen {
            identity: self.identity,
            guest: &self.guest,
            catalogue: &self.catalogue,
            application: &self.application,
        }
        .page(step, typed, faults, alert)
    }

    fn complain(&self, step: ApplicationStep, field: &'static str, text: &str) -> HttpResponse {
        self.again(step, None, vec![FieldFault { field, text: text.to_owned() }], None)
    }

    fn fault(&self, step: ApplicationStep, fault: &ApplyFault) -> HttpResponse {
        let alert = pages::apply_alert(fault);
        match fault {
            ApplyFault::Core(CoreFault::Refused { code, .. }) if code == "wrong_code" => {
                self.complain(step, "code", &alert.text)
            }
            _ => self.again(step, None, Vec::new(), Some(alert)),
        }
    }

    /// Saves and goes on to the next step that is not done.
    async fn go_on(&mut self) -> Answer {
        self.identity.save_application(&self.guest.visit, &mut self.application).await?;
        Ok(see_other(&self.guest.frame, "apply"))
    }

    async fn product(&mut self, typed: &Typed) -> Answer {
        if self.catalogue.product(&typed.product_id).is_none() {
            return Ok(self.complain(ApplicationStep::Product, "product_id", "请选择一张信用卡"));
        }
        self.application.form.product_id = Some(typed.product_id.clone());
        self.go_on().await
    }

    async fn person(&mut self, typed: &Typed) -> Answer {
        match Person::check(&typed.person(), &self.catalogue, self.identity.now()) {
            Ok(person) => self.application.form.set_person(person),
            Err(faults) => return Ok(self.again(ApplicationStep::Person, Some(typed), faults, None)),
        }
        self.go_on().await
    }

    async fn work(&mut self, typed: &Typed) -> Answer {
        match Work::check(&typed.work(), &self.catalogue) {
            Ok(work) => self.application.form.work = Some(work),
            Err(faults) => return Ok(self.again(ApplicationStep::Work, Some(typed), faults, None)),
        }
        self.go_on().await
    }

    async fn credit(&mut self, typed: &Typed) -> Answer {
        let step = ApplicationStep::CreditReport;
        if typed.text_hash != self.catalogue.credit_report.hash() {
            return Ok(self.fault(step, &ApplyFault::TextChanged));
        }
        if typed.agree != "yes" {
            return Ok(self.complain(step, "agree", "请阅读授权书，同意后勾选"));
        }
        self.application.form.credit_report =
            Some(Agreed::to(&self.catalogue.credit_report, self.identity.now()));
        self.go_on().await
    }

    async fn review(&mut self, typed: &Typed) -> Answer {
        let step = ApplicationStep::Review;
        if typed.text_hash != self.catalogue.card_contract.hash() {
            return Ok(self.fault(step, &ApplyFault::TextChanged));
        }
        if typed.agree != "yes" {
            return Ok(self.complain(step, "agree", "请阅读领用合约和收费标准，同意后勾选"));
        }
        let agreed = Agreed::to(&self.catalogue.card_contract, self.identity.now());
        self.application.form.card_contract = Some(agreed);
        self.identity.save_application(&self.guest.visit, &mut self.application).await?;
        let (visit, client_ip) = (&self.guest.visit, self.guest.client_ip.clone());
        let sent = self.identity.apply_send_code(visit, &mut self.application, client_ip).await?;
        let under_way = self.application.form.challenge.is_some();
        Ok(match sent {
            Err(fault) if !under_way => self.fault(step, &fault),
            _ => see_other(&self.guest.frame, "apply"),
        })
    }

    async fn resend(&mut self) -> Answer {
        let (visit, client_ip) = (&self.guest.visit, self.guest.client_ip.clone());
        Ok(match self.identity.apply_send_code(visit, &mut self.application, client_ip).await? {
            Ok(()) => see_other(&self.guest.frame, "apply"),
            Err(fault) => self.fault(ApplicationStep::Code, &fault),
        })
    }

    async fn code(&mut self, typed: &Typed) -> Answer {
        let step = ApplicationStep::Code;
        let code = match checks::code(&typed.code) {
            Ok(code) => code,
            // After a right code only the submission is repeated.
            Err(_) if self.application.form.verified => String::new(),
            Err(text) => return Ok(self.complain(step, "code", text)),
        };
        let client_ip = self.guest.client_ip.clone();
        let visit = &mut self.guest.visit;
        Ok(match self.identity.apply_submit(visit, &mut self.application, &code, client_ip).await? {
            Ok(()) => see_other(&self.guest.frame, "apply"),
            Err(fault) => {
                let reached = self.application.form.next_step();
                self.fault(reached.min(step), &fault)
            }
        })
    }
}
