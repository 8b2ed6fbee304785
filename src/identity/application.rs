//! What can be applied for, and the form of an application.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::checks::{self, Complaints, FieldFault};
use super::{Challenge, consent};
use crate::domain::money::Money;
use crate::domain::time::UnixMs;

/// What can be applied for, and everything that must be readable before an application is submitted.
pub struct Catalogue {
    /// The cards.
    pub products: Vec<Product>,
    /// The dearest first: by the highest rate that a fee names.
    pub fees: Vec<Fee>,
    /// What to have at hand.
    pub documents: Vec<String>,
    /// 领用合约
    pub card_contract: Text,
    /// 征信授权书
    pub credit_report: Text,
    /// Youngest applicant, in years.
    pub age_min: i64,
    /// Oldest applicant, in years.
    pub age_max: i64,
    /// Least yearly income.
    pub income_min: Money,
    /// Largest yearly income that is believed.
    pub income_max: Money,
    /// Days that the bank takes to decide.
    pub review_days: u64,
}

/// A card that can be applied for.
#[derive(Deserialize)]
pub struct Product {
    /// The bank's id of it.
    pub product_id: String,
    /// Its name.
    pub name: String,
    annual_fee: Amount,
    /// When the yearly fee is waived.
    pub annual_fee_rule: String,
    limit_min: Amount,
    limit_max: Amount,
    /// What it brings.
    pub benefits: Vec<String>,
}

impl Product {
    /// The yearly fee as people read it.
    #[must_use]
    pub fn annual_fee(&self) -> String {
        self.annual_fee.display()
    }

    /// The range of limits as people read it.
    #[must_use]
    pub fn limits(&self) -> String {
        format!("{}–{}", self.limit_min.display(), self.limit_max.display())
    }
}

#[derive(Deserialize)]
struct Amount {
    value: String,
    currency: String,
}

impl Amount {
    fn display(&self) -> String {
        let money = Money::parse(&self.value, &self.currency).ok();
        let display = money.map_or_else(|| format!("{} {}", self.currency, self.value), Money::display);
        display.strip_suffix(".00").map(str::to_owned).unwrap_or(display)
    }
}

/// A fee or a rate.
#[derive(Deserialize)]
pub struct Fee {
    /// What it is called.
    pub name: String,
    /// When and how much.
    pub text: String,
}

/// A text that the applicant agrees to.
#[derive(Deserialize)]
pub struct Text {
    kind: String,
    /// What it is called.
    pub title: String,
    /// Its version.
    pub version: String,
    text: String,
}

impl Text {
    /// SHA-256 of what is shown.
    #[must_use]
    pub fn hash(&self) -> String {
        consent::hash(&[&self.title, &self.version, &self.text])
    }

    /// Its paragraphs.
    pub fn paragraphs(&self) -> impl Iterator<Item = &str> {
        self.text.lines().map(str::trim).filter(|line| !line.is_empty())
    }
}

#[derive(Deserialize)]
struct RawCatalogue {
    products: Vec<Product>,
    fees: Vec<Fee>,
    documents: Vec<String>,
    contracts: Vec<Text>,
    age_min: i64,
    age_max: i64,
    income_min: Amount,
    income_max: Amount,
    review_days: u64,
}

impl Catalogue {
    pub(super) fn read(result: Value) -> Option<Self> {
        let mut raw: RawCatalogue = serde_json::from_value(result).ok()?;
        let mut contract = |kind: &str| {
            let at = raw.contracts.iter().position(|text| text.kind == kind)?;
            Some(raw.contracts.swap_remove(at))
        };
        let (card_contract, credit_report) = (contract("card_contract")?, contract("credit_report")?);
        raw.fees.sort_by_key(|fee| std::cmp::Reverse(highest_rate(&fee.text)));
        Some(Self {
            card_contract,
            credit_report,
            products: raw.products,
            fees: raw.fees,
            documents: raw.documents,
            age_min: raw.age_min,
            age_max: raw.age_max,
            income_min: Money::parse(&raw.income_min.value, &raw.income_min.currency).ok()?,
            income_max: Money::parse(&raw.income_max.value, &raw.income_max.currency).ok()?,
            review_days: raw.review_days,
        })
    }

    /// The card of this id.
    #[must_use]
    pub fn product(&self, product_id: &str) -> Option<&Product> {
        self.products.iter().find(|product| product.product_id == product_id)
    }
}

