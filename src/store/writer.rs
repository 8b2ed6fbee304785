//! Group commit: many callers' commits become few durable transactions.

use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Instant;

use arc_swap::ArcSwapOption;
use metrics::Histogram;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::audit::{ChainKey, Trail};
use super::database::{BEGIN, Connection, Connector, Database};
use super::known::{Asked, read_together};
use super::rows::{OverRows, Texts, chunk};
use super::value::{Commit, Conflict, Expect, Row, Statement, Write};
use super::{CommitError, Engine, StoreError};
use crate::domain::ids::{AccountId, FollowerKey, PushKey};
use crate::telemetry::start_metrics;

/// Commits and reads waiting in one lane; beyond it callers are told that the database is too slow.
const WAITING_MAX: usize = 4096;
/// Commits in one transaction, and reads before it.
const GROUP_MAX: usize = 256;
/// Connections that write on PostgreSQL; SQLite has one writer by nature.
const POSTGRES_LANES: usize = 4;

const SAVEPOINT: Statement = Statement { name: "SAVEPOINT", sql: "SAVEPOINT one" };
const RELEASE: Statement = Statement { name: "RELEASE", sql: "RELEASE SAVEPOINT one" };
const UNDO: Statement = Statement { name: "UNDO", sql: "ROLLBACK TO SAVEPOINT one" };
pub(super) const COMMIT: Statement = Statement { name: "COMMIT", sql: "COMMIT" };
pub(super) const ROLLBACK: Statement = Statement { name: "ROLLBACK", sql: "ROLLBACK" };

static GROUP_COMMITS: LazyLock<Histogram> = LazyLock::new(|| {
    start_metrics();
    metrics::histogram!("weikefu_store_group_commits")
});
static TRANSACTION_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    start_metrics();
    metrics::histogram!("weikefu_store_transaction_seconds")
});

struct Job {
    commit: Commit,
    done: oneshot::Sender<Result<(), CommitError>>,
}

enum Work {
    Commit(Job),
    Read(Asked),
}

/// Sends commits to the tasks that hold the writing connections, and the reads that come before most of them.
pub(super) struct Writer {
    lanes: ArcSwapOption<Vec<mpsc::Sender<Work>>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    chain_key: Arc<OnceLock<ChainKey>>,
}

impl Writer {
    pub(super) async fn start(database: &Database) -> Result<Self, StoreError> {
        let count = match database.engine() {
            Engine::Sqlite => 1,
            Engine::Postgres => POSTGRES_LANES,
        };
        let mut lanes = Vec::new();
        let mut tasks = Vec::new();
        let chain_key = Arc::new(OnceLock::new());
        for _ in 0..count {
            let (sender, receiver) = mpsc::channel(WAITING_MAX);
            let lane = Lane {
                connector: database.connector(),
                connection: None,
                texts: Texts::new(database.engine()),
                chain_key: chain_key.clone(),
                trail: None,
            };
            lanes.push(sender);
            tasks.push(tokio::spawn(lane.run(receiver)));
        }
        Ok(Self { lanes: ArcSwapOption::from_pointee(lanes), tasks: Mutex::new(tasks), chain_key })
    }

    /// From now on lines of the audit trail are chained. The first commits make the keys that this needs.
    pub(super) fn chain_with(&self, key: ChainKey) {
        // Set once, when the store opens.
        let _ = self.chain_key.set(key);
    }

    pub(super) async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        let (done, answer) = oneshot::channel();
        self.send(commit.lane, Work::Commit(Job { commit, done }))?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Commits that wait, lane by lane.
    pub(super) fn waiting(&self) -> Vec<usize> {
        let lanes = self.lanes.load();
        let lanes = lanes.as_ref().map(|lanes| lanes.as_slice()).unwrap_or_default();
        lanes.iter().map(|lane| lane.max_capacity() - lane.capacity()).collect()
    }

    /// See [`super::Store::known`].
    pub(super) async fn known(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        key: &PushKey,
    ) -> Result<Row, StoreError> {
        let (asked, answer) = Asked::new(account, follower, key);
        self.send(follower.part(), Work::Read(asked))?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    fn send(&self, lane: u8, work: Work) -> Result<(), StoreError> {
        let lanes = self.lanes.load();
        let lanes = lanes.as_ref().ok_or(StoreError::Closed)?;
        let lane = lanes.get(usize::from(lane) % lanes.len()).ok_or(StoreError::Closed)?;
        lane.try_send(work).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Overloaded(WAITING_MAX),
            mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
        })
    }

    pub(super) async fn close(&self) {
        self.lanes.store(None);
        for task in self.tasks.lock().await.drain(..) {
            if let Err(error) = task.await {
                tracing::error!(%error, "a writer of the database panicked: a fault of ours, please report it; its waiting commits failed");
            }
        }
    }
}

