//! Every API that exists here: its path, its method, who may call it, how often a day (接口调用频次限制说明).
//! What the platform has but the simulator has not is answered like an unknown address.

use std::sync::Arc;

use serde_json::json;

use super::super::platform::Platform;
use super::{
    Answer, Answered, Call, Refused, agents, callback, custom, diagnose, mass, material, media, menu,
    one_time, people, qrcode, quota, sessions, shorten, speech, subscribe, tags, template, token,
};
use crate::config::AccountKind;

/// Who may call an API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Every account.
    Anyone,
    /// Verified accounts of both kinds.
    Verified,
    /// Verified service accounts (服务号).
    Service,
}

/// How an API is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Get,
    Post,
    /// Either: where an older form is still in use.
    Both,
}

type Run = fn(&Arc<Platform>, usize, &Call) -> Answered;

/// One API.
pub(crate) struct Api {
    /// Path without query.
    pub(crate) path: &'static str,
    /// Calls a day until the fault panel says otherwise.
    pub(crate) daily_max: u64,
    method: Method,
    who: Who,
    run: Run,
}

/// Where the document names no number.
const PLENTY: u64 = 500_000;

const fn get(path: &'static str, who: Who, daily_max: u64, run: Run) -> Api {
    Api { path, daily_max, method: Method::Get, who, run }
}

const fn post(path: &'static str, who: Who, daily_max: u64, run: Run) -> Api {
    Api { path, daily_max, method: Method::Post, who, run }
}

const APIS: &[Api] = &[
    get("/cgi-bin/getcallbackip", Who::Anyone, 10_000, |_, _, _| addresses()),
    get("/cgi-bin/get_api_domain_ip", Who::Anyone, 10_000, |_, _, _| addresses()),
    get("/cgi-bin/ticket/getticket", Who::Anyone, 10_000, token::ticket),
    post("/cgi-bin/callback/check", Who::Anyone, PLENTY, callback::check),
    post("/cgi-bin/openapi/quota/get", Who::Anyone, 10_000, quota::get),
    post("/cgi-bin/openapi/quota/clear", Who::Anyone, 10_000, quota::clear_one),
    post("/cgi-bin/openapi/rid/get", Who::Anyone, 10_000, diagnose::rid),
    post("/cgi-bin/clear_quota", Who::Anyone, 10_000, quota::clear),
    post("/cgi-bin/menu/create", Who::Anyone, 1_000, menu::create),
    get("/cgi-bin/menu/get", Who::Anyone, 10_000, menu::get),
    get("/cgi-bin/menu/delete", Who::Anyone, 1_000, menu::delete),
    post("/cgi-bin/menu/addconditional", Who::Verified, 2_000, menu::add_conditional),
    post("/cgi-bin/menu/delconditional", Who::Verified, 2_000, menu::delete_conditional),
    post("/cgi-bin/menu/trymatch", Who::Verified, 20_000, menu::try_match),
    get("/cgi-bin/get_current_selfmenu_info", Who::Anyone, 10_000, menu::current),
    post("/cgi-bin/message/custom/send", Who::Verified, 500_000, custom::send),
    post("/cgi-bin/message/custom/typing", Who::Verified, 500_000, custom::typing),
    post("/customservice/kfaccount/add", Who::Verified, PLENTY, agents::add),
    post("/customservice/kfaccount/update", Who::Verified, PLENTY, agents::update),
    Api {
        path: "/customservice/kfaccount/del",
        daily_max: PLENTY,
        method: Method::Both,
        who: Who::Verified,
        run: agents::remove,
    },
    post("/customservice/kfaccount/inviteworker", Who::Verified, PLENTY, agents::invite),
    post("/customservice/kfaccount/uploadheadimg", Who::Verified, PLENTY, agents::picture),
    get("/cgi-bin/customservice/getkflist", Who::Verified, PLENTY, agents::list),
    get("/cgi-bin/customservice/getonlinekflist", Who::Verified, PLENTY, agents::online),
    post("/customservice/kfsession/create", Who::Verified, PLENTY, sessions::create),
    post("/customservice/kfsession/close", Who::Verified, PLENTY, sessions::close),
    get("/customservice/kfsession/getsession", Who::Verified, PLENTY, sessions::of_follower),
    get("/customservice/kfsession/getsessionlist", Who::Verified, PLENTY, sessions::of_agent),
    get("/customservice/kfsession/getwaitcase", Who::Verified, PLENTY, sessions::waiting),
    post("/customservice/msgrecord/getmsglist", Who::Verified, PLENTY, sessions::records),
    post("/cgi-bin/message/template/send", Who::Service, 100_000, template::send),
    post("/cgi-bin/message/template/subscribe", Who::Verified, 100_000, one_time::send),
    post("/cgi-bin/template/api_add_template", Who::Service, 1_000, template::add),
    get("/cgi-bin/template/get_all_private_template", Who::Service, 100_000, template::list),
    post("/cgi-bin/template/del_private_template", Who::Service, 1_000, template::remove),
    post("/cgi-bin/message/subscribe/bizsend", Who::Service, 100_000, subscribe::send),
    post("/wxaapi/newtmpl/addtemplate", Who::Service, 1_000, subscribe::add),
    post("/wxaapi/newtmpl/deltemplate", Who::Service, 1_000, subscribe::remove),
    get("/wxaapi/newtmpl/gettemplate", Who::Service, 10_000, subscribe::list),
    get("/wxaapi/newtmpl/getcategory", Who::Service, 10_000, subscribe::categories),
    get("/wxaapi/newtmpl/getpubtemplatetitles", Who::Service, 10_000, subscribe::titles),
    get("/wxaapi/newtmpl/getpubtemplatekeywords", Who::Service, 10_000, subscribe::keywords),
    post("/cgi-bin/message/mass/sendall", Who::Verified, 100, mass::send_by_tag),
    post("/cgi-bin/message/mass/send", Who::Service, 100, mass::send_by_openid),
    post("/cgi-bin/message/mass/preview", Who::Verified, 100, mass::preview),
    post("/cgi-bin/message/mass/get", Who::Verified, 10_000, mass::status),
    post("/cgi-bin/message/mass/delete", Who::Verified, 10, mass::delete),
    post("/cgi-bin/message/mass/speed/get", Who::Verified, 10_000, mass::speed),
    post("/cgi-bin/message/mass/speed/set", Who::Verified, 10_000, mass::set_speed),
    get("/cgi-bin/user/info", Who::Verified, 5_000_000, people::info),
    post("/cgi-bin/user/info/batchget", Who::Verified, 500_000, people::info_of_many),
    post("/cgi-bin/user/info/updateremark", Who::Verified, 10_000, people::remark),
    get("/cgi-bin/user/get", Who::Verified, 500, people::list),
    post("/cgi-bin/tags/create", Who::Verified, 1_000, tags::create),
    get("/cgi-bin/tags/get", Who::Verified, 1_000, tags::list),
    post("/cgi-bin/tags/update", Who::Verified, 1_000, tags::update),
    post("/cgi-bin/tags/delete", Who::Verified, 1_000, tags::remove),
    post("/cgi-bin/user/tag/get", Who::Verified, 1_000, tags::members),
    post("/cgi-bin/tags/members/batchtagging", Who::Verified, 100_000, tags::tag),
    post("/cgi-bin/tags/members/batchuntagging", Who::Verified, 100_000, tags::untag),
    post("/cgi-bin/tags/getidlist", Who::Verified, 100_000, tags::of_follower),
    post("/cgi-bin/tags/members/getblacklist", Who::Verified, 10_000, tags::blacklist),
    post("/cgi-bin/tags/members/batchblacklist", Who::Verified, 10_000, tags::blacken),
    post("/cgi-bin/tags/members/batchunblacklist", Who::Verified, 10_000, tags::whiten),
    post("/cgi-bin/qrcode/create", Who::Service, 100_000, qrcode::create),
    post("/cgi-bin/shorten/gen", Who::Anyone, PLENTY, shorten::create),
    post("/cgi-bin/shorten/fetch", Who::Anyone, PLENTY, shorten::fetch),
    post("/cgi-bin/media/upload", Who::Anyone, 100_000, media::upload),
    get("/cgi-bin/media/get", Who::Anyone, 200_000, media::get),
    get("/cgi-bin/media/get/jssdk", Who::Anyone, 200_000, media::get_wide),
    post("/cgi-bin/media/uploadimg", Who::Anyone, 10_000, material::upload_picture),
    post("/cgi-bin/material/add_material", Who::Anyone, 10_000, material::add),
    post("/cgi-bin/material/get_material", Who::Anyone, 10_000, material::get),
    post("/cgi-bin/material/del_material", Who::Anyone, 10_000, material::remove),
    get("/cgi-bin/material/get_materialcount", Who::Anyone, 10_000, material::count),
    post("/cgi-bin/material/batchget_material", Who::Anyone, 10_000, material::list),
    post("/cgi-bin/media/voice/addvoicetorecofortext", Who::Verified, 10_000, speech::add),
    post("/cgi-bin/media/voice/queryrecoresultfortext", Who::Verified, 100_000, speech::result),
];

