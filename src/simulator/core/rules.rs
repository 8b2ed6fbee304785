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
    pub(super) statement: StatementRules,
    pub(super) minimum: MinimumRules,
    pub(super) late: LateRules,
    pub(super) limit: LimitRules,
    pub(super) suspicion: SuspicionRules,
    pub(super) instalment: InstalmentRules,
    /// One unit of a currency in ten-thousandths of a yuan.
    pub(super) exchange: BTreeMap<String, i64>,
    pub(super) points: PointsRules,
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
pub(super) struct LimitRules {
    pub(super) cash_percent: i64,
    pub(super) preauth_days: i64,
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
        fen(&self.online_from)
    }

    /// Fen.
    pub(super) fn ask_code_from(&self) -> i64 {
        fen(&self.ask_code_from)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InstalmentRules {
    amount_min: String,
    pub(super) plans: Vec<PlanRules>,
}

impl InstalmentRules {
    /// Fen.
    pub(super) fn amount_min(&self) -> i64 {
        fen(&self.amount_min)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanRules {
    pub(super) periods: i64,
    /// Yearly simple rate in hundredths of a percent, over what is still owed.
    pub(super) annual_rate: i64,
}

/// A number that does not read means that nothing is ever so great.
fn fen(text: &str) -> i64 {
    Amount::parse(text, "CNY").map_or(i64::MAX, Amount::minor)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PointsRules {
    pub(super) per_yuan: i64,
    pub(super) rewards: Vec<Reward>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reward {
    pub(super) name: String,
    pub(super) points: i64,
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
    pub(super) channel: Channel,
    pub(super) low: i64,
    pub(super) high: i64,
}

impl Rules {
    /// Reads the built-in file.
    pub(super) fn builtin() -> Result<Self, String> {
        let rules: Self = toml::from_str(FILE).map_err(|error| format!("rules.toml: {error}"))?;
        let application = &rules.application;
        let amounts = [&rules.minimum.least, &application.income_min, &application.income_max]
            .into_iter()
            .chain(application.products.iter().flat_map(|p| [&p.annual_fee, &p.limit_min, &p.limit_max]));
        for amount in amounts {
            Amount::parse(amount, "CNY").map_err(|error| format!("rules.toml: {amount}: {error}"))?;
        }
        if !(1..=28).contains(&rules.statement.day) {
            return Err("rules.toml: statement.day must be from 1 to 28".to_owned());
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
