//! What the pages say. Each template has a typed context; nothing that a person typed reaches one unescaped.

mod alerts;
mod apply;
mod bind;
mod purchase;
mod spending;
mod step_up;

use std::borrow::Cow;

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use askama::Template;

pub(super) use alerts::{AlertsPage, THRESHOLD, TypedCard, alerts};
pub(super) use apply::{Step, done as apply_done, progress};
pub(super) use bind::{code as bind_code, done as bind_done, start as bind_start};
pub(super) use purchase::{PurchasePage, purchase};
pub(super) use spending::spending;
pub(super) use step_up::{
    Way, alert as step_up_alert, code as step_up_code, done as step_up_done, start as step_up_start,
};

use super::ASSETS_VERSION;
use crate::config::Account;
use crate::identity::checks::FieldFault;
use crate::identity::{ApplyFault, BindFault, CoreFault, Identity, Refusal};
use crate::wechat::api::PageConfig;

/// What every page of an account has around it.
#[derive(Clone)]
pub(super) struct Frame {
    pub(super) bank: String,
    root: String,
    assets: String,
    csrf: String,
    ancestors: String,
}

impl Frame {
    pub(super) fn of(identity: &Identity, account: &Account, csrf: &str) -> Self {
        let server = &identity.config().server;
        let base = server.public_url.path().trim_end_matches('/');
        let ancestors = match server.h5_frame_ancestors.as_slice() {
            [] => "'none'".to_owned(),
            origins => origins.join(" "),
        };
        Self {
            bank: account.name.clone(),
            root: format!("{base}/h5/{}", account.id),
            assets: format!("{base}/h5/assets"),
            csrf: csrf.to_owned(),
            ancestors,
        }
    }

    /// Around pages that belong to no account.
    fn bare() -> Self {
        Self {
            bank: "微客服".to_owned(),
            root: "/h5".to_owned(),
            assets: "/h5/assets".to_owned(),
            csrf: String::new(),
            ancestors: "'none'".to_owned(),
        }
    }

    pub(super) fn path(&self, path: &str) -> String {
        format!("{}/{path}", self.root)
    }

    fn version(&self) -> &'static str {
        &ASSETS_VERSION
    }
}

/// Renders a page and gives it the headers that every page has.
fn respond(frame: &Frame, status: StatusCode, page: &impl Template) -> HttpResponse {
    respond_using(frame, status, page, None)
}