struct Lane {
    connector: Connector,
    connection: Option<Connection>,
    texts: Texts,
    chain_key: Arc<OnceLock<ChainKey>>,
    /// The lane's own chain of the audit trail; `None` before the key is known.
    trail: Option<Trail>,
}

impl Lane {
    async fn run(mut self, mut waiting: mpsc::Receiver<Work>) {
        let mut work = Vec::with_capacity(GROUP_MAX);
        let (mut group, mut asked) = (Vec::with_capacity(GROUP_MAX), Vec::with_capacity(GROUP_MAX));
        // While one transaction is made durable the next group gathers by itself: no timer is needed.
        while waiting.recv_many(&mut work, GROUP_MAX).await > 0 {
            for work in work.drain(..) {
                match work {
                    Work::Commit(job) => group.push(job),
                    Work::Read(read) => asked.push(read),
                }
            }
            // On the writing connection: the pages that the commit will change are then in memory already, and
            // SQLite forgets a reader's pages at each commit. Whoever is answered now commits in the next group.
            if !asked.is_empty() {
                self.read(std::mem::take(&mut asked)).await;
            }
            if group.is_empty() {
                continue;
            }
            let began = Instant::now();
            GROUP_COMMITS.record(f64::from(u32::try_from(group.len()).unwrap_or(u32::MAX)));
            let outcomes = match self.write(&mut group).await {
                Ok(outcomes) => outcomes,
                // One bad neighbour must not fail the others: each gets a transaction of its own.
                Err(_) if group.len() > 1 => {
                    let mut outcomes = Vec::with_capacity(group.len());
                    for job in &mut group {
                        outcomes.push(self.write_alone(job).await);
                    }
                    outcomes
                }
                Err(error) => vec![Err(CommitError::Store(error))],
            };
            TRANSACTION_SECONDS.record(began.elapsed());
            for (job, outcome) in group.drain(..).zip(outcomes) {
                // The caller may have gone; its commit stands all the same.
                drop(job.done.send(outcome));
            }
        }
    }

    async fn read(&mut self, asked: Vec<Asked>) {
        let connection = match self.connection.take() {
            Some(connection) => Ok(connection),
            None => self.connector.connect().await,
        };
        match connection {
            Ok(mut connection) => {
                if read_together(&mut connection, &mut self.texts, asked).await.is_ok() {
                    self.connection = Some(connection);
                }
            }
            Err(error) => asked.into_iter().for_each(|asked| asked.fail(error.clone())),
        }
    }

    async fn write_alone(&mut self, job: &mut Job) -> Result<(), CommitError> {
        match self.write(std::slice::from_mut(job)).await {
            Ok(mut outcomes) => outcomes.pop().unwrap_or(Err(CommitError::Store(StoreError::Closed))),
            Err(error) => Err(CommitError::Store(error)),
        }
    }

    /// One transaction for the group. An error means that nothing of the group stands, unless it is
    /// [`StoreError::Unconfirmed`]. A connection that failed is given up.
    async fn write(&mut self, group: &mut [Job]) -> Result<Vec<Result<(), CommitError>>, StoreError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connector.connect().await?,
        };
        self.trail = self.trail.take().or_else(|| self.chain_key.get().cloned().map(Trail::new));
        if let Some(trail) = &mut self.trail {
            trail.ready(&mut connection, group.iter().map(|job| &job.commit)).await?;
        }
        let mark = self.trail.as_ref().map(Trail::mark);
        let outcome = transact(&mut connection, &mut self.texts, self.trail.as_mut(), group).await;
        if let Some((trail, mark)) = self.trail.as_mut().zip(mark) {
            match &outcome {
                Ok(_) => {}
                Err(StoreError::Unconfirmed(_)) => trail.leave(),
                Err(_) => trail.back_to(mark),
            }
        }
        match &outcome {
            Ok(_) => self.connection = Some(connection),
            // Only the database's own refusal: whoever did not answer once would be waited for again, and what comes
            // late would be taken for the answer to something else.
            Err(StoreError::Statement { source, .. })
                if source.as_database_error().is_some()
                    && connection.execute(ROLLBACK, vec![]).await.is_ok() =>
            {
                self.connection = Some(connection);
            }
            Err(_) => {}
        }
        outcome
    }
}

