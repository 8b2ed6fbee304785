//! Calls about the account itself, its followers and its codes.

use serde::Deserialize;
use serde_json::{Value, json};

use super::transport::Call;
use super::{Api, ApiError};
use crate::domain::ids::Openid;
use crate::domain::secret::Personal;
use crate::domain::time::UnixMs;
use crate::wechat::errcode::Class;
use crate::wechat::menu::{Menu, conditional_ids, outline};

/// One template of the account.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PrivateTemplate {
    /// What sends name.
    pub template_id: String,
    /// Its heading.
    #[serde(default)]
    pub title: String,
    /// Its text, with `{{keyword.DATA}}` where values go.
    #[serde(default)]
    pub content: String,
    /// A filled-in sample.
    #[serde(default)]
    pub example: String,
}

impl PrivateTemplate {
    /// The keywords that a send must fill, in order.
    #[must_use]
    pub fn keywords(&self) -> Vec<&str> {
        let after_braces = self.content.split("{{").skip(1);
        after_braces
            .filter_map(|rest| rest.split_once(".DATA}}"))
            .map(|(keyword, _)| keyword.trim())
            .collect()
    }
}

/// What the platform says of a follower. It gives neither name nor picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserInfo {
    /// Whether he follows; if not, all else is empty.
    pub is_following: bool,
    /// Since when.
    pub followed_at: Option<UnixMs>,
    /// Who he is across the bank's accounts, where these are linked.
    pub union_id: Option<Personal>,
    /// What led him here (`ADD_SCENE_…`).
    pub scene: String,
    /// The scene of the code that he scanned.
    pub qr_scene: Option<String>,
}

/// The scene that a code carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QrScene {
    scene: String,
    /// `None`: for ever, of which an account has 100,000.
    expire_seconds: Option<u32>,
}

impl QrScene {
    /// Longest life of a code that ends: 30 days.
    pub const EXPIRE_SECONDS_MAX: u32 = 2_592_000;
    /// Longest scene, in characters.
    pub const SCENE_CHARS_MAX: usize = 64;

    /// A code that ends. `None` when the scene is empty or too long, or the life is zero or over 30 days.
    #[must_use]
    pub fn temporary(scene: &str, expire_seconds: u32) -> Option<Self> {
        let fits = (1..=Self::EXPIRE_SECONDS_MAX).contains(&expire_seconds) && fits_scene(scene);
        fits.then(|| Self { scene: scene.to_owned(), expire_seconds: Some(expire_seconds) })
    }

    /// A code that stays. `None` when the scene is empty or too long.
    #[must_use]
    pub fn permanent(scene: &str) -> Option<Self> {
        fits_scene(scene).then(|| Self { scene: scene.to_owned(), expire_seconds: None })
    }
}

fn fits_scene(scene: &str) -> bool {
    (1..=QrScene::SCENE_CHARS_MAX).contains(&scene.chars().count())
}

/// A code that followers can scan.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct QrCode {
    /// For the picture at `mp.weixin.qq.com/cgi-bin/showqrcode?ticket=…`.
    pub ticket: String,
    /// What to draw as a code oneself.
    #[serde(default)]
    pub url: String,
    /// How long it lives; `None`: for ever.
    pub expire_seconds: Option<u32>,
}

/// What is left of a call's daily quota, and how fast it may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Calls a day.
    pub daily_limit: i64,
    /// Used today.
    pub used: i64,
    /// Left today.
    pub remain: i64,
    /// How fast; `None`: the platform names no bound.
    pub rate: Option<RateLimit>,
}

/// So many calls in so many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct RateLimit {
    /// Calls.
    pub call_count: u32,
    /// Seconds after which they are granted anew.
    pub refresh_second: u32,
}

impl Quota {
    /// Calls a second, at least one; `None`: the platform names no bound.
    #[must_use]
    pub fn calls_per_second(&self) -> Option<u32> {
        let rate = self.rate.filter(|rate| rate.call_count > 0 && rate.refresh_second > 0)?;
        Some((rate.call_count / rate.refresh_second).max(1))
    }
}

impl Api {
    /// Replaces the account's default menu.
    ///
    /// # Errors
    /// Malformed when the platform does not like it.
    pub async fn menu_create(&self, menu: &Menu) -> Result<(), ApiError> {
        self.ok(&Call::post("cgi-bin/menu/create", &menu.to_json())).await
    }