/// The highest percentage that a text names, in ten-thousandths of a percent; zero when it names none.
fn highest_rate(text: &str) -> i64 {
    let rates = text.split(['%', '％']).rev().skip(1).filter_map(|before| {
        let number: Vec<char> =
            before.chars().rev().take_while(|c| c.is_ascii_digit() || *c == '.').take(9).collect();
        let number: String = number.into_iter().rev().collect();
        let (whole, part) = number.split_once('.').unwrap_or((&number, ""));
        let part: String = part.chars().chain("0000".chars()).take(4).collect();
        Some(whole.parse::<i64>().ok()? * 10_000 + part.parse::<i64>().ok()?)
    });
    rates.max().unwrap_or(0)
}

/// Who applies. Cannot print itself.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// As on the ID card.
    pub name: String,
    /// All 18 characters: the bank needs them, the draft is sealed and short-lived.
    pub id_number: String,
    /// Where the code goes.
    pub phone: String,
}

impl Person {
    /// Checks what was typed.
    ///
    /// # Errors
    /// What to say beside each field.
    pub fn check(typed: &Self, catalogue: &Catalogue, now: UnixMs) -> Result<Self, Vec<FieldFault>> {
        let mut complaints = Complaints::default();
        let today = now.beijing().date();
        let id_number = checks::id_number(&typed.id_number, today, catalogue.age_min, catalogue.age_max);
        let person = Self {
            name: complaints.keep("name", checks::name(&typed.name)),
            id_number: complaints.keep("id_number", id_number),
            phone: complaints.keep("phone", checks::phone(&typed.phone)),
        };
        complaints.settle(person)
    }
}

/// What he does and where he lives. Cannot print itself.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// One of [`Work::OCCUPATIONS`].
    pub occupation: String,
    /// Needed from those whose occupation has one.
    pub employer: String,
    /// Yuan, a decimal.
    pub annual_income: String,
    /// Where he lives.
    pub address: String,
}

impl Work {
    /// What can be chosen, and whether an employer belongs to it.
    pub const OCCUPATIONS: [(&'static str, bool); 6] = [
        ("企业职工", true),
        ("机关事业单位人员", true),
        ("个体经营者", true),
        ("自由职业者", false),
        ("在校学生", false),
        ("退休人员", false),
    ];

    /// Checks what was typed.
    ///
    /// # Errors
    /// What to say beside each field.
    pub fn check(typed: &Self, catalogue: &Catalogue) -> Result<Self, Vec<FieldFault>> {
        let mut complaints = Complaints::default();
        let known = Self::OCCUPATIONS.iter().find(|(name, _)| *name == typed.occupation);
        if known.is_none() {
            complaints.add("occupation", "请选择职业");
        }
        let needs_employer = known.is_some_and(|(_, employer)| *employer);
        let employer = if needs_employer || !typed.employer.trim().is_empty() {
            checks::line("单位名称", &typed.employer, 2, 60)
        } else {
            Ok(String::new())
        };
        let income = checks::income(&typed.annual_income, catalogue.income_min, catalogue.income_max);
        let work = Self {
            occupation: typed.occupation.clone(),
            employer: complaints.keep("employer", employer),
            annual_income: complaints.keep("annual_income", income),
            address: complaints.keep("address", checks::line("居住地址", &typed.address, 6, 120)),
        };
        complaints.settle(work)
    }
}

/// A text that was agreed to.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreed {
    version: String,
    text_hash: String,
    at: UnixMs,
}

impl Agreed {
    /// Notes the agreement to a text as it is shown now.
    #[must_use]
    pub fn to(text: &Text, at: UnixMs) -> Self {
        Self { version: text.version.clone(), text_hash: text.hash(), at }
    }

    fn fits(&self, text: &Text) -> bool {
        self.text_hash == text.hash()
    }
}

/// The form as far as it is filled in. Cannot print itself.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct ApplicationForm {
    /// The card.
    pub product_id: Option<String>,
    /// Who.
    pub person: Option<Person>,
    /// What he does.
    pub work: Option<Work>,
    /// 征信授权
    pub credit_report: Option<Agreed>,
    /// 领用合约
    pub card_contract: Option<Agreed>,
    /// The code that is on its way to his phone.
    pub challenge: Option<Challenge>,
    /// Whether the code was right.
    pub verified: bool,
}

/// The steps, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ApplicationStep {
    /// 选卡
    Product,
    /// 身份
    Person,
    /// 工作与住址
    Work,
    /// 征信授权
    CreditReport,
    /// 核对
    Review,
    /// 验证码
    Code,
}

