//! Connections that carry pushes: as fast as answers come, or at a fixed rate with latency counted from the moment at
//! which a push was meant to leave.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};

use super::push::Push;

/// A reply that takes longer counts as an error: WeChat hangs up.
const REPLY_WITHIN: Duration = Duration::from_secs(5);
const RESPONSE_BYTES_MAX: usize = 64 * 1024;

/// How pushes leave.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// Each connection sends the next one when it has its answer.
    FullSpeed {
        /// Connections.
        connections: usize,
        /// How long.
        length: Duration,
    },
    /// So many a second, whatever the answers do.
    Fixed {
        /// A second.
        rate: u32,
        /// Connections at most.
        connections: usize,
    },
}

/// A reply's body and its latency in microseconds.
pub(crate) type Answer = (Vec<u8>, u32);

/// What one slice came to.
pub(crate) struct Slice {
    /// From the first push to the last answer.
    pub(crate) took: Duration,
    /// By the place of the push; `None`: not sent, or failed.
    pub(crate) answers: Vec<Option<Answer>>,
    /// What failed first.
    pub(crate) failure: Option<String>,
    /// How many failed.
    pub(crate) failures: usize,
}

impl Slice {
    /// Pushes that were answered.
    pub(crate) fn answered(&self) -> usize {
        self.answers.iter().flatten().count()
    }
}

struct Road {
    address: SocketAddr,
    pushes: Vec<Push>,
    next: Cell<usize>,
    answers: RefCell<Vec<Option<Answer>>>,
    failure: RefCell<Option<String>>,
    failures: Cell<usize>,
}

/// Sends pushes to a server and gathers the answers. All on the calling thread.
pub(crate) async fn drive(
    address: SocketAddr,
    pushes: Vec<Push>,
    pace: Pace,
) -> anyhow::Result<(Slice, Vec<Push>)> {
    let answers = pushes.iter().map(|_| None).collect();
    let road = Rc::new(Road {
        address,
        pushes,
        next: Cell::new(0),
        answers: RefCell::new(answers),
        failure: RefCell::default(),
        failures: Cell::new(0),
    });
    let local = LocalSet::new();
    let took = local.run_until(send(road.clone(), pace)).await?;
    drop(local);
    let road = Rc::into_inner(road).context("a connection is still open")?;
    let slice = Slice {
        took,
        answers: road.answers.into_inner(),
        failure: road.failure.into_inner(),
        failures: road.failures.get(),
    };
    Ok((slice, road.pushes))
}

async fn send(road: Rc<Road>, pace: Pace) -> anyhow::Result<Duration> {
    let (Pace::FullSpeed { connections, .. } | Pace::Fixed { connections, .. }) = pace;
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        open.push(Connection::open(road.address).await?);
    }
    let due = Rc::new(Semaphore::new(0));
    let began = Instant::now();
    let mut work = JoinSet::new();
    for connection in open {
        match pace {
            Pace::FullSpeed { length, .. } => {
                work.spawn_local(road.clone().one_after_another(connection, began + length));
            }
            Pace::Fixed { rate, .. } => {
                work.spawn_local(road.clone().when_due(connection, due.clone(), began, rate));
            }
        }
    }
    if let Pace::Fixed { rate, .. } = pace {
        let mut released = 0;
        while released < road.pushes.len() {
            let now = usize::try_from(began.elapsed().as_micros() * u128::from(rate) / 1_000_000)?;
            let count = now.min(road.pushes.len()).saturating_sub(released);
            due.add_permits(count);
            released += count;
            // A timer would come up to a millisecond late; this core has nothing else to do.
            tokio::task::yield_now().await;
        }
        due.close();
    }
    while let Some(ended) = work.join_next().await {
        ended?;
    }
    Ok(began.elapsed())
}

impl Road {
    fn take(&self) -> Option<usize> {
        let at = self.next.get();
        (at < self.pushes.len()).then(|| self.next.set(at + 1)).map(|()| at)
    }

    async fn one_after_another(self: Rc<Self>, mut connection: Connection, until: Instant) {
        while Instant::now() < until
            && let Some(at) = self.take()
        {
            let from = Instant::now();
            if !self.exchange(&mut connection, at, from).await {
                return;
            }
        }
    }

    async fn when_due(
        self: Rc<Self>,
        mut connection: Connection,
        due: Rc<Semaphore>,
        began: Instant,
        rate: u32,
    ) {
        loop {
            match due.acquire().await {
                Ok(permit) => permit.forget(),
                // Closed with the last one released: what is left is taken without a permit.
                Err(_) if self.next.get() < self.pushes.len() => {}
                Err(_) => return,
            }
            let Some(at) = self.take() else { return };
            let micros = u64::try_from(at).unwrap_or(u64::MAX).saturating_mul(1_000_000) / u64::from(rate);
            let meant = began + Duration::from_micros(micros);
            if !self.exchange(&mut connection, at, meant).await {
                return;
            }
        }
    }

    async fn exchange(&self, connection: &mut Connection, at: usize, from: Instant) -> bool {
        let answer = tokio::time::timeout(REPLY_WITHIN, connection.exchange(&self.pushes[at].request)).await;
        let failure = match answer {
            Ok(Ok(body)) => {
                self.answers.borrow_mut()[at] = Some((body, super::figures::micros(from.elapsed())));
                return true;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer within 5 s".to_owned(),
        };
        self.failures.set(self.failures.get() + 1);
        self.failure.borrow_mut().get_or_insert(failure);
        match Connection::open(self.address).await {
            Ok(fresh) => {
                *connection = fresh;
                true
            }
            Err(_) => false,
        }
    }
}

/// The smallest client that keeps its connection: one request, one response with a length.
struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(8 * 1024) })
    }

    async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Vec<u8>> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            ensure!(self.buffer.len() < RESPONSE_BYTES_MAX, "a response is too large");
            ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the server closed the connection");
            let Some(head) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let end = head + 4 + content_length(&self.buffer[..head])?;
            if self.buffer.len() >= end {
                ensure!(self.buffer.len() == end, "a response is longer than it says");
                ensure!(self.buffer.starts_with(b"HTTP/1.1 200 "), "{}", status(&self.buffer));
                return Ok(self.buffer[head + 4..].to_vec());
            }
        }
    }
}

fn status(response: &[u8]) -> String {
    let line = response.split(|byte| *byte == b'\r').next().unwrap_or_default();
    String::from_utf8_lossy(line).into_owned()
}

fn content_length(head: &[u8]) -> anyhow::Result<usize> {
    for line in head.split(|byte| *byte == b'\n') {
        if let Some((name, value)) = line.split_at_checked(15)
            && name.eq_ignore_ascii_case(b"content-length:")
        {
            return Ok(std::str::from_utf8(value)?.trim().parse()?);
        }
    }
    bail!("a response has no length")
}