/// Counted, though no access token names the account.
const TOKEN: Api =
    get("/cgi-bin/token", Who::Anyone, 2_000, |_, _, _| Err(Refused::new(40066, "invalid url")));

/// The API with this path.
pub(crate) fn find(path: &str) -> Option<&'static Api> {
    if path == TOKEN.path {
        return Some(&TOKEN);
    }
    APIS.iter().find(|api| api.path == path)
}

/// Whether the body holds a file.
pub(crate) fn takes_file(path: &str) -> bool {
    matches!(
        path,
        "/cgi-bin/media/upload"
            | "/cgi-bin/media/uploadimg"
            | "/cgi-bin/material/add_material"
            | "/cgi-bin/media/voice/addvoicetorecofortext"
            | "/customservice/kfaccount/uploadheadimg"
    )
}

/// Checks method, permission and quota, in this order, then carries the call out.
pub(super) fn carry_out(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let api = find(&call.path).ok_or_else(|| Refused::new(40066, "invalid url"))?;
    match (api.method, call.method.as_str()) {
        (Method::Get, "GET") | (Method::Post, "POST") | (Method::Both, "GET" | "POST") => {}
        (Method::Get, _) => return Err(Refused::new(43001, "require GET method")),
        (Method::Post | Method::Both, _) => return Err(Refused::new(43002, "require POST method")),
    }
    if !is_permitted(platform, account, api.who) {
        return Err(Refused::new(48001, "api unauthorized"));
    }
    quota::count(platform, account, &call.path)?;
    (api.run)(platform, account, call)
}

/// Whether this account has a permission.
pub(crate) fn is_permitted(platform: &Platform, account: usize, who: Who) -> bool {
    let state = platform.state();
    let settings = &state.accounts[account].settings;
    match who {
        Who::Anyone => true,
        Who::Verified => settings.is_verified,
        Who::Service => settings.is_verified && settings.kind == AccountKind::Service,
    }
}

fn addresses() -> Answered {
    Ok(Answer::Json(json!({ "ip_list": ["127.0.0.1"] })))
}
