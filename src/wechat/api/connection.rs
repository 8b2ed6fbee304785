//! Calls that tell whether the account is connected: hosts, clocks, permissions, the way back to us (WeChat docs,
//! 网络通信检测, 获取微信推送服务器IP).

use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::transport::{Call, json_of};
use super::{Api, ApiError, Fault};
use crate::domain::time::UnixMs;

/// The platform's refusal of a call without a token: who says this is the platform.
const TOKEN_MISSING: i64 = 41001;

/// What the platform finds when it tries to reach us.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct CallbackCheck {
    /// One packet to each address that our name resolves to.
    #[serde(default)]
    pub ping: Vec<Ping>,
}

/// One packet of the platform to us.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Ping {
    /// Our address as the platform resolves it.
    #[serde(default)]
    pub ip: String,
    /// `0%` or `100%`: one packet is sent.
    #[serde(default)]
    pub package_loss: String,
}

impl Api {
    /// Asks for nothing, without a token: whether the platform is there, and what its clock says, in whole seconds.
    ///
    /// # Errors
    /// When no host can be reached, or what answers is not the platform.
    pub async fn greet(&self) -> Result<Option<UnixMs>, ApiError> {
        let call = Call::get("cgi-bin/getcallbackip", vec![]);
        let wrong = |fault| ApiError::before_sending(call.path, fault);
        let answer = self.transport.send(&call, None, Instant::now() + self.call_timeout).await;
        let answer = answer.map_err(wrong)?;
        match json_of(&answer) {
            Err(Fault::Refused { code: TOKEN_MISSING, .. }) | Ok(_) => Ok(answer.date),
            Err(fault) => Err(wrong(fault)),
        }
    }

    /// Gets a token, if there is none yet.
    ///
    /// # Errors
    /// As the platform refuses it.
    pub async fn authorise(&self) -> Result<(), ApiError> {
        let deadline = Instant::now() + self.call_timeout;
        self.tokens.get(|until| self.fetch_token(until), deadline).await.map(drop)
    }

    /// Lets the platform try to reach us over the network; says nothing of what we answer.
    ///
    /// # Errors
    /// As any call; 40201 while no server address is set in the console.
    pub async fn callback_check(&self) -> Result<CallbackCheck, ApiError> {
        let body = json!({ "action": "all", "check_operator": "DEFAULT" });
        self.json(&Call::post("cgi-bin/callback/check", &body)).await
    }

    /// From which addresses the platform calls us; they change.
    ///
    /// # Errors
    /// As any call.
    pub async fn callback_ips(&self) -> Result<Vec<String>, ApiError> {
        #[derive(Deserialize)]
        struct Listed {
            ip_list: Vec<String>,
        }
        Ok(self.json::<Listed>(&Call::get("cgi-bin/getcallbackip", vec![])).await?.ip_list)
    }
}
