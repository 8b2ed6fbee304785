//! What the desk's pages say, in both languages. Words of the script are in `assets/words.js`.

use actix_web::HttpRequest;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::StatusCode;

use crate::desk::{Groups, Purpose, Reasons};
use crate::domain::time::UnixMs;
use crate::staff::{SecondStepError, SignInError, SignOnError};

const LANGUAGE_COOKIE: &str = "weikefu_language";

/// The reader's language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Chinese,
    English,
}

impl Language {
    /// By `?lang=`, else by the cookie, else Chinese.
    pub(super) fn of(request: &HttpRequest) -> Self {
        let asked = request.query_string().split('&').find_map(|pair| pair.strip_prefix("lang="));
        let kept = request.cookie(LANGUAGE_COOKIE);
        match asked.or_else(|| kept.as_ref().map(Cookie::value)) {
            Some("en") => Self::English,
            _ => Self::Chinese,
        }
    }

    pub(super) fn cookie(self) -> Cookie<'static> {
        let name = if self == Self::English { "en" } else { "zh" };
        Cookie::build(LANGUAGE_COOKIE, name).path("/").same_site(SameSite::Lax).http_only(true).finish()
    }

    pub(super) fn words(self) -> &'static Words {
        match self {
            Self::Chinese => &CHINESE,
            Self::English => &ENGLISH,
        }
    }

    fn choose(self, chinese: &'static str, english: &'static str) -> &'static str {
        if self == Self::Chinese { chinese } else { english }
    }
}