type Outcomes = Vec<Result<(), CommitError>>;

async fn transact(
    connection: &mut Connection,
    texts: &mut Texts,
    mut trail: Option<&mut Trail>,
    group: &mut [Job],
) -> Result<Outcomes, StoreError> {
    let began = trail.as_deref().map(Trail::mark);
    connection.begin().await.map_err(failed(BEGIN))?;
    let mut outcomes = Vec::with_capacity(group.len());
    let together = together(connection, texts, trail.as_deref_mut(), group).await?;
    let alone = group.len() == 1;
    for (job, stands) in group.iter_mut().zip(together) {
        if stands {
            outcomes.push(Ok(()));
            continue;
        }
        let before = trail.as_deref().map(Trail::mark);
        if let Some(trail) = trail.as_deref_mut() {
            trail.chain(&mut job.commit);
        }
        let outcome = if alone {
            apply(connection, &job.commit).await?
        } else {
            within_savepoint(connection, &job.commit).await?
        };
        if let (Some(trail), Some(before), Some(_)) = (trail.as_deref_mut(), before, outcome) {
            trail.back_to(before);
        }
        outcomes.push(outcome.map_or(Ok(()), |conflict| Err(CommitError::Conflict(conflict))));
    }
    if outcomes.iter().any(Result::is_ok) {
        if let Some((trail, began)) = trail.as_deref().zip(began) {
            trail.save(connection, began).await?;
        }
        connection.execute(COMMIT, []).await.map_err(|error| StoreError::Unconfirmed(Arc::new(error)))?;
    } else {
        connection.execute(ROLLBACK, []).await.map_err(failed(ROLLBACK))?;
    }
    Ok(outcomes)
}

pub(super) fn failed(statement: Statement) -> impl Fn(sqlx::Error) -> StoreError {
    move |source| StoreError::Statement { statement: statement.name, source: Arc::new(source) }
}

/// One statement with the rows that several commits bring.
struct Gathered<'a> {
    statement: Statement,
    over: OverRows,
    writes: Vec<&'a Write>,
    /// Rows that must be touched for every commit to stand; `None`: any number.
    expected: Option<u64>,
}

/// Runs at once what the commits that consist of statements over rows write, and tells of each commit of the group
/// whether it stands by that. When one of them meets a conflict, each half is tried for itself, and so on; the few that
/// are left are then tried alone.
async fn together(
    connection: &mut Connection,
    texts: &mut Texts,
    mut trail: Option<&mut Trail>,
    group: &mut [Job],
) -> Result<Vec<bool>, StoreError> {
    let mut stands = vec![false; group.len()];
    let members = members(texts, group);
    let alone = |place: &usize| group.get(*place).is_some_and(|job| repeats_a_statement(&job.commit));
    if members.len() < 2 && !members.iter().any(alone) {
        return Ok(stands);
    }
    let mut parts = vec![members];
    let mut is_whole = true;
    while let Some(places) = parts.pop() {
        let before = trail.as_deref().map(Trail::mark);
        if let Some(trail) = trail.as_deref_mut() {
            for place in &places {
                group.get_mut(*place).into_iter().for_each(|job| trail.chain(&mut job.commit));
            }
        }
        if !is_whole {
            connection.execute(SAVEPOINT, []).await.map_err(failed(SAVEPOINT))?;
        }
        let gathered = gather(texts, group, &places);
        let stand = run_gathered(connection, texts, gathered).await?;
        if stand {
            for place in places {
                stands.get_mut(place).into_iter().for_each(|stands| *stands = true);
            }
        } else {
            if let Some((trail, before)) = trail.as_deref_mut().zip(before) {
                trail.back_to(before);
            }
            let (first, second) = places.split_at(places.len() / 2);
            parts.extend([second, first].into_iter().filter(|half| half.len() > 1).map(<[usize]>::to_vec));
        }
        match (is_whole, stand) {
            (true, true) => {}
            // A savepoint would have every page copied that changes, for something that hardly ever happens.
            (true, false) => {
                metrics::counter!("weikefu_store_groups_apart_total").increment(1);
                connection.execute(ROLLBACK, []).await.map_err(failed(ROLLBACK))?;
                connection.begin().await.map_err(failed(BEGIN))?;
            }
            (false, stand) => {
                if !stand {
                    connection.execute(UNDO, []).await.map_err(failed(UNDO))?;
                }
                connection.execute(RELEASE, []).await.map_err(failed(RELEASE))?;
            }
        }
        is_whole = false;
    }
    Ok(stands)
}