/// The same for a page that uses WeChat's JS-SDK, whose tags are drawn in frames of WeChat's.
fn respond_using(
    frame: &Frame,
    status: StatusCode,
    page: &impl Template,
    sdk: Option<&PageConfig>,
) -> HttpResponse {
    let html = match page.render() {
        Ok(html) => html,
        Err(error) => {
            tracing::error!(%error, "a page does not render and its visitor sees nothing: a fault of ours, please report it");
            return HttpResponse::InternalServerError().finish();
        }
    };
    let (script, frames) = match sdk {
        Some(config) => (config.sdk.as_str(), "frame-src https://*.qq.com; "),
        None => ("", ""),
    };
    let policy = format!(
        "default-src 'none'; style-src 'self'; script-src 'self' {script}; img-src 'self'; form-action 'self'; \
         {frames}base-uri 'none'; frame-ancestors {}",
        frame.ancestors
    );
    HttpResponse::build(status)
        .insert_header((header::CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header((header::CONTENT_SECURITY_POLICY, policy))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(html)
}

/// A form that could not be taken is shown again with 422.
fn form_status(faults: &Faults, alert: Option<&Alert>) -> StatusCode {
    match alert {
        Some(alert) if alert.down => StatusCode::SERVICE_UNAVAILABLE,
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
        None if faults.any() => StatusCode::UNPROCESSABLE_ENTITY,
        None => StatusCode::OK,
    }
}

/// What is wrong with the fields of a form.
struct Faults(Vec<FieldFault>);

impl Faults {
    fn any(&self) -> bool {
        !self.0.is_empty()
    }

    fn of(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|fault| fault.field == field).map(|fault| fault.text.as_str())
    }

    fn all(&self) -> &[FieldFault] {
        &self.0
    }
}

/// What is said above a form when the trouble is no single field's.
pub(super) struct Alert {
    pub(super) text: String,
    down: bool,
}

impl Alert {
    fn no(text: impl Into<String>) -> Self {
        Self { text: text.into(), down: false }
    }
}

const TEXT_CHANGED: &str = "协议内容刚刚更新，请重新阅读并确认。";
const TOO_MANY: &str = "您在一小时内尝试的次数已达上限，请稍后再试，或在公众号中发送“人工”联系客服。";

fn too_soon(wait_s: u64) -> String {
    format!("验证码刚刚已发送，请{wait_s}秒后再获取。")
}

pub(super) fn bind_alert(fault: &BindFault) -> Alert {
    match fault {
        BindFault::TextChanged => Alert::no(TEXT_CHANGED),
        BindFault::TooMany => Alert::no(TOO_MANY),
        BindFault::TooSoon { wait_s } => Alert::no(too_soon(*wait_s)),
        BindFault::Gone | BindFault::LinkUsed => Alert::no("请重新填写。"),
        BindFault::Core(fault) => core_alert(fault),
    }
}

pub(super) fn apply_alert(fault: &ApplyFault) -> Alert {
    match fault {
        ApplyFault::Incomplete => Alert::no("前面还有内容没有填写完整。"),
        ApplyFault::TextChanged => Alert::no(TEXT_CHANGED),
        ApplyFault::TooMany => Alert::no(TOO_MANY),
        ApplyFault::TooSoon { wait_s } => Alert::no(too_soon(*wait_s)),
        ApplyFault::Core(fault) => core_alert(fault),
    }
}

/// The house's words for the codes that every bank has, the bank's own words for the rest.
fn core_alert(fault: &CoreFault) -> Alert {
    let (code, message, wait_s, tries_left) = match fault {
        CoreFault::Down { reference } => {
            let text = format!(
                "银行系统暂时没有回应，请稍后再试。如需帮助，请在公众号中发送“人工”，并提供编号{reference}。"
            );
            return Alert { text, down: true };
        }
        CoreFault::Refused { code, message, wait_s, tries_left } => (code, message, wait_s, tries_left),
    };
    Alert::no(match (code.as_str(), wait_s, tries_left) {
        ("not_matched", ..) => {
            "您填写的信息与银行预留信息不一致，请逐项核对后重试。为保护您的账户，我们不提示是哪一项有误。"
                .to_owned()
        }
        ("wrong_code", _, Some(tries)) => format!("验证码不正确，还可以再试{tries}次。"),
        ("wrong_code", ..) => "验证码不正确，请核对后重试。".to_owned(),
        ("expired" | "unknown_challenge", ..) => "验证码已失效，请重新获取。".to_owned(),
        ("locked", Some(wait_s), _) => {
            format!("错误次数过多，为保护您的账户，请{}分钟后再试。", wait_s.div_ceil(60).max(1))
        }
        ("locked", ..) => "错误次数过多，为保护您的账户，请稍后再试。".to_owned(),
        _ if message.is_empty() => "银行没有受理，请核对后重试，或在公众号中发送“人工”联系客服。".to_owned(),
        _ => message.clone(),
    })
}

/// A page that only says something.
#[derive(Template)]
#[template(path = "pages/h5/notice.html")]
pub(super) struct Notice<'a> {
    frame: Cow<'a, Frame>,
    title: &'static str,
    text: String,
    next: &'static str,
}

const BACK_TO_CHAT: &str = "请点页面左上角的“×”关闭本页，回到公众号对话。";

