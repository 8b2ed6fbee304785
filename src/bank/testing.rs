//! One of the bank's systems for tests: a real server on port 0 that answers by a script.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

/// What it does with one request.
#[derive(Clone)]
pub(super) enum Act {
    Answer(u16, String),
    /// The head promises more than follows.
    Half(String),
    Hang,
    HangUp,
}

/// A request as it came over the wire.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// A header by its name in small letters.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

#[derive(Default)]
struct State {
    requests: Vec<Request>,
    script: Vec<Act>,
    slow: Option<&'static str>,
}

/// A far side that acts by a script, then repeats its last act.
pub(super) struct FarSide {
    pub(super) url: Url,
    state: Arc<Mutex<State>>,
}

impl FarSide {
    pub(super) async fn start(script: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let state = Arc::new(Mutex::new(State { script, ..State::default() }));
        let far_side = Self { url, state: Arc::clone(&state) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&state)));
            }
        });
        far_side
    }

    /// How many requests have come.
    pub(super) fn requests(&self) -> usize {
        self.state.lock().unwrap().requests.len()
    }

    /// The newest request.
    pub(super) fn last_request(&self) -> Request {
        self.state.lock().unwrap().requests.last().unwrap().clone()
    }

    pub(super) fn then_always(&self, act: Act) {
        self.state.lock().unwrap().script = vec![act];
    }

    /// This operation gets no answer any more; `None`: all do again.
    pub(super) fn is_slow_in(&self, operation: Option<&'static str>) {
        self.state.lock().unwrap().slow = operation;
    }
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut received = Vec::new();
    let mut chunk = [0_u8; 4096];
    loop {
        if let Some(end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head = String::from_utf8(received[..end].to_vec()).unwrap();
            let request = Request { head, body: received[end + 4..].to_vec() };
            let length: usize = request.header("content-length").unwrap().parse().unwrap();
            if request.body.len() >= length {
                return Some(request);
            }
        }
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => received.extend_from_slice(&chunk[..count]),
        }
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let Some(request) = read(&mut stream).await else { return };
    let act = {
        let mut state = state.lock().unwrap();
        let is_slow = state.slow.is_some_and(|slow| request.head.contains(&format!("/{slow} HTTP")));
        state.requests.push(request);
        match state.script.len() {
            _ if is_slow => Act::Hang,
            1 => state.script[0].clone(),
            _ => state.script.remove(0),
        }
    };
    match act {
        Act::Answer(status, body) => {
            let head = format!(
                "HTTP/1.1 {status} X\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _gone = stream.write_all(head.as_bytes()).await;
            let _gone = stream.write_all(body.as_bytes()).await;
        }
        Act::Half(body) => {
            let head = format!("HTTP/1.1 200 X\r\ncontent-length: {}\r\n\r\n", body.len());
            let _gone = stream.write_all(head.as_bytes()).await;
            let half = body.as_bytes().get(..body.len() / 2).unwrap_or_default();
            let _gone = stream.write_all(half).await;
        }
        Act::Hang => std::future::pending().await,
        Act::HangUp => {}
    }
}
