//! What the simulator needs to know of a deployment's configuration.

use std::collections::BTreeMap;
use std::net::IpAddr;

use url::Url;

use crate::config::{Account, AccountKind, Config, Encryption, NoticeTemplate, NoticeWay};
use crate::domain::secret::Secret;

/// Everything the simulator is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Host name or address to listen on.
    pub host: String,
    /// Port to listen on; 0 lets the system choose.
    pub port: u16,
    /// The official accounts it plays the platform for.
    pub accounts: Vec<AccountSettings>,
    /// How long a push may stay unanswered, and how far its deliveries lie apart.
    pub delivery_timeout_ms: u64,
    /// How long after a template message its receipt is pushed.
    pub receipt_delay_ms: u64,
    /// Followers that each account has from the start, so that a visitor finds a phone to pick up.
    pub followers_at_start: usize,
    /// The host registered as 网页授权域名; `None` accepts any.
    pub oauth_redirect_host: Option<String>,
    /// The account's IP allow list: who may fetch tokens. `None`: anybody.
    pub token_callers: Option<Vec<IpAddr>>,
    /// The sandbox core's page, linked from the start page.
    pub core_url: Option<Url>,
    /// The agents' desk, linked from the start page.
    pub desk_url: Option<Url>,
}

/// One official account as the platform knows it.
#[derive(Clone, Debug)]
pub struct AccountSettings {
    /// The configured id, `/wechat/{id}`.
    pub id: String,
    /// What customers call it.
    pub name: String,
    /// `gh_…`
    pub original_id: String,
    /// AppID.
    pub app_id: String,
    /// AppSecret.
    pub app_secret: Secret,
    /// Token of the webhook signature.
    pub token: Secret,
    /// EncodingAESKey; needed unless `encryption` is plain.
    pub encoding_aes_key: Option<Secret>,
    /// Service or subscription account.
    pub kind: AccountKind,
    /// 已认证: without it most of the API is closed.
    pub is_verified: bool,
    /// How pushes are sent.
    pub encryption: Encryption,
    /// Where pushes are sent.
    pub push_url: Url,
    /// The templates that exist in this account.
    pub templates: Vec<Template>,
}

/// A template of the account's library.
#[derive(Clone, Debug)]
pub struct Template {
    /// Its id.
    pub id: String,
    /// What the card is headed with.
    pub title: String,
    /// Keyword and label of each line, in display order.
    pub lines: Vec<(String, String)>,
    /// Of which of the platform's messages it is.
    pub way: NoticeWay,
}

impl Settings {
    /// Pushes time out after five seconds, as on the platform.
    pub const DELIVERY_TIMEOUT_MS: u64 = 5_000;
    /// Receipts come a moment after their message.
    pub const RECEIPT_DELAY_MS: u64 = 300;

    /// Reads what concerns the simulator. It listens where the first account expects WeChat's API.
    #[must_use]
    pub fn from_config(config: &Config) -> Self {
        let api = config.accounts.first().and_then(|account| account.api_base_urls.first());
        let server = config.sandbox.server_url.as_ref().unwrap_or(&config.server.public_url);
        Self {
            host: api.and_then(Url::host_str).unwrap_or("127.0.0.1").to_owned(),
            port: api.and_then(Url::port_or_known_default).unwrap_or(0),
            accounts: config.accounts.iter().map(|account| AccountSettings::read(account, server)).collect(),
            delivery_timeout_ms: Self::DELIVERY_TIMEOUT_MS,
            receipt_delay_ms: Self::RECEIPT_DELAY_MS,
            followers_at_start: 1,
            token_callers: None,
            oauth_redirect_host: config.server.public_url.host_str().map(str::to_owned),
            core_url: Some(config.core.base_url.clone()),
            desk_url: Some(below(&config.server.public_url, "desk")),
        }
    }

    /// The same settings on another port; 0 lets the system choose.
    #[must_use]
    pub fn on_port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }
}

impl AccountSettings {
    fn read(account: &Account, server: &Url) -> Self {
        Self {
            id: account.id.as_str().to_owned(),
            name: account.name.clone(),
            original_id: account.original_id.clone(),
            app_id: account.app_id.clone(),
            app_secret: account.app_secret.clone(),
            token: account.token.clone(),
            encoding_aes_key: account.encoding_aes_key.clone(),
            kind: account.kind,
            is_verified: true,
            encryption: account.encryption,
            push_url: below(server, &format!("wechat/{}", account.id)),
            templates: Template::library(&account.notices),
        }
    }
}

