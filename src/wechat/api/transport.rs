//! HTTP to the platform: bounded in time and size, one host after the other, nothing of a query in any log.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::multipart::{Form, Part};
use reqwest::{Client, Method, Proxy, RequestBuilder, Response, redirect, retry};
use serde_json::Value;
use thiserror::Error;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::error::Fault;
use crate::clock::SharedClock;
use crate::domain::secret::Secret;
#[cfg(test)]
use crate::domain::testing;
use crate::domain::time::UnixMs;

/// A call is given up after this, waiting for its token included.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const READ_TIMEOUT: Duration = Duration::from_secs(9);
/// Shorter than the platform keeps a silent connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// A host that could not be reached, or failed again and again, is asked last for this long; then in its place again.
const COOL_DOWN: Duration = Duration::from_secs(30);
/// Calls that a host may leave unanswered in a row. A host that cannot even be reached has no such credit.
const FAILURES_MAX: u32 = 5;

/// Largest answer in JSON.
pub(super) const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Largest answer with a picture, voice or film.
pub(super) const MEDIA_BYTES_MAX: usize = 12 * 1024 * 1024;
const MESSAGE_CHARS_MAX: usize = 200;

/// The HTTP client cannot be set up, for instance because the machine has no CA certificates.
#[derive(Debug, Error)]
#[error("the HTTP client for WeChat cannot be set up; are CA certificates installed?")]
pub struct NotAClient(#[from] reqwest::Error);

/// One call.
pub(super) struct Call<'a> {
    /// The path below the host, without slash at its front.
    pub(super) path: &'static str,
    pub(super) query: Vec<(&'a str, &'a str)>,
    pub(super) body: Body,
    pub(super) answer_bytes_max: usize,
}

/// What a call carries.
pub(super) enum Body {
    /// Nothing: a GET.
    None,
    /// JSON: a POST.
    Json(Bytes),
    /// A file in the form field `media`: a POST.
    File { name: String, content_type: &'static str, bytes: Bytes },
}

/// What came back.
pub(super) struct Answer {
    pub(super) content_type: String,
    /// The host's clock, in whole seconds.
    pub(super) date: Option<UnixMs>,
    pub(super) bytes: Bytes,
}

pub(super) struct Transport {
    client: Client,
    hosts: Vec<Host>,
    by_proxy: bool,
    clock: SharedClock,
    #[cfg(test)]
    door: Option<std::sync::Arc<dyn testing::Door>>,
}

struct Host {
    base: Url,
    cool_until_ms: AtomicI64,
    failures_in_row: AtomicU32,
}

impl Host {
    /// It answered, whatever it said.
    fn answered(&self) {
        if self.failures_in_row.swap(0, Ordering::Relaxed) >= FAILURES_MAX {
            tracing::info!(host = self.name(), "this WeChat host answers again");
        }
        self.cool_until_ms.store(0, Ordering::Relaxed);
    }

    /// It could not be reached (`failures` counts as all at once), or gave no answer of the platform.
    fn failed(&self, failures: u32, now: UnixMs) -> bool {
        let added = |before: u32| Some(before.saturating_add(failures));
        let before = self.failures_in_row.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added);
        let opens = before.unwrap_or_default().saturating_add(failures) >= FAILURES_MAX;
        if opens {
            self.cool_until_ms.store((now + COOL_DOWN).0, Ordering::Relaxed);
        }
        opens
    }

    fn is_failing(&self) -> bool {
        self.failures_in_row.load(Ordering::Relaxed) >= FAILURES_MAX
    }

    fn name(&self) -> &str {
        self.base.host_str().unwrap_or_default()
    }
}

impl<'a> Call<'a> {
    pub(super) fn get(path: &'static str, query: Vec<(&'a str, &'a str)>) -> Self {
        Self { path, query, body: Body::None, answer_bytes_max: ANSWER_BYTES_MAX }
    }

    pub(super) fn post(path: &'static str, json: &Value) -> Self {
        let body = Body::Json(Bytes::from(json.to_string()));
        Self { path, query: vec![], body, answer_bytes_max: ANSWER_BYTES_MAX }
    }

