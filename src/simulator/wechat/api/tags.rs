//! Tags and the blacklist: `/cgi-bin/tags/*`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::platform::{Account, Follower, Platform, State};
use super::{Answer, Answered, Call, Refused, ok};

const TAGS_MAX: usize = 100;
const NAME_CHARS_MAX: usize = 30;
const TAGS_OF_ONE_MAX: usize = 20;
const TAGGED_AT_ONCE_MAX: usize = 50;
const BLACKENED_AT_ONCE_MAX: usize = 20;
const BLACKLIST_PAGE_MAX: usize = 1_000;
const PAGE_MAX: usize = 10_000;
/// Ids below this belong to the platform.
const FIRST_ID: u64 = 100;

/// The tags of one account by id.
#[derive(Default)]
pub(crate) struct Tags {
    names: BTreeMap<u64, String>,
    made: u64,
}

impl Tags {
    /// Whether this id, as text, is a tag.
    pub(super) fn has_text(&self, id: &str) -> bool {
        id.parse().is_ok_and(|id| self.names.contains_key(&id))
    }

    /// Whether this id is a tag.
    pub(super) fn has(&self, id: u64) -> bool {
        self.names.contains_key(&id)
    }

    fn check_name(&self, name: &str) -> Result<(), Refused> {
        if !(1..=NAME_CHARS_MAX).contains(&name.chars().count()) {
            return Err(Refused::new(45158, "tag name too long"));
        }
        if self.names.values().any(|known| known == name) {
            return Err(Refused::new(45157, "invalid tag name"));
        }
        Ok(())
    }