impl<'a> Notice<'a> {
    fn new(frame: &'a Frame, title: &'static str, text: impl Into<String>, next: &'static str) -> Self {
        Self { frame: Cow::Borrowed(frame), title, text: text.into(), next }
    }

    fn bare(title: &'static str, text: &str) -> Self {
        let frame = Cow::Owned(Frame::bare());
        Self { frame, title, text: text.to_owned(), next: BACK_TO_CHAT }
    }

    pub(super) fn not_found() -> Notice<'static> {
        Notice::bare("没有这个页面", "地址可能不完整，请从公众号对话中重新打开。")
    }

    pub(super) fn bad_request() -> Notice<'static> {
        Notice::bare("无法处理", "提交的内容不完整或太长，请返回重试。")
    }

    pub(super) fn foreign_form(frame: &'a Frame) -> Self {
        Self::new(frame, "无法处理", "为了您的安全，只接受从本页面提交的内容。", BACK_TO_CHAT)
    }

    pub(super) fn session_over(frame: &'a Frame) -> Self {
        let text = "为了您的安全，页面停留较久会自动退出。刚才的操作没有提交。";
        Self::new(frame, "页面已超时", text, "请回到公众号对话，重新打开链接。")
    }

    pub(super) fn contended(frame: &'a Frame) -> Self {
        let text = "同一个页面在别处也有操作，请返回后刷新页面再试。";
        Self::new(frame, "请稍候再试", text, BACK_TO_CHAT)
    }

    pub(super) fn broken(frame: &'a Frame) -> Self {
        Self::new(frame, "系统繁忙", "系统暂时无法处理，请稍后再试。", BACK_TO_CHAT)
    }

    pub(super) fn no_purchase(frame: &'a Frame) -> Self {
        let text = "没有找到这笔交易，或者它不属于您现在绑定的客户。";
        Self::new(frame, "没有这笔交易", text, BACK_TO_CHAT)
    }

    pub(super) fn not_bound(frame: &'a Frame) -> Self {
        let text = "这个微信没有绑定信用卡，或者绑定刚刚有了变化，没有办理任何事。";
        Self::new(frame, "无法继续", text, "请回到公众号对话，发送“绑定”先绑定信用卡。")
    }

    pub(super) fn core(frame: &'a Frame, fault: &CoreFault) -> Self {
        Self::new(frame, "暂时无法办理", core_alert(fault).text, BACK_TO_CHAT)
    }

    pub(super) fn refusal(frame: &'a Frame, refusal: Refusal) -> Self {
        let again = "请回到公众号对话，发送“绑定”等关键词，重新获取链接。";
        let (title, text, next) = match refusal {
            Refusal::Link => ("链接无效", "这个链接不完整，或者不是本页面的链接。", again),
            Refusal::LinkExpired => ("链接已过期", "为了您的安全，链接在30分钟内有效。", again),
            Refusal::LinkUsed => ("链接已使用", "为了您的安全，每个绑定链接只能使用一次。", again),
            Refusal::LinkMissing => ("请从对话中打开", "这个页面需要通过公众号对话里的链接打开。", again),
            Refusal::NotYours => (
                "此链接不是发给您的",
                "链接只对收到它的微信号有效。",
                "如需办理，请在公众号对话中自行获取链接。",
            ),
            Refusal::Journey => ("请重新打开", "微信授权没有完成，或者已经超时。", again),
            Refusal::Snapshot => (
                "请使用完整服务",
                "您正在浏览快照页，微信没有提供您的身份，无法办理业务。",
                "请点页面右下角的“使用完整服务”，或回到公众号对话重新打开链接。",
            ),
            Refusal::WechatDown => {
                ("微信暂时没有回应", "没有取得微信授权，请稍后重新打开链接。", BACK_TO_CHAT)
            }
        };
        Self::new(frame, title, text, next)
    }

    pub(super) fn respond(&self, status: StatusCode) -> HttpResponse {
        respond(&self.frame, status, self)
    }
}