impl ApplicationStep {
    /// Every step.
    pub const ALL: [Self; 6] =
        [Self::Product, Self::Person, Self::Work, Self::CreditReport, Self::Review, Self::Code];

    /// Its name in the address.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Product => "product",
            Self::Person => "person",
            Self::Work => "work",
            Self::CreditReport => "credit",
            Self::Review => "review",
            Self::Code => "code",
        }
    }

    /// Reads the name back.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.path() == path)
    }
}

impl ApplicationForm {
    /// The first step that is not done.
    #[must_use]
    pub fn next_step(&self) -> ApplicationStep {
        match self {
            Self { product_id: None, .. } => ApplicationStep::Product,
            Self { person: None, .. } => ApplicationStep::Person,
            Self { work: None, .. } => ApplicationStep::Work,
            Self { credit_report: None, .. } => ApplicationStep::CreditReport,
            Self { card_contract, challenge, .. } if card_contract.is_none() || challenge.is_none() => {
                ApplicationStep::Review
            }
            _ => ApplicationStep::Code,
        }
    }

    /// Keeps who applies. A code that went to another phone counts no more.
    pub fn set_person(&mut self, person: Person) {
        let same_phone = self.person.as_ref().is_some_and(|before| before.phone == person.phone);
        if !same_phone {
            self.challenge = None;
            self.verified = false;
        }
        self.person = Some(person);
    }

    /// Drops what the catalogue no longer knows: a card that is gone, an agreement to a text that changed.
    pub(super) fn keep_up(&mut self, catalogue: &Catalogue) {
        self.product_id.take_if(|product_id| catalogue.product(product_id).is_none());
        self.credit_report.take_if(|agreed| !agreed.fits(&catalogue.credit_report));
        self.card_contract.take_if(|agreed| !agreed.fits(&catalogue.card_contract));
    }
}

impl ApplicationForm {
    /// What is handed in; `None` while the form is not complete.
    pub(super) fn params(&self) -> Option<Value> {
        let (person, work) = (self.person.as_ref()?, self.work.as_ref()?);
        let (credit, contract) = (self.credit_report.as_ref()?, self.card_contract.as_ref()?);
        let agreed = credit.at.max(contract.at).beijing().strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
        let mut params = json!({
            "product_id": self.product_id.as_ref()?,
            "name": person.name,
            "id_number": person.id_number,
            "phone": person.phone,
            "annual_income": { "value": work.annual_income, "currency": "CNY" },
            "occupation": work.occupation,
            "address": work.address,
            "challenge_id": self.challenge.as_ref()?.id,
            "consents": { "card_contract": contract.version, "credit_report": credit.version, "agreed_at": agreed },
        });
        if !work.employer.is_empty() {
            params["employer"] = json!(work.employer);
        }
        Some(params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dearest_rate_comes_first() {
        let table = [
            ("自入账日起按日利率0.05%计收，折合年化利率（单利）18.25%。", 182_500),
            ("按未还部分的5%收取。", 50_000),
            ("手续费40元一次。", 0),
            ("%", 0),
        ];
        for (text, rate) in table {
            assert_eq!(highest_rate(text), rate, "{text}");
        }
    }

    #[test]
    fn the_steps_follow_each_other_and_another_phone_needs_another_code() {
        let mut form = ApplicationForm::default();
        assert_eq!(form.next_step(), ApplicationStep::Product);
        form.product_id = Some("gold".to_owned());
        form.set_person(Person { phone: "13800138099".to_owned(), ..Person::default() });
        form.work = Some(Work::default());
        assert_eq!(form.next_step(), ApplicationStep::CreditReport);
        let agreed = Agreed { version: "1".to_owned(), text_hash: String::new(), at: UnixMs(0) };
        form.credit_report = Some(agreed.clone());
        form.card_contract = Some(agreed);
        let challenge = Challenge {
            id: "c".to_owned(),
            phone_masked: String::new(),
            expires: UnixMs(1),
            resend_from: UnixMs(1),
        };
        form.challenge = Some(challenge);
        form.verified = true;
        assert_eq!(form.next_step(), ApplicationStep::Code);
        form.set_person(Person { phone: "13800138098".to_owned(), ..Person::default() });
        assert_eq!((form.next_step(), form.verified), (ApplicationStep::Review, false));
    }
}
