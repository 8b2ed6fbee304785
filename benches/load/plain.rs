//! Text messages in plain mode, one request each.

use anyhow::ensure;

use crate::outside;

/// Pushes what a follower wrote, and gives the answer.
pub(crate) async fn push(
    client: &reqwest::Client,
    base: &str,
    openid: &str,
    message_id: i64,
    text: &str,
) -> anyhow::Result<String> {
    let own = format!("<Content><![CDATA[{text}]]></Content><MsgId>{message_id}</MsgId>");
    let response = outside::push(client, base, openid, &message_id.to_string(), "text", &own).await?;
    let status = response.status();
    ensure!(status.is_success(), "a push was answered {status}");
    Ok(response.text().await?)
}