    fn method(&self) -> Method {
        if matches!(self.body, Body::None) { Method::GET } else { Method::POST }
    }
}

impl Transport {
    /// Calls these hosts, through the proxy if there is one. Environment variables for proxies do not count.
    pub(super) fn new(bases: &[Url], proxy: Option<&Secret>, clock: SharedClock) -> Result<Self, NotAClient> {
        let mut client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .timeout(CALL_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy();
        if let Some(proxy) = proxy {
            client = client.proxy(Proxy::all(proxy.reveal())?);
        }
        let client = client.build()?;
        let host = |base: &Url| Host {
            base: base.clone(),
            cool_until_ms: AtomicI64::new(0),
            failures_in_row: AtomicU32::new(0),
        };
        Ok(Self {
            client,
            hosts: bases.iter().map(host).collect(),
            by_proxy: proxy.is_some(),
            clock,
            #[cfg(test)]
            door: testing::door(),
        })
    }

    /// Sends the call to the first host that can be reached.
    pub(super) async fn send(
        &self,
        call: &Call<'_>,
        access_token: Option<&str>,
        deadline: Instant,
    ) -> Result<Answer, Fault> {
        for (tried, host) in self.in_order().into_iter().enumerate() {
            // A connection that is still being made when time runs out could not be told from a sent request.
            if tried > 0 && deadline < Instant::now() + CONNECT_TIMEOUT {
                break;
            }
            let request = self.request(host, call, access_token)?;
            let outcome = timeout_at(deadline, self.exchange(request, call.answer_bytes_max)).await;
            match outcome.unwrap_or(Err(Lost::Fault(Fault::TimedOut))) {
                Err(Lost::NotConnected) => {
                    host.failed(FAILURES_MAX, self.clock.now());
                    tracing::warn!(
                        host = host.name(),
                        call = call.path,
                        by_proxy = self.by_proxy,
                        "this WeChat host cannot be reached; the next is asked, and this one again in 30 s. If it stays so, \
                         see the outgoing firewall or proxy"
                    );
                }
                // The next host is not asked: this one may have done it.
                Err(Lost::Fault(fault)) => {
                    if host.failed(1, self.clock.now()) {
                        tracing::warn!(
                            host = host.name(),
                            call = call.path,
                            "this WeChat host leaves call after call without an answer; others are asked first for 30 s"
                        );
                    }
                    return Err(fault);
                }
                Ok(answer) => {
                    host.answered();
                    return Ok(answer);
                }
            }
        }
        Err(Fault::NotConnected)
    }

    async fn exchange(&self, request: RequestBuilder, answer_bytes_max: usize) -> Result<Answer, Lost> {
        #[cfg(test)]
        if let Some(door) = &self.door {
            return through(door.as_ref(), request).await;
        }
        exchange(request, answer_bytes_max).await
    }

    /// Whether every host has failed again and again, and none has answered since.
    pub(super) fn is_cut_off(&self) -> bool {
        self.hosts.iter().all(Host::is_failing)
    }

    /// The hosts in the configured order, those that were not reachable a moment ago at the end.
    fn in_order(&self) -> Vec<&Host> {
        let now_ms = self.clock.now().0;
        let mut hosts: Vec<_> = self.hosts.iter().collect();
        hosts.sort_by_key(|host| host.cool_until_ms.load(Ordering::Relaxed) > now_ms);
        hosts
    }

    /// The hosts as they would be tried now.
    #[cfg(test)]
    pub(super) fn hosts_in_order(&self) -> Vec<&Url> {
        self.in_order().into_iter().map(|host| &host.base).collect()
    }

    fn request(
        &self,
        host: &Host,
        call: &Call<'_>,
        access_token: Option<&str>,
    ) -> Result<RequestBuilder, Fault> {
        let mut url = host.base.clone();
        url.set_path(&format!("{}/{}", host.base.path().trim_end_matches('/'), call.path));
        if access_token.is_some() || !call.query.is_empty() {
            let token = access_token.map(|token| ("access_token", token));
            url.query_pairs_mut().extend_pairs(token.into_iter().chain(call.query.iter().copied()));
        }
        let request = self.client.request(call.method(), url);
        Ok(match &call.body {
            Body::None => request,
            Body::Json(json) => {
                request.header("content-type", "application/json; charset=utf-8").body(json.clone())
            }
            Body::File { name, content_type, bytes } => {
                // With its length: the platform refuses chunked uploads.
                let length = bytes.len() as u64;
                let part = Part::stream_with_length(bytes.clone(), length).file_name(name.clone());
                let part = part.mime_str(content_type).map_err(|_| Fault::Broken("not a media type"))?;
                request.multipart(Form::new().part("media", part))
            }
        })
    }
}

enum Lost {
    NotConnected,
    Fault(Fault),
}

#[cfg(test)]
async fn through(door: &dyn testing::Door, request: RequestBuilder) -> Result<Answer, Lost> {
    let request = request.build().map_err(|_| Lost::NotConnected)?;
    let body = request.body().and_then(|body| body.as_bytes()).unwrap_or_default().to_vec();
    match door.carry(testing::Leaving { path: request.url().path().to_owned(), body }).await {
        Ok((_, bytes)) => Ok(Answer { content_type: String::new(), date: None, bytes: Bytes::from(bytes) }),
        Err(testing::NoAnswer::NotConnected) => Err(Lost::NotConnected),
        Err(testing::NoAnswer::Broken) => Err(Lost::Fault(Fault::Broken("the connection broke"))),
    }
}

async fn exchange(request: RequestBuilder, answer_bytes_max: usize) -> Result<Answer, Lost> {
    // The error's own text would carry the URL and with it the token; only its kind is kept.
    let lost = |error: reqwest::Error| {
        if error.is_connect() {
            Lost::NotConnected
        } else if error.is_timeout() {
            Lost::Fault(Fault::TimedOut)
        } else {
            Lost::Fault(Fault::Broken("the connection broke"))
        }
    };
    let mut response = request.send().await.map_err(lost)?;
    let content_type = content_type(&response);
    let date = date(&response);
    let is_success = response.status().is_success();
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(lost)? {
        if bytes.len() + chunk.len() > answer_bytes_max {
            return Err(Lost::Fault(Fault::Broken("the answer is too large")));
        }
        bytes.extend_from_slice(&chunk);
    }
    // Refusals come with status 200; another status is a gateway's, unless it carries a refusal all the same.
    if !is_success && !bytes.starts_with(b"{") {
        return Err(Lost::Fault(Fault::Broken("the answer has an HTTP error status")));
    }
    Ok(Answer { content_type, date, bytes: Bytes::from(bytes) })
}

fn date(response: &Response) -> Option<UnixMs> {
    let value = response.headers().get("date")?.to_str().ok()?;
    let moment = jiff::fmt::rfc2822::parse(value).ok()?;
    Some(UnixMs(moment.timestamp().as_millisecond()))
}

fn content_type(response: &Response) -> String {
    let value = response.headers().get("content-type").and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_ascii_lowercase()
}

/// Reads an answer as JSON and turns an `errcode` other than 0 into a fault. The content type is not looked at: the
/// platform sends JSON as `text/plain` too.
pub(super) fn json_of(answer: &Answer) -> Result<Value, Fault> {
    let json: Value =
        serde_json::from_slice(&answer.bytes).map_err(|_| Fault::Broken("the answer is not JSON"))?;
    if !json.is_object() {
        return Err(Fault::Broken("the answer is not a JSON object"));
    }
    let code = json.get("errcode").map_or(Some(0), Value::as_i64);
    let code = code.ok_or(Fault::Broken("the answer's errcode is not a number"))?;
    if code == 0 {
        return Ok(json);
    }
    let message = json.get("errmsg").and_then(Value::as_str).unwrap_or_default();
    let rid = message.split_once("rid: ").map(|(_, rest)| {
        rest.chars().take_while(|character| character.is_ascii_alphanumeric() || *character == '-').collect()
    });
    let shown = message.chars().filter(|character| !character.is_control()).take(MESSAGE_CHARS_MAX);
    Err(Fault::Refused { code, message: shown.collect(), rid })
}