impl Template {
    /// The account's templates, made up from the notices that use them. Notices that share a template share
    /// its lines.
    #[must_use]
    pub fn library(notices: &BTreeMap<String, NoticeTemplate>) -> Vec<Self> {
        let mut library: Vec<Self> = Vec::new();
        for (kind, notice) in notices {
            let at = library.iter().position(|template| template.id == notice.template_id);
            let at = at.unwrap_or_else(|| {
                library.push(Self {
                    id: notice.template_id.clone(),
                    title: title(kind).to_owned(),
                    lines: Vec::new(),
                    way: notice.way,
                });
                library.len() - 1
            });
            for (field, keyword) in &notice.fields {
                if library[at].lines.iter().all(|(known, _)| known != keyword) {
                    library[at].lines.push((keyword.clone(), label(field).to_owned()));
                }
            }
        }
        library.into_iter().map(Self::in_order).collect()
    }

    /// Its lines in the order of their numbers, as the platform shows them.
    pub(super) fn in_order(mut self) -> Self {
        self.lines.sort_by_key(|(keyword, _)| keyword_number(keyword));
        self
    }
}

/// `thing4` → 4: templates list their keywords by number.
fn keyword_number(keyword: &str) -> u32 {
    keyword.trim_start_matches(|character: char| !character.is_ascii_digit()).parse().unwrap_or(u32::MAX)
}

fn title(kind: &str) -> &str {
    match kind {
        "spend" => "信用卡消费提醒",
        "repayment" => "信用卡还款到账通知",
        "refund" => "退款到账通知",
        "declined" => "交易未成功提醒",
        "security" => "账户安全提醒",
        "bill_issued" => "信用卡账单通知",
        "bill_due" => "信用卡还款提醒",
        "application" => "信用卡申请进度通知",
        "limit_result" => "额度申请结果通知",
        "instalment_result" => "分期申请结果通知",
        "card_mailed" => "卡片寄送通知",
        "case_update" => "服务工单进度通知",
        "digest" => "免打扰时段提醒汇总",
        _ => "服务通知",
    }
}

fn label(field: &str) -> &str {
    match field {
        "card" | "card_last4" => "卡号尾号",
        "amount" => "交易金额",
        "time" => "交易时间",
        "merchant" => "交易商户",
        "type" | "kind" => "交易类型",
        "reason" => "原因",
        "status" | "state" | "stage" | "result" => "当前状态",
        "due_date" | "due" | "deadline" => "到期还款日",
        "minimum" | "minimum_payment" => "最低还款额",
        "statement_amount" | "bill_amount" => "本期账单金额",
        "month" | "period" => "账单月份",
        "application" | "application_id" | "application_no" | "case" | "case_id" | "number" => "受理编号",
        "product" => "卡片名称",
        "name" | "customer" => "客户",
        "event" | "item" | "subject" => "事项",
        "place" | "city" | "address" => "地点",
        "available_credit" | "limit" => "可用额度",
        "next_step" => "下一步",
        "tip" | "note" | "advice" => "温馨提示",
        other => other,
    }
}

fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_that_share_a_template_share_its_lines_in_the_order_of_their_numbers() {
        let notice = |fields: &[(&str, &str)]| NoticeTemplate {
            template_id: "tplSpend".to_owned(),
            fields: fields
                .iter()
                .map(|(field, keyword)| ((*field).to_owned(), (*keyword).to_owned()))
                .collect(),
            way: NoticeWay::Template,
        };
        let notices = BTreeMap::from([
            ("refund".to_owned(), notice(&[("amount", "amount2"), ("time", "time13")])),
            ("spend".to_owned(), notice(&[("amount", "amount2"), ("merchant", "thing4")])),
        ]);
        let library = Template::library(&notices);
        let keywords: Vec<&str> = library[0].lines.iter().map(|(keyword, _)| keyword.as_str()).collect();
        assert_eq!((library.len(), keywords), (1, vec!["amount2", "thing4", "time13"]));
        assert_eq!(library[0].lines[1].1, "交易商户");
    }
}
