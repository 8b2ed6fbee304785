//! The business numbers of `templates/sandbox/rules.toml`, typed.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::amount::Amount;
use super::transaction::Channel;

const FILE: &str = include_str!("../../../templates/sandbox/rules.toml");

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rules {
    /// ISO 18245 codes by what customers call the kind of shop.
    pub(super) categories: BTreeMap<String, Vec<String>>,
    pub(super) statement: StatementRules,
    pub(super) minimum: MinimumRules,
    pub(super) late: LateRules,
    pub(super) interest: InterestRules,
    pub(super) cash: CashRules,
    pub(super) limit: LimitRules,
    pub(super) suspicion: SuspicionRules,
    pub(super) lock: LockRules,
    pub(super) repayment: RepaymentRules,
    pub(super) instalment: InstalmentRules,
    pub(super) dispute: DisputeRules,
    pub(super) plastic: PlasticRules,
    /// One unit of a currency in ten-thousandths of a yuan.
    pub(super) exchange: BTreeMap<String, i64>,
    pub(super) points: PointsRules,
    pub(super) campaigns: Vec<CampaignRules>,
    pub(super) offers: Vec<OfferRules>,
    /// Where the rules of the offers can be read.
    pub(super) offers_rules_url: String,
    pub(super) bottles: Vec<BottleRules>,
    pub(super) otp: OtpRules,
    pub(super) application: ApplicationRules,
    pub(super) merchants: Vec<MerchantRules>,
    pub(super) merchants_abroad: Vec<MerchantRules>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StatementRules {
    pub(super) day: i8,
    pub(super) days_to_due: i64,
    pub(super) grace_days: i64,
    /// A plain decimal: a bill that lacks no more than this counts as repaid in full.
    pub(super) tolerance: String,
    /// The days that a customer may choose.
    pub(super) days: Vec<i8>,
    /// Changes of the day within a year.
    pub(super) changes_a_year: usize,
    pub(super) history_months: u8,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MinimumRules {
    pub(super) percent: i64,
    /// A plain decimal, in whichever currency is due.
    pub(super) least: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LateRules {
    pub(super) percent: i64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InterestRules {
    /// Hundred-thousandths of what is owed, for each day: 50 is 0.05 %.
    pub(super) daily: i64,
}

impl InterestRules {
    /// A day's rate as a percentage.
    pub(super) fn daily_percent(&self) -> String {
        decimal(self.daily, 3)
    }

    /// The yearly rate without compounding, as a percentage.
    pub(super) fn annual_percent(&self) -> String {
        decimal(self.daily * 365, 3)
    }

    /// The interest on a sum of daily balances, in minor units, rounded half up.
    pub(super) fn of(&self, daily_balances: i64) -> i64 {
        let interest = (i128::from(daily_balances) * i128::from(self.daily) + 50_000) / 100_000;
        i64::try_from(interest).unwrap_or(i64::MAX)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CashRules {
    pub(super) fee_percent: i64,
    pub(super) fee_least: String,
    pub(super) day_max: String,
}

impl CashRules {
    /// The fee for drawing an amount, in minor units of a currency.
    pub(super) fn fee(&self, minor: i64, code: &str) -> i64 {
        percent_of(minor, self.fee_percent).max(minor_of(&self.fee_least, code))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitRules {
    pub(super) cash_percent: i64,
    pub(super) preauth_days: i64,
    /// How much may be added for a while, of the fixed limit.
    pub(super) temporary_percent: i64,
    pub(super) temporary_days_max: i64,
    /// How far the fixed limit may rise at once, of itself.
    pub(super) fixed_percent: i64,
    pub(super) review_days: i64,
    pub(super) step: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RepaymentRules {
    pub(super) methods: Vec<MethodRules>,
    pub(super) holiday: String,
    pub(super) accounts: Vec<String>,
    pub(super) reminder_days_max: i64,
    pub(super) hardship: HardshipRules,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MethodRules {
    pub(super) name: String,
    pub(super) arrives: String,
    pub(super) fee: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HardshipRules {
    pub(super) periods_max: u32,
    pub(super) answer_days: i64,
    pub(super) team: String,
    pub(super) phone: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InstalmentRules {
    /// Each number of periods with its rate a period.
    pub(super) periods: Vec<PeriodRules>,
    pub(super) bill_least: String,
    pub(super) bill_percent_max: i64,
    pub(super) purchase_least: String,
    pub(super) cash_least: String,
    /// The share of the free limit that may be paid out.
    pub(super) cash_percent_max: i64,
    pub(super) cash_purposes: Vec<String>,
    /// What settling early costs, of the principal that is left.
    pub(super) settle_percent: i64,
    /// Merchants whose purchases cannot be paid in instalments.
    pub(super) excluded_merchants: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PeriodRules {
    pub(super) periods: u32,
    /// Hundred-thousandths of the principal for each period: 600 is 0.60 %.
    pub(super) rate: i64,
    /// For less it is not offered; without it for any amount.
    pub(super) least: Option<String>,
}

impl PeriodRules {
    /// Whether it is offered for a principal, in fen.
    pub(super) fn is_for(&self, principal: i64) -> bool {
        self.least.as_ref().is_none_or(|least| principal >= minor_of(least, "CNY"))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DisputeRules {
    pub(super) days: i64,
    pub(super) answer_days: i64,
}

/// New plastic for a card, and cards for the family.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlasticRules {
    pub(super) replace_fee: String,
    pub(super) replace_days: i64,
    /// After so many years a card is renewed.
    pub(super) valid_years: i64,
    pub(super) supplementary_max: usize,
    pub(super) supplementary_days: i64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SuspicionRules {
    online_from: String,
    ask_code_from: String,
}

impl SuspicionRules {
    /// Fen.
    pub(super) fn online_from(&self) -> i64 {
        minor_of(&self.online_from, "CNY")
    }

    /// Fen.
    pub(super) fn ask_code_from(&self) -> i64 {
        minor_of(&self.ask_code_from, "CNY")
    }
}

/// The night of a card that is locked at night, in full hours.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LockRules {
    night_from: i8,
    night_until: i8,
}

impl LockRules {
    /// Whether an hour of the day belongs to it.
    pub(super) fn is_night(&self, hour: i8) -> bool {
        if self.night_from <= self.night_until {
            (self.night_from..self.night_until).contains(&hour)
        } else {
            hour >= self.night_from || hour < self.night_until
        }
    }

    /// From when to when.
    pub(super) fn hours(&self) -> String {
        format!("{}:00–{}:00", self.night_from, self.night_until)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PointsRules {
    pub(super) per_yuan: i64,
    pub(super) rewards: Vec<Reward>,
    pub(super) projects: Vec<ProjectRules>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProjectRules {
    pub(super) project_id: String,
    pub(super) name: String,
    pub(super) organisation: String,
    pub(super) points_each: i64,
    pub(super) gives: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reward {
    pub(super) reward_id: String,
    pub(super) name: String,
    pub(super) points: i64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CampaignRules {
    pub(super) name: String,
    pub(super) who: String,
    pub(super) what: String,
    /// How many may take part in a month; without it everybody.
    pub(super) places: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfferRules {
    /// From Monday, 0.
    pub(super) weekday: usize,
    pub(super) name: String,
    pub(super) cards: String,
    pub(super) quota: i64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BottleRules {
    pub(super) from: String,
    pub(super) text: String,
    pub(super) ways: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OtpRules {
    pub(super) digits: u32,
    pub(super) life_s: u64,
    pub(super) resend_s: u64,
    pub(super) tries: u32,
    pub(super) identity_tries: u32,
    pub(super) lock_s: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApplicationRules {
    pub(super) age_min: i16,
    pub(super) age_max: i16,
    pub(super) income_min: String,
    pub(super) income_max: String,
    pub(super) review_days: u32,
    pub(super) documents: Vec<String>,
    pub(super) stages: Vec<StageRules>,
    pub(super) products: Vec<ProductRules>,
    pub(super) fees: Vec<FeeRules>,
    pub(super) contracts: Vec<ContractRules>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StageRules {
    pub(super) code: String,
    pub(super) name: String,
    pub(super) days: i64,
    pub(super) next_step: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProductRules {
    pub(super) product_id: String,
    pub(super) name: String,
    pub(super) tier: String,
    pub(super) currencies: Vec<String>,
    pub(super) annual_fee: String,
    pub(super) annual_fee_rule: String,
    /// Purchases a year that waive the fee; without a number nothing waives it.
    pub(super) waiver_purchases: Option<usize>,
    pub(super) limit_min: String,
    pub(super) limit_max: String,
    pub(super) benefits: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FeeRules {
    pub(super) name: String,
    pub(super) text: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ContractRules {
    pub(super) kind: String,
    pub(super) title: String,
    pub(super) version: String,
    pub(super) text: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MerchantRules {
    pub(super) name: String,
    /// ISO 18245.
    pub(super) mcc: String,
    pub(super) channel: Channel,
    pub(super) low: i64,
    pub(super) high: i64,
}

impl Rules {
    /// The category of a merchant, by its name.
    pub(super) fn category_of(&self, name: &str) -> Option<&str> {
        let mut merchants = self.merchants.iter().chain(&self.merchants_abroad);
        merchants.find(|merchant| merchant.name == name).map(|merchant| merchant.mcc.as_str())
    }

    /// What customers call the kind of a shop.
    pub(super) fn category_name(&self, merchant: &str) -> &str {
        let mcc = self.category_of(merchant);
        let mut named = self.categories.iter();
        let named = named.find(|(_, codes)| codes.iter().any(|code| Some(code.as_str()) == mcc));
        named.map_or("其他", |(name, _)| name)
    }

    /// Reads the built-in file.
    pub(super) fn builtin() -> Result<Self, String> {
        let rules: Self = toml::from_str(FILE).map_err(|error| format!("rules.toml: {error}"))?;
        let application = &rules.application;
        let instalment = &rules.instalment;
        let amounts = [&rules.minimum.least, &application.income_min, &application.income_max]
            .into_iter()
            .chain([
                &rules.statement.tolerance,
                &rules.cash.fee_least,
                &rules.cash.day_max,
                &rules.limit.step,
            ])
            .chain(instalment.periods.iter().filter_map(|one| one.least.as_ref()))
            .chain([&instalment.bill_least, &instalment.purchase_least, &instalment.cash_least])
            .chain(application.products.iter().flat_map(|p| [&p.annual_fee, &p.limit_min, &p.limit_max]));
        for amount in amounts {
            Amount::parse(amount, "CNY").map_err(|error| format!("rules.toml: {amount}: {error}"))?;
        }
        if !(1..=50).contains(&rules.plastic.valid_years) {
            return Err("rules.toml: plastic.valid_years must be from 1 to 50".to_owned());
        }
        let days = rules.statement.days.iter().chain([&rules.statement.day]);
        if !days.into_iter().all(|day| (1..=28).contains(day)) {
            return Err("rules.toml: statement.day and statement.days must be from 1 to 28".to_owned());
        }
        if !rules.instalment.periods.iter().all(|one| (1..=60).contains(&one.periods) && one.rate >= 0) {
            return Err("rules.toml: instalment.periods must be from 1 to 60, rates not negative".to_owned());
        }
        if application.stages.is_empty() || rules.merchants.is_empty() || rules.merchants_abroad.is_empty() {
            return Err("rules.toml: stages and merchants must not be empty".to_owned());
        }
        Ok(rules)
    }

    /// An amount in fen; a currency without a rate counts as nothing and is refused before it is booked.
    pub(super) fn in_yuan(&self, amount: Amount) -> Amount {
        let code = amount.currency().code();
        if code == "CNY" {
            return amount;
        }
        let rate = self.exchange.get(code).copied().unwrap_or(0);
        let scale = 10_i64.pow(u32::from(amount.currency().decimals()));
        // minor / scale units, each rate / 10,000 yuan of 100 fen; rounded half up.
        let fen = (i128::from(amount.minor()) * i128::from(rate) + i128::from(scale) * 50)
            / (i128::from(scale) * 100);
        Amount::yuan(i64::try_from(fen).unwrap_or(i64::MAX))
    }
}

/// A percentage of an amount in minor units, rounded half up.
pub(super) fn percent_of(minor: i64, percent: i64) -> i64 {
    (minor * percent + 50) / 100
}

/// A number of `10^-places` as a plain decimal without needless zeros, two places at least.
pub(super) fn decimal(number: i64, places: usize) -> String {
    let digits = format!("{number:0>width$}", width = places + 1);
    let (whole, part) = digits.split_at(digits.len() - places);
    let part = part.trim_end_matches('0');
    format!("{whole}.{part:0<2}")
}

/// A decimal of the file in minor units of a currency; the file was checked when it was read.
pub(super) fn minor_of(decimal: &str, code: &str) -> i64 {
    Amount::parse(decimal, code)
        .or_else(|_| Amount::parse(decimal.split('.').next().unwrap_or("0"), code))
        .map_or(0, Amount::minor)
}
