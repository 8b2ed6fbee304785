//! `POST /cgi-bin/callback/check`: whether the platform reaches the account's server over the network.

use std::net::{IpAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::super::platform::Platform;
use super::{Answer, Answered, Call, Refused};

const ACTIONS: [&str; 3] = ["dns", "ping", "all"];
const OPERATORS: [&str; 4] = ["CHINANET", "UNICOM", "CAP", "DEFAULT"];
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckRequest {
    #[serde(default)]
    action: String,
    #[serde(default)]
    check_operator: String,
}

pub(crate) fn check(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let request: CheckRequest = call.json()?;
    if !ACTIONS.contains(&request.action.as_str()) {
        return Err(Refused::new(40202, "invalid action"));
    }
    if !OPERATORS.contains(&request.check_operator.as_str()) {
        return Err(Refused::new(40203, "invalid check_operator"));
    }
    let url = platform.state().accounts[account].settings.push_url.clone();
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or(80);
    let found: Vec<_> = (host, port).to_socket_addrs().into_iter().flatten().collect();
    let operator = |ip: IpAddr| if ip.is_loopback() { "LOOPBACK" } else { "DEFAULT" };
    let dns: Vec<_> = found
        .iter()
        .map(|at| json!({ "ip": at.ip().to_string(), "real_operator": operator(at.ip()) }))
        .collect();
    // The platform pings; a program without the right to do so connects.
    let ping = |at: &std::net::SocketAddr| {
        let reached = TcpStream::connect_timeout(at, CONNECT_TIMEOUT).is_ok();
        let loss = if reached { "0%" } else { "100%" };
        json!({ "ip": at.ip().to_string(), "from_operator": "DEFAULT", "package_loss": loss, "time": "1.000ms" })
    };
    let pings: Vec<_> = found.iter().map(ping).collect();
    let (dns, pings) = match request.action.as_str() {
        "dns" => (dns, vec![]),
        "ping" => (vec![], pings),
        _ => (dns, pings),
    };
    Ok(Answer::Json(json!({ "dns": dns, "ping": pings })))
}