macro_rules! words {
    ($($key:ident: $chinese:literal, $english:literal;)*) => {
        /// The fixed words of the pages.
        pub(super) struct Words { $(pub(super) $key: &'static str),* }
        static CHINESE: Words = Words { $($key: $chinese),* };
        static ENGLISH: Words = Words { $($key: $english),* };
    };
}

words! {
    language: "zh-CN", "en";
    other_language: "en", "zh";
    other_language_name: "English", "中文";
    product: "微客服", "Weikefu";
    desk: "坐席工作台", "Agents' desk";
    sign_in: "登录", "Sign in";
    sign_out: "退出", "Sign out";
    name: "工号", "Name";
    password: "密码", "Password";
    sign_in_note: "仅限授权坐席使用。所有登录、接入与结束操作均留痕。", "For authorised staff only. Sign-ins and actions are recorded.";
    sign_in_by_bank: "使用{}登录", "Sign in with {}";
    second_step: "两步验证", "Two-step sign-in";
    code_wanted: "请输入手机验证器上的 6 位验证码。手机不在身边时，可输入一个恢复码。", "Enter the 6 digits that your authenticator shows, or a recovery code when the phone is not at hand.";
    code: "验证码", "Code";
    go_on: "继续", "Continue";
    other_person: "换一个工号登录", "Sign in as somebody else";
    set_up: "设置两步验证", "Set up two-step sign-in";
    set_up_scan: "请用手机验证器（如 Google Authenticator、Microsoft Authenticator）扫描二维码：", "Scan this with an authenticator on your phone (Google Authenticator, Microsoft Authenticator …):";
    set_up_type: "无法扫描时，请手工输入密钥：", "If it cannot scan, type this key:";
    set_up_confirm: "再输入手机上显示的 6 位验证码，完成设置：", "Then enter the 6 digits it shows:";
    recovery: "恢复码", "Recovery codes";
    recovery_note: "两步验证已开启。请把下面的恢复码抄存在安全的地方：手机不在身边时，每个可代替验证码使用一次。它们只显示这一次。", "Two-step sign-in is on. Keep these codes in a safe place: each stands in for a code of the phone once. They are shown only now.";
    recovery_kept: "我已保存，进入工作台", "I have kept them; go to the desk";
    already_on: "两步验证已开启。更换手机请联系管理员重置。", "Two-step sign-in is on. To change the phone, ask an administrator to reset it.";
    reveal: "查看客户号", "The customer's number";
    reveal_note: "查看脱敏之外的客户信息需要说明用途，每次查看都会记入审计日志。", "To see more than the mask shows, say what for. Each look is kept in the audit trail.";
    reveal_purpose: "用途", "Purpose";
    reveal_why: "说明（选填）", "Note (optional)";
    reveal_show: "查看", "Show";
    reveal_customer: "客户号", "Customer number";
    reveal_card: "卡片", "Card";
    reveal_done: "本次查看已记入审计日志，请勿截屏外传。", "This look is kept in the audit trail. Do not pass it on.";
    reveal_not_bound: "该客户尚未绑定，没有客户号。", "The customer has not bound an account; there is no number.";
    audit: "审计日志", "Audit trail";
    audit_at: "时间", "Time";
    audit_actor: "操作者", "Who";
    audit_action: "操作", "What";
    audit_account: "公众号", "Account";
    audit_detail: "详情", "Details";
    audit_taken_by: "导出人", "Taken out by";
    audit_older: "更早的记录", "Older lines";
    agent: "坐席", "Agent";
    supervisor: "班长", "Supervisor";
    admin: "管理员", "Administrator";
    mine: "我的会话", "Mine";
    queue: "排队中", "Queue";
    claim_next: "接入下一位", "Take next";
    nothing_open: "请从左侧选择会话，或接入下一位客户。", "Choose a conversation, or take the next customer.";
    nothing_open_keys: "快捷键：Alt+N 接入下一位，Alt+↑ / Alt+↓ 切换会话，? 查看全部", "Keys: Alt+N takes the next, Alt+↑ / Alt+↓ switch, ? shows all";
    back: "返回列表", "Back";
    claim: "接入", "Take";
    finish: "结束", "End";
    to_bot: "转回机器人", "Back to bot";
    transfer: "转接", "Transfer";
    earlier: "查看更早的消息", "Earlier messages";
    answer: "回复内容", "Answer";
    answer_hint: "输入回复，Enter 发送，Shift+Enter 换行", "Type an answer; Enter sends, Shift+Enter breaks the line";
    send: "发送", "Send";
    why_closed: "会话已结束，请选择小结：", "The talk is over. How did it end?";
    finish_how: "结束会话，请选择小结", "End the conversation: how did it go?";
    reason_later: "稍后选择", "Choose later";
    solved: "已解决", "Solved";
    passed_on: "已转交处理", "Passed on";
    no_answer: "客户无回应", "No answer";
    not_for_us: "非本行业务", "Not for us";
    customer: "客户信息", "Customer";
    transfer_to: "转接到哪个技能组？", "Transfer to which group?";
    cancel: "取消", "Cancel";
    keys: "快捷键", "Keyboard shortcuts";
    key_next: "接入下一位客户", "Take the next customer";
    key_switch: "切换我的会话", "Switch between my conversations";
    key_answer: "把光标放进回复框", "Go to the answer box";
    key_finish: "结束当前会话", "End the conversation";
    key_claim: "接入正在查看的客户", "Take the customer who is shown";
    key_complaint: "登记投诉", "Register a complaint";
    key_bot: "转回机器人", "Back to the bot";
    key_transfer: "转接当前会话", "Transfer the conversation";
    key_send: "发送 / 换行", "Send / break the line";
    key_help: "显示本说明", "Show this list";
    close: "关闭", "Close";
    wall: "现场大屏", "Wall";
    report: "报表", "Reports";
    waiting_now: "排队中", "Waiting";
    longest: "最长等待", "Longest wait";
    overdue: "已超时", "Overdue";
    at_risk: "即将超时", "At risk";
    talking: "接待中", "Talking";
    call_backs: "待回呼", "Call-backs";
    promised: "承诺时限", "Promised";
    people: "在线坐席", "Who is there";
    talks: "进行中的会话", "Talks that go on";
    complaints: "未办结投诉", "Open complaints";
    move_queue: "整组移队", "Move a queue";
    move_to: "移到", "to";
    move_do: "移动", "Move";
    set: "保存", "Save";
    groups: "技能组", "Groups";
    all_groups: "不勾选表示服务全部技能组", "None ticked: every group";
    capacity: "同时接待上限", "At the same time";
    account: "公众号", "Account";
    from: "从", "From";
    to: "到", "To";
    show: "查看", "Show";
    csv: "导出 CSV", "CSV";
    in_all: "合计", "In all";
    by_group: "按技能组", "By group";
    by_agent: "按坐席", "By agent";
    by_day: "按日", "By day";
    cases_a_day: "每日会话数", "Cases a day";
    wait_a_day: "每日首次响应中位数（秒）", "First answer, median seconds a day";
    why_came: "转人工原因", "Why they came";
    how_ended: "结束小结", "How they ended";
    part: "维度", "Part";
    name_of_line: "名称", "Name";
    cases: "会话数", "Cases";
    answered: "已响应", "Answered";
    in_time: "按时响应率", "In time";
    wait_p50: "首次响应中位数（秒）", "First answer, median s";
    wait_p90: "首次响应 90 分位（秒）", "First answer, p90 s";
    handling_p50: "处理时长中位数（秒）", "Handling, median s";
    transferred: "转接", "Transferred";
    rated: "已评价", "Rated";
    score: "平均评分", "Mean rating";
    containment: "机器人独立解决", "Contained by the bot";
    containment_a_day: "每日机器人独立解决率（%）", "Contained by the bot, % a day";
    contacts: "咨询数", "Contacts";
    handed_over: "转人工", "Handed over";
    repeated: "24 小时内再次咨询", "Came again in 24 h";
    contained: "独立解决率", "Contained";
    quality: "质检", "Quality";
    quality_draw: "待质检（近 7 天随机抽取）", "To be judged (drawn by lot, 7 days)";
    quality_judged: "已质检数", "Judged";
    quality_mean: "质检均分", "Mean points";
    quality_points: "质检打分", "Points";
    quality_note: "评语（可不填）", "Why (optional)";
    whisper: "密语给坐席", "Whisper to the agent";
    whisper_hint: "只有接待的坐席和班长可见", "Only the agent and supervisors see it";
    guesses: "机器人建议", "The robot suggests";
    recent_services: "最近办理", "Last services";
    recent_transactions: "最近交易", "Last transactions";
    reveal_open: "查看客户号", "Show the customer number";
    key_guess: "采用机器人建议并发送", "Send what the robot suggests";
    exported_by: "导出人", "Exported by";
    report_cut: "数据过多，仅统计前 20 万个会话，请缩短时间范围。", "Too much: only the first 200,000 cases are counted. Please shorten the period.";
    ready: "自动接入", "Auto-assign";
    ready_why: "打开后，排队客户会自动分配给您", "Customers who wait come to you by themselves";
    sound: "提示音", "Sound";
    urgency: "优先级", "Urgency";
    take_over: "接管", "Take over";
    complaint: "投诉", "Complaint";
    complaint_register: "登记投诉", "Register a complaint";
    complaint_reason: "投诉事由（不填卡号等敏感信息）", "What about (no card numbers)";
    register: "登记", "Register";
    settle: "标记为已办结", "Mark as settled";
    history: "历史会话", "Earlier cases";
    replies: "常用语", "Canned replies";
    replies_hint: "输入关键字查找，Enter 选用", "Type to search, Enter takes it";
    search: "查找", "Search";
    image: "图片", "Picture";
    note: "内部备注", "Note";
    phone_call: "转电话回访", "Phone call";
    call_customer: "登记电话回访并结束", "Have the bank call, and end";
    transfer_to_person: "或直接转给同事", "Or straight to a colleague";
    key_replies: "打开常用语（回复框为空时）", "Canned replies (while the box is empty)";
    key_image: "发送图片", "Send a picture";
    key_note: "切换内部备注", "Switch to a note";
    new_messages: "有新消息 ↓", "New messages ↓";
    no_script: "工作台需要启用 JavaScript。", "The desk needs JavaScript.";
}

impl Words {
    /// The heads of the columns on what the bot did alone.
    pub(super) fn containment_columns(&self) -> [&'static str; 4] {
        [self.contacts, self.handed_over, self.repeated, self.contained]
    }

    /// The heads of the columns on judgements.
    pub(super) fn quality_columns(&self) -> [&'static str; 2] {
        [self.quality_judged, self.quality_mean]
    }

    /// The heads of a report's columns.
    pub(super) fn columns(&self) -> [&'static str; 9] {
        [
            self.cases,
            self.answered,
            self.in_time,
            self.wait_p50,
            self.wait_p90,
            self.handling_p50,
            self.transferred,
            self.rated,
            self.score,
        ]
    }
}

/// How a case ended.
pub(super) fn close_reason(language: Language, reason: &str) -> &'static str {
    let (chinese, english) = match reason {
        "solved" => ("已解决", "Solved"),
        "passed_on" => ("已转交处理", "Passed on"),
        "phone_call" => ("转电话回访", "Phone call"),
        "no_answer" => ("客户无回应", "No answer"),
        "not_for_us" => ("非本行业务", "Not for us"),
        "back_to_bot" => ("转回机器人", "Back to the bot"),
        "cancelled" => ("客户取消排队", "Left the queue"),
        "unfollowed" => ("取消关注", "Unfollowed"),
        _ => ("未小结", "No reason noted"),
    };
    language.choose(chinese, english)
}

/// The purpose of looking beyond the mask.
pub(super) fn purpose(language: Language, purpose: Purpose) -> &'static str {
    let (chinese, english) = match purpose {
        Purpose::Identify => ("核实身份", "To check who the customer is"),
        Purpose::Handle => ("办理业务", "To do what the customer asks for"),
        Purpose::Complaint => ("处理投诉", "To handle a complaint"),
        Purpose::Fraud => ("调查欺诈", "To look into fraud"),
        Purpose::CallBack => ("回电", "To call back"),
    };
    language.choose(chinese, english)
}

