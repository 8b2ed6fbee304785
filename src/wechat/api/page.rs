//! What a page inside WeChat needs to use WeChat's JS-SDK.

use std::time::Duration;

use serde::Deserialize;

use super::transport::Call;
use super::{Api, ApiError};
use crate::domain::secret::Secret;
use crate::domain::time::UnixMs;
use crate::wechat::signature::Signature;

/// The host whose SDK is WeChat's own.
const WECHAT_HOST: &str = "open.weixin.qq.com";
const WECHAT_SDK: &str = "https://res.wx.qq.com/open/js/jweixin-1.6.0.js";
/// Where another host, such as the simulator, has its own.
const SDK_PATH: &str = "open/js/jweixin-1.6.0.js";
/// A ticket is renewed this long before it ends.
const RENEW_EARLY: Duration = Duration::from_secs(300);

/// What a page loads, and what it calls `wx.config` with (WeChat docs, JS-SDK说明文档).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageConfig {
    /// The SDK's address.
    pub sdk: String,
    /// Whose page it is.
    pub app_id: String,
    /// Seconds since 1970.
    pub timestamp_s: i64,
    /// The text that makes each signature another one.
    pub nonce: String,
    /// Over all of it, and the page's address.
    pub signature: String,
}

/// Which signs pages (`jsapi_ticket`). WeChat gives the same one to everybody who asks while it lasts.
pub(super) struct Ticket {
    text: Secret,
    expires: UnixMs,
}

impl Api {
    /// Signs a page. `page_url` is its address as the browser shows it, with its query and without `#…`.
    ///
    /// # Errors
    /// When there is no ticket at hand and WeChat gives none.
    pub async fn page_config(&self, page_url: &str, nonce: String) -> Result<PageConfig, ApiError> {
        let ticket = self.ticket().await?;
        let timestamp_s = self.clock.now().0 / 1000;
        let signature = Signature::of_page(ticket.reveal(), &nonce, &timestamp_s.to_string(), page_url)
            .as_str()
            .to_owned();
        let sdk = match self.oauth_base.host_str() {
            Some(WECHAT_HOST) => WECHAT_SDK.to_owned(),
            _ => format!("{}/{SDK_PATH}", self.oauth_base.as_str().trim_end_matches('/')),
        };
        Ok(PageConfig { sdk, app_id: self.app_id.clone(), timestamp_s, nonce, signature })
    }

    /// The ticket in use; one caller fetches it and the others wait for him.
    async fn ticket(&self) -> Result<Secret, ApiError> {
        #[derive(Deserialize)]
        struct Issued {
            ticket: Secret,
            expires_in: i64,
        }
        let mut held = self.ticket.lock().await;
        let now = self.clock.now();
        if let Some(ticket) = held.as_ref().filter(|ticket| now < ticket.expires - RENEW_EARLY) {
            return Ok(ticket.text.clone());
        }
        let issued: Issued =
            self.json(&Call::get("cgi-bin/ticket/getticket", vec![("type", "jsapi")])).await?;
        let expires = UnixMs(now.0.saturating_add(issued.expires_in.saturating_mul(1000)));
        *held = Some(Ticket { text: issued.ticket.clone(), expires });
        Ok(issued.ticket)
    }
}
