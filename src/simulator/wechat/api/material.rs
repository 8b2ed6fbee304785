//! Permanent media: `/cgi-bin/material/*`.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::platform::Platform;
use super::media::{self, File};
use super::{Answer, Answered, Call, Refused, ok};

const PICTURES_MAX: usize = 100_000;
const OTHERS_MAX: usize = 1_000;
const PAGE_MAX: usize = 20;
const ARTICLE_PICTURE_BYTES_MAX: usize = 1024 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VideoAbout {
    title: String,
    introduction: String,
}

/// `POST /cgi-bin/material/add_material?type=`
pub(crate) fn add(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let kind = call.query("type");
    let mut incoming = media::uploaded(call, kind, true)?;
    if kind == "video" {
        let about = media::part(call, "description").map(|part| part.bytes).unwrap_or_default();
        let about: VideoAbout = serde_json::from_slice(&about).map_err(|error| {
            Refused::new(47001, format!("data format error hint: [description: {error}]"))
        })?;
        incoming.about = Some((about.title, about.introduction));
    }
    let mut state = platform.state();
    let library = &mut state.accounts[account].media;
    let files_max = if kind == "image" { PICTURES_MAX } else { OTHERS_MAX };
    if library.permanent(kind).len() >= files_max {
        return Err(Refused::new(45026, "material count reach the limit"));
    }
    let id = library.keep(platform, incoming);
    let mut body = json!({ "media_id": id });
    if matches!(kind, "image" | "thumb") {
        body["url"] = json!(format!("{}sim/media/{id}", platform.own_url()));
    }
    Ok(Answer::Json(body))
}

/// `POST /cgi-bin/media/uploadimg`: a picture for articles, which has an address but no id.
pub(crate) fn upload_picture(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let incoming = media::uploaded(call, "image", false)?;
    let is_allowed = matches!(*incoming.bytes, [0x89, ..] | [0xff, ..]);
    if !is_allowed {
        return Err(Refused::new(40005, "invalid file type"));
    }
    if incoming.bytes.len() >= ARTICLE_PICTURE_BYTES_MAX {
        return Err(Refused::new(40009, "invalid image size"));
    }
    let incoming = media::Incoming { is_permanent: true, kind: "article", ..incoming };
    let id = platform.state().accounts[account].media.keep(platform, incoming);
    Ok(Answer::Json(json!({ "url": format!("{}sim/media/{id}", platform.own_url()) })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfMedia {
    media_id: String,
}

/// `POST /cgi-bin/material/get_material`
pub(crate) fn get(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let OfMedia { media_id } = call.json()?;
    let state = platform.state();
    let file = state.accounts[account].media.get(&media_id, platform.now());
    let file = file.filter(|file| file.until.is_none()).ok_or_else(Refused::media)?;
    Ok(match &file.about {
        Some((title, introduction)) => Answer::Json(json!({
            "title": title,
            "description": introduction,
            "down_url": format!("{}sim/media/{media_id}", platform.own_url()),
        })),
        None => media::as_file(&media_id, file),
    })
}

/// `POST /cgi-bin/material/del_material`
pub(crate) fn remove(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let OfMedia { media_id } = call.json()?;
    let now = platform.now();
    let mut state = platform.state();
    let library = &mut state.accounts[account].media;
    let permanent = library.get(&media_id, now).is_some_and(|file| file.until.is_none());
    if permanent && library.remove(&media_id) { ok() } else { Err(Refused::media()) }
}

/// `GET /cgi-bin/material/get_materialcount`
pub(crate) fn count(platform: &Arc<Platform>, account: usize, _: &Call) -> Answered {
    let state = platform.state();
    let count = |kind| state.accounts[account].media.permanent(kind).len();
    Ok(Answer::Json(json!({
        "voice_count": count("voice"),
        "video_count": count("video"),
        "image_count": count("image"),
        "news_count": 0,
    })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    #[serde(rename = "type")]
    kind: String,
    offset: usize,
    count: usize,
}

/// `POST /cgi-bin/material/batchget_material`
pub(crate) fn list(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let page: Page = call.json()?;
    if !matches!(page.kind.as_str(), "image" | "video" | "voice" | "news") {
        return Err(Refused::new(40004, "invalid media type"));
    }
    if !(1..=PAGE_MAX).contains(&page.count) {
        return Err(Refused::new(40035, "invalid parameter: count"));
    }
    let state = platform.state();
    let all = state.accounts[account].media.permanent(&page.kind);
    let item = |(id, file): &(&String, &File)| {
        json!({
            "media_id": id,
            "name": file.name,
            "update_time": file.created_at.seconds(),
            "url": format!("{}sim/media/{id}", platform.own_url()),
        })
    };
    let items: Vec<Value> = all.iter().skip(page.offset).take(page.count).map(item).collect();
    Ok(Answer::Json(json!({ "total_count": all.len(), "item_count": items.len(), "item": items })))
}
