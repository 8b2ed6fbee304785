//! A browser inside the simulated phone: keeps cookies, is sent to WeChat and back, fills in forms.

use std::collections::BTreeMap;

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};

const REDIRECTS_MAX: usize = 6;

/// One browser of one follower.
pub(crate) struct Browser {
    http: reqwest::Client,
    server_url: String,
    simulator_url: String,
    openid: String,
    cookies: BTreeMap<String, String>,
    /// The page that is shown.
    pub(crate) html: String,
}

impl Browser {
    /// `http` follows no redirects by itself.
    pub(crate) fn new(http: reqwest::Client, server_url: &str, simulator_url: &str, openid: &str) -> Self {
        Self {
            http,
            server_url: server_url.to_owned(),
            simulator_url: simulator_url.to_owned(),
            openid: openid.to_owned(),
            cookies: BTreeMap::new(),
            html: String::new(),
        }
    }

    /// Opens an address and goes wherever it leads; gives the status.
    pub(crate) async fn open(&mut self, url: &str) -> u16 {
        let request = self.http.get(self.absolute(url));
        self.show(request).await
    }

    /// Sends a form of the page that is shown, with its hidden fields.
    pub(crate) async fn send(&mut self, path: &str, fields: &[(&str, &str)]) -> u16 {
        let mut form: Vec<(String, String)> = Vec::new();
        for name in ["csrf", "text_hash"] {
            form.extend(self.hidden(name).map(|value| (name.to_owned(), value)));
        }
        form.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let request =
            self.http.post(self.absolute(path)).header("origin", self.server_url.clone()).form(&form);
        self.show(request).await
    }

    /// Sends a form that must be taken.
    pub(crate) async fn takes(&mut self, path: &str, fields: &[(&str, &str)]) {
        let status = self.send(path, fields).await;
        assert_eq!(status, 200, "{path}: {}", self.html.split("<main").last().unwrap_or_default());
    }

    /// Calls as the script of the page that was shown last does.
    pub(crate) async fn json(
        &self,
        method: &str,
        path: &str,
        body: Option<serde_json::Value>,
    ) -> serde_json::Value {
        let (_, after) = self.html.split_once("data-csrf=\"").expect("the page holds a token");
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = self.http.request(method.parse().unwrap(), self.absolute(path));
        let request = request.header(COOKIE, cookies.join("; ")).header("origin", self.server_url.clone());
        let request = request.header("x-csrf-token", after.split('"').next().unwrap());
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let response = request.send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "{method} {path}: {status}: {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    fn absolute(&self, url: &str) -> String {
        if url.starts_with('/') { format!("{}{url}", self.server_url) } else { url.to_owned() }
    }

    fn hidden(&self, name: &str) -> Option<String> {
        let (_, after) = self.html.split_once(&format!("name=\"{name}\" value=\""))?;
        Some(after.split('"').next()?.to_owned())
    }

    async fn show(&mut self, first: reqwest::RequestBuilder) -> u16 {
        let mut request = first;
        for _ in 0..REDIRECTS_MAX {
            let cookies: Vec<String> =
                self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let response = request.header(COOKIE, cookies.join("; ")).send().await.unwrap();
            for cookie in response.headers().get_all(SET_COOKIE) {
                let pair = cookie.to_str().unwrap().split(';').next().unwrap();
                let (name, value) = pair.split_once('=').unwrap();
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
            let Some(to) = response.headers().get(LOCATION) else {
                let status = response.status().as_u16();
                self.html = response.text().await.unwrap();
                return status;
            };
            request = self.http.get(self.way(to.to_str().unwrap()));
        }
        panic!("redirected without an end");
    }

    /// WeChat's own page knows who holds the phone, and sends him back at once.
    fn way(&self, to: &str) -> String {
        let address = self.absolute(to.split('#').next().unwrap());
        let asks_wechat = address.starts_with(&format!("{}/connect/", self.simulator_url));
        if asks_wechat { format!("{address}&as={}", self.openid) } else { address }
    }
}