    /// Makes the platform's menus, personalised ones included, those of `menu`. Personalised ones cannot be changed:
    /// where they differ they are taken away and made anew, the one that counts first last.
    ///
    /// # Errors
    /// Malformed when the platform does not like one.
    pub async fn menu_push(&self, menu: &Menu) -> Result<(), ApiError> {
        let before = self.menus().await?.unwrap_or_default();
        self.menu_create(menu).await?;
        let personalised = |answer: &Value| outline(&json!({ "conditionalmenu": answer["conditionalmenu"] }));
        if personalised(&before) == personalised(&menu.as_answered()) {
            return Ok(());
        }
        for id in conditional_ids(&before) {
            self.ok(&Call::post("cgi-bin/menu/delconditional", &json!({ "menuid": id }))).await?;
        }
        for menu in menu.conditional().iter().rev() {
            self.ok(&Call::post("cgi-bin/menu/addconditional", &menu.to_json())).await?;
        }
        Ok(())
    }

    /// The default menu and the personalised ones (`{"menu": …, "conditionalmenu": […]}`); `None` without any. Menus
    /// that were made in the account's console are not among them.
    ///
    /// # Errors
    /// As any call.
    pub async fn menus(&self) -> Result<Option<Value>, ApiError> {
        match self.json::<Value>(&Call::get("cgi-bin/menu/get", vec![])).await {
            Err(error) if error.class() == Class::Absent => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// Takes the menu away, and every conditional menu with it.
    ///
    /// # Errors
    /// As any call.
    pub async fn menu_delete(&self) -> Result<(), ApiError> {
        self.ok(&Call::get("cgi-bin/menu/delete", vec![])).await
    }

    /// The account's templates.
    ///
    /// # Errors
    /// As any call.
    pub async fn templates(&self) -> Result<Vec<PrivateTemplate>, ApiError> {
        #[derive(Deserialize)]
        struct Listed {
            template_list: Vec<PrivateTemplate>,
        }
        let call = Call::get("cgi-bin/template/get_all_private_template", vec![]);
        Ok(self.json::<Listed>(&call).await?.template_list)
    }

    /// What the platform says of a follower.
    ///
    /// # Errors
    /// As any call.
    pub async fn user_info(&self, follower: &Openid) -> Result<UserInfo, ApiError> {
        #[derive(Deserialize)]
        struct Told {
            subscribe: i64,
            subscribe_time: Option<i64>,
            unionid: Option<String>,
            #[serde(default)]
            subscribe_scene: String,
            qr_scene_str: Option<String>,
        }
        let call = Call::get("cgi-bin/user/info", vec![("openid", follower.reveal()), ("lang", "zh_CN")]);
        let told: Told = self.json(&call).await?;
        Ok(UserInfo {
            is_following: told.subscribe != 0,
            followed_at: told.subscribe_time.map(UnixMs::from_seconds),
            union_id: told.unionid.filter(|id| !id.is_empty()).map(Personal::new),
            scene: told.subscribe_scene,
            qr_scene: told.qr_scene_str.filter(|scene| !scene.is_empty()),
        })
    }

    /// Makes a code; scanning it arrives as a follow or scan event with its scene.
    ///
    /// # Errors
    /// As any call.
    pub async fn qr_code_create(&self, scene: &QrScene) -> Result<QrCode, ApiError> {
        let mut body = json!({
            "action_name": "QR_LIMIT_STR_SCENE",
            "action_info": { "scene": { "scene_str": scene.scene } },
        });
        if let Some(seconds) = scene.expire_seconds {
            body["action_name"] = Value::from("QR_STR_SCENE");
            body["expire_seconds"] = Value::from(seconds);
        }
        self.json(&Call::post("cgi-bin/qrcode/create", &body)).await
    }

    /// The addresses of the platform's API, for rules about outgoing calls; an entry may be a range.
    ///
    /// # Errors
    /// As any call.
    pub async fn api_domain_ips(&self) -> Result<Vec<String>, ApiError> {
        #[derive(Deserialize)]
        struct Listed {
            ip_list: Vec<String>,
        }
        Ok(self.json::<Listed>(&Call::get("cgi-bin/get_api_domain_ip", vec![])).await?.ip_list)
    }

    /// What is left today of the call `path` (`/cgi-bin/message/custom/send`), and how fast it may be made.
    ///
    /// # Errors
    /// As any call.
    pub async fn quota(&self, path: &str) -> Result<Quota, ApiError> {
        #[derive(Deserialize)]
        struct Told {
            quota: Day,
            rate_limit: Option<RateLimit>,
        }
        #[derive(Deserialize)]
        struct Day {
            daily_limit: i64,
            used: i64,
            remain: i64,
        }
        let call = Call::post("cgi-bin/openapi/quota/get", &json!({ "cgi_path": path }));
        let Told { quota: Day { daily_limit, used, remain }, rate_limit } = self.json(&call).await?;
        Ok(Quota { daily_limit, used, remain, rate: rate_limit })
    }
}