/// The group's name; its id where it is not in the file any more.
pub(super) fn group<'a>(language: Language, groups: &'a Groups, id: &'a str) -> &'a str {
    match (groups.get(id), language) {
        (Some(group), Language::Chinese) => &group.name,
        (Some(group), Language::English) => &group.english,
        (None, _) => id,
    }
}

/// The reason of a case; as it is where the file has no names for it.
pub(super) fn reason<'a>(language: Language, reasons: &'a Reasons, reason: &'a str) -> &'a str {
    match (reasons.get(reason), language) {
        (Some(named), Language::Chinese) => &named.name,
        (Some(named), Language::English) => &named.english,
        (None, _) => reason,
    }
}

/// What a refused person is told. It never says whether the name exists.
pub(super) fn sign_in_trouble(language: Language, error: &SignInError) -> (StatusCode, String) {
    match error {
        SignInError::Wrong => (
            StatusCode::UNAUTHORIZED,
            language.choose("工号或密码不正确。", "The name or the password is wrong.").to_owned(),
        ),
        SignInError::Locked(until) => (StatusCode::TOO_MANY_REQUESTS, not_before(language, *until)),
        SignInError::Busy => (
            StatusCode::SERVICE_UNAVAILABLE,
            language
                .choose("登录人数较多，请稍后再试。", "Many people sign in right now. Please try again.")
                .to_owned(),
        ),
        SignInError::Failed(_) => (StatusCode::SERVICE_UNAVAILABLE, failure(language, "broken").to_owned()),
    }
}