    fn require(&self, id: u64) -> Result<(), Refused> {
        match id {
            0..FIRST_ID => Err(Refused::new(45058, "can't modify sys tag")),
            _ if self.has(id) => Ok(()),
            _ => Err(Refused::new(45159, "invalid tag id")),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfTag<T> {
    tag: T,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Renamed {
    id: u64,
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Identified {
    id: u64,
}

/// `POST /cgi-bin/tags/create`
pub(crate) fn create(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let OfTag { tag: Named { name } } = call.json()?;
    let mut state = platform.state();
    let tags = &mut state.accounts[account].tags;
    tags.check_name(&name)?;
    if tags.names.len() >= TAGS_MAX {
        return Err(Refused::new(45056, "too many tag now, no need to add new"));
    }
    let id = FIRST_ID + tags.made;
    tags.made += 1;
    tags.names.insert(id, name.clone());
    Ok(Answer::Json(json!({ "tag": { "id": id, "name": name } })))
}

/// `GET /cgi-bin/tags/get`
pub(crate) fn list(platform: &Arc<Platform>, account: usize, _: &Call) -> Answered {
    let state = platform.state();
    let account = &state.accounts[account];
    let count =
        |id: &u64| account.followers.values().filter(|one| one.following && one.tags.contains(id)).count();
    let tags: Vec<Value> = account
        .tags
        .names
        .iter()
        .map(|(id, name)| json!({ "id": id, "name": name, "count": count(id) }))
        .collect();
    Ok(Answer::Json(json!({ "tags": tags })))
}

/// `POST /cgi-bin/tags/update`
pub(crate) fn update(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let OfTag { tag: Renamed { id, name } } = call.json()?;
    let mut state = platform.state();
    let tags = &mut state.accounts[account].tags;
    tags.require(id)?;
    tags.check_name(&name)?;
    tags.names.insert(id, name);
    ok()
}

/// `POST /cgi-bin/tags/delete`
pub(crate) fn remove(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let OfTag { tag: Identified { id } } = call.json()?;
    let mut state = platform.state();
    state.accounts[account].tags.require(id)?;
    state.accounts[account].tags.names.remove(&id);
    for follower in state.accounts[account].followers.values_mut() {
        follower.tags.retain(|tag| *tag != id);
    }
    state.touch_all(account);
    ok()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MembersRequest {
    tagid: u64,
    #[serde(default)]
    next_openid: String,
}

/// `POST /cgi-bin/user/tag/get`
pub(crate) fn members(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let MembersRequest { tagid, next_openid } = call.json()?;
    let state = platform.state();
    let account = &state.accounts[account];
    account.tags.require(tagid)?;
    page(account, &next_openid, PAGE_MAX, |one| one.following && one.tags.contains(&tagid))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TaggingRequest {
    openid_list: Vec<String>,
    tagid: u64,
}

/// `POST /cgi-bin/tags/members/batchtagging`
pub(crate) fn tag(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let TaggingRequest { openid_list, tagid } = call.json()?;
    let mut state = platform.state();
    state.accounts[account].tags.require(tagid)?;
    check_list(&mut state, account, &openid_list, TAGGED_AT_ONCE_MAX)?;
    let full =
        |follower: &Follower| !follower.tags.contains(&tagid) && follower.tags.len() >= TAGS_OF_ONE_MAX;
    if openid_list.iter().any(|openid| state.accounts[account].followers.get(openid).is_some_and(full)) {
        return Err(Refused::new(45059, "exceed the limit of tags of one fan"));
    }
    for_each(&mut state, account, &openid_list, |follower| {
        follower.tags.retain(|tag| *tag != tagid);
        follower.tags.push(tagid);
    });
    ok()
}

/// `POST /cgi-bin/tags/members/batchuntagging`
pub(crate) fn untag(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let TaggingRequest { openid_list, tagid } = call.json()?;
    let mut state = platform.state();
    state.accounts[account].tags.require(tagid)?;
    check_list(&mut state, account, &openid_list, TAGGED_AT_ONCE_MAX)?;
    for_each(&mut state, account, &openid_list, |follower| follower.tags.retain(|tag| *tag != tagid));
    ok()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfFollower {
    openid: String,
}

/// `POST /cgi-bin/tags/getidlist`
pub(crate) fn of_follower(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let OfFollower { openid } = call.json()?;
    let mut state = platform.state();
    let follower = state.follower(account, &openid).filter(|follower| follower.following);
    let follower = follower.ok_or_else(|| Refused::new(49003, "openid does not belong to this appid"))?;
    Ok(Answer::Json(json!({ "tagid_list": follower.tags })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BlacklistRequest {
    begin_openid: String,
}

/// `POST /cgi-bin/tags/members/getblacklist`
pub(crate) fn blacklist(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let BlacklistRequest { begin_openid } = call.json()?;
    let state = platform.state();
    page(&state.accounts[account], &begin_openid, BLACKLIST_PAGE_MAX, |one| one.is_blacklisted)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BlackenRequest {
    openid_list: Vec<String>,
}

/// `POST /cgi-bin/tags/members/batchblacklist`
pub(crate) fn blacken(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    set_blacklisted(platform, account, call, true)
}

/// `POST /cgi-bin/tags/members/batchunblacklist`
pub(crate) fn whiten(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    set_blacklisted(platform, account, call, false)
}

fn set_blacklisted(platform: &Arc<Platform>, account: usize, call: &Call, is_blacklisted: bool) -> Answered {
    let BlackenRequest { openid_list } = call.json()?;
    let mut state = platform.state();
    check_list(&mut state, account, &openid_list, BLACKENED_AT_ONCE_MAX)?;
    for_each(&mut state, account, &openid_list, |follower| follower.is_blacklisted = is_blacklisted);
    ok()
}

fn check_list(
    state: &mut State,
    account: usize,
    openids: &[String],
    openids_max: usize,
) -> Result<(), Refused> {
    if !(1..=openids_max).contains(&openids.len()) {
        return Err(Refused::new(40032, "invalid openid list size"));
    }
    for openid in openids {
        if state.follower(account, openid).is_none() {
            return Err(Refused::openid());
        }
    }
    Ok(())
}

fn for_each(state: &mut State, account: usize, openids: &[String], change: impl Fn(&mut Follower)) {
    for openid in openids {
        if let Some(follower) = state.follower(account, openid) {
            change(follower);
        }
        state.touch(account, openid);
    }
}

/// Openids after one, in order of creation.
fn page(account: &Account, after: &str, page_max: usize, wanted: impl Fn(&Follower) -> bool) -> Answered {
    let is_wanted = |openid: &&String| account.followers.get(*openid).is_some_and(&wanted);
    let mut openids = account.order.iter();
    if !after.is_empty() {
        openids.find(|openid| *openid == after).ok_or_else(Refused::openid)?;
    }
    let page: Vec<&String> = openids.filter(is_wanted).take(page_max).collect();
    let total = account.followers.values().filter(|follower| wanted(follower)).count();
    let mut body = json!({ "total": total, "count": page.len(), "next_openid": "" });
    if let Some(last) = page.last() {
        body["next_openid"] = json!(last);
        body["data"] = json!({ "openid": page });
    }
    Ok(Answer::Json(body))
}