/// Runs gathered statements until one touches fewer or more rows than it must. `false`: one did.
async fn run_gathered(
    connection: &mut Connection,
    texts: &mut Texts,
    gathered: Vec<Gathered<'_>>,
) -> Result<bool, StoreError> {
    for Gathered { statement, over, writes, expected } in gathered {
        let mut touched = 0;
        let mut left = writes.as_slice();
        while !left.is_empty() {
            let (now, later) = left.split_at(chunk(left.len()));
            let text = texts.of(statement, over, now.len());
            let args = now.iter().flat_map(|write| &write.args);
            touched += connection.execute_rows(text, args).await.map_err(failed(statement))?;
            left = later;
        }
        if expected.is_some_and(|expected| expected != touched) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether one execution can carry several rows of this commit alone.
fn repeats_a_statement(commit: &Commit) -> bool {
    let mut rest = commit.writes.as_slice();
    while let Some((first, later)) = rest.split_first() {
        if later.iter().any(|write| write.statement.sql == first.statement.sql) {
            return true;
        }
        rest = later;
    }
    false
}

/// The places of the commits that consist of statements over rows.
fn members(texts: &mut Texts, group: &[Job]) -> Vec<usize> {
    let mut over_rows = |write: &Write| texts.over_rows(write.statement).is_some();
    let mut is_one =
        |job: &Job| !job.commit.writes.is_empty() && job.commit.writes.iter().all(&mut over_rows);
    let places = group.iter().enumerate();
    places.filter_map(|(place, job)| is_one(job).then_some(place)).collect()
}

/// What these commits write by statement, in the order in which the statements first come. Such writes only add rows
/// or change one by its key and version: two commits that touch the same row show as a row too few, whatever their
/// order.
fn gather<'a>(texts: &mut Texts, group: &'a [Job], places: &[usize]) -> Vec<Gathered<'a>> {
    let mut gathered: Vec<Gathered<'_>> = Vec::new();
    let commits = places.iter().filter_map(|place| group.get(*place)).map(|job| &job.commit);
    for write in commits.flat_map(|commit| &commit.writes) {
        let Some(over) = texts.over_rows(write.statement) else { continue };
        let rows = match write.expect {
            Expect::Any => None,
            Expect::Rows(rows, _) => Some(rows),
        };
        let same = |one: &&mut Gathered<'_>| {
            one.statement.sql == write.statement.sql && one.expected.is_some() == rows.is_some()
        };
        match gathered.iter_mut().find(same) {
            Some(found) => {
                found.writes.push(write);
                found.expected = found.expected.zip(rows).map(|(sum, rows)| sum + rows);
            }
            None => gathered.push(Gathered {
                statement: write.statement,
                over,
                writes: vec![write],
                expected: rows,
            }),
        }
    }
    gathered
}

/// One commit of several: undone alone when it meets a conflict.
async fn within_savepoint(
    connection: &mut Connection,
    commit: &Commit,
) -> Result<Option<Conflict>, StoreError> {
    connection.execute(SAVEPOINT, []).await.map_err(failed(SAVEPOINT))?;
    let conflict = apply(connection, commit).await?;
    if conflict.is_some() {
        connection.execute(UNDO, []).await.map_err(failed(UNDO))?;
    }
    connection.execute(RELEASE, []).await.map_err(failed(RELEASE))?;
    Ok(conflict)
}

/// Runs the writes of one commit until one meets a conflict.
async fn apply(connection: &mut Connection, commit: &Commit) -> Result<Option<Conflict>, StoreError> {
    for write in &commit.writes {
        let touched =
            connection.execute(write.statement, &write.args).await.map_err(failed(write.statement))?;
        match write.expect {
            Expect::Rows(rows, conflict) if rows != touched => return Ok(Some(conflict)),
            Expect::Rows(..) | Expect::Any => {}
        }
    }
    Ok(None)
}