fn not_before(language: Language, until: UnixMs) -> String {
    let time = until.beijing().strftime("%H:%M:%S").to_string();
    match language {
        Language::Chinese => format!("尝试次数过多，请在 {time} 之后再试。"),
        Language::English => format!("Too many failures. Please try again after {time}."),
    }
}

/// What somebody is told whose code opened nothing.
pub(super) fn second_step_trouble(language: Language, error: &SecondStepError) -> (StatusCode, String) {
    let (status, sentence) = match error {
        SecondStepError::Wrong => (
            StatusCode::UNAUTHORIZED,
            language.choose(
                "验证码不正确。请核对手机时间是否准确。",
                "The code is wrong. Is the phone's clock right?",
            ),
        ),
        SecondStepError::Used => (
            StatusCode::UNAUTHORIZED,
            language.choose(
                "该验证码已使用过，请等手机显示下一个。",
                "This code was used already. Wait for the next one.",
            ),
        ),
        SecondStepError::Locked(until) => {
            return (StatusCode::TOO_MANY_REQUESTS, not_before(language, *until));
        }
        SecondStepError::Over => (StatusCode::UNAUTHORIZED, failure(language, "signed_out")),
        SecondStepError::SetUpAlready => (StatusCode::CONFLICT, language.words().already_on),
        SecondStepError::Failed(_) => (StatusCode::SERVICE_UNAVAILABLE, failure(language, "broken")),
    };
    (status, sentence.to_owned())
}

/// What somebody is told whom the bank's own sign-in did not bring in.
pub(super) fn sign_on_trouble(language: Language, error: &SignOnError) -> (StatusCode, String) {
    let (status, sentence) = match error {
        SignOnError::NotBegun => (
            StatusCode::BAD_REQUEST,
            language.choose("登录已超时，请重新登录。", "That took too long. Please sign in again."),
        ),
        SignOnError::Refused(_) => (
            StatusCode::UNAUTHORIZED,
            language.choose("统一身份认证未通过。", "The bank's sign-in was not completed."),
        ),
        SignOnError::NoAccount => (
            StatusCode::FORBIDDEN,
            language.choose(
                "您尚未开通坐席工作台，请联系管理员。",
                "You have no account at this desk. Please ask an administrator.",
            ),
        ),
        SignOnError::Busy => (StatusCode::SERVICE_UNAVAILABLE, failure(language, "busy")),
        SignOnError::Provider(_) | SignOnError::Token(_) => (
            StatusCode::BAD_GATEWAY,
            language.choose(
                "统一身份认证暂时不可用，请稍后再试。",
                "The bank's sign-in is not available. Please try again later.",
            ),
        ),
        SignOnError::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, failure(language, "broken")),
    };
    (status, sentence.to_owned())
}

/// The sentence of a refusal.
pub(super) fn failure(language: Language, code: &str) -> &'static str {
    let (chinese, english) = match code {
        "signed_out" => ("登录已失效，请重新登录。", "Your session is over. Please sign in again."),
        "foreign" => (
            "请求来源无法确认，请刷新页面后重试。",
            "The request did not come from this page. Please reload.",
        ),
        "no_such_case" => {
            ("会话不存在，或您无权查看。", "There is no such conversation, or it is not yours to see.")
        }
        "taken" => ("已被他人接入。", "Another agent was first."),
        "not_yours" => ("该会话不在您名下。", "The conversation is not with you."),
        "over" => ("会话已结束。", "The conversation is over."),
        "window_closed" => (
            "客户超过 48 小时未发消息，微信不允许再发送。可留言或登记电话回访。",
            "The customer has not written within 48 hours; WeChat lets nothing through.",
        ),
        "window_spent" => (
            "本轮可发送的条数已用完，需等客户再次发消息。",
            "No messages are left until the customer writes again.",
        ),
        "empty" => ("请输入内容后再发送。", "Please type something first."),
        "too_long" => {
            ("内容超过 2048 字节，请分条发送。", "The text has more than 2048 bytes; please split it.")
        }
        "busy" => ("操作太频繁，请稍后重试。", "Too much at once. Please try again."),
        "bad_period" => ("请选择不超过 92 天的时间范围。", "Please choose a period of at most 92 days."),
        "media_wanted" => ("文件正在从微信取回，请稍候。", "The file is being fetched from WeChat."),
        "media_lost" => {
            ("微信已删除该文件，未能取回。", "WeChat has deleted the file; it could not be fetched.")
        }
        "full" => (
            "您接待的会话已达上限，请先结束一些会话。",
            "You have as many conversations as you may have. Please finish one first.",
        ),
        "other_group" => ("该会话属于其他技能组。", "The conversation is of another group."),
        "not_allowed" => ("您没有此项权限。", "You have no right to this."),
        "not_there" => (
            "对方不在线、已满或无权接待该公众号。",
            "They are not signed in, full, or do not serve this account.",
        ),
        "no_room" => (
            "待送达的留言已满，客户下次发言、读到之后才能再留。",
            "No room: the customer has to read what was left already.",
        ),
        "window_open" => {
            ("现在可以直接发送，无需留言。", "It can be sent now; there is no need to leave it.")
        }
        "banned" => {
            ("内容含禁用语“{}”，请修改后再发送。", "The text holds the banned words “{}”. Please change it.")
        }
        "contact" => (
            "内容含私人联系方式“{}”，请勿向客户提供或索取。",
            "The text holds a private contact, “{}”. Do not give or ask for one.",
        ),
        "unsendable" => (
            "仅支持 2 MB 以内的 JPG、PNG、GIF 图片。",
            "Only JPG, PNG and GIF pictures of up to 2 MB can be sent.",
        ),
        "wechat" => ("微信暂时没有接受，请稍后重试。", "WeChat did not take it. Please try again."),
        "not_found" => ("页面不存在。", "There is no such page."),
        "bad_request" => ("请求内容不正确。", "The request is not right."),
        _ => ("系统暂时不可用，请稍后重试。", "The system is not available. Please try again."),
    };
    language.choose(chinese, english)
}
