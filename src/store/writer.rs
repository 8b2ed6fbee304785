//! Group commit: many callers' commits become few durable transactions.

use std::sync::{Arc, LazyLock};
use std::time::Instant;

use arc_swap::ArcSwapOption;
use metrics::Histogram;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::database::{Connection, Connector, Database};
use super::value::{Commit, Conflict, Expect, Statement};
use super::{CommitError, Engine, StoreError};
use crate::telemetry::start_metrics;

/// Commits waiting in one lane; beyond it callers are told that the database is too slow.
const WAITING_MAX: usize = 4096;
/// Commits in one transaction.
const GROUP_MAX: usize = 64;
/// Connections that write on PostgreSQL; SQLite has one writer by nature.
const POSTGRES_LANES: usize = 4;

const SAVEPOINT: Statement = Statement { name: "SAVEPOINT", sql: "SAVEPOINT one" };
const RELEASE: Statement = Statement { name: "RELEASE", sql: "RELEASE SAVEPOINT one" };
const UNDO: Statement = Statement { name: "UNDO", sql: "ROLLBACK TO SAVEPOINT one" };
const COMMIT: Statement = Statement { name: "COMMIT", sql: "COMMIT" };
const ROLLBACK: Statement = Statement { name: "ROLLBACK", sql: "ROLLBACK" };

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

/// Sends commits to the tasks that hold the writing connections.
pub(super) struct Writer {
    lanes: ArcSwapOption<Vec<mpsc::Sender<Job>>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Writer {
    pub(super) async fn start(database: &Database) -> Result<Self, StoreError> {
        let count = match database.engine() {
            Engine::Sqlite => 1,
            Engine::Postgres => POSTGRES_LANES,
        };
        let mut lanes = Vec::new();
        let mut tasks = Vec::new();
        for _ in 0..count {
            let (sender, receiver) = mpsc::channel(WAITING_MAX);
            let lane = Lane { connector: database.connector(), connection: None };
            lanes.push(sender);
            tasks.push(tokio::spawn(lane.run(receiver)));
        }
        Ok(Self { lanes: ArcSwapOption::from_pointee(lanes), tasks: Mutex::new(tasks) })
    }

    pub(super) async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        let (done, answer) = oneshot::channel();
        {
            let lanes = self.lanes.load();
            let lanes = lanes.as_ref().ok_or(StoreError::Closed)?;
            let lane = lanes.get(usize::from(commit.lane) % lanes.len()).ok_or(StoreError::Closed)?;
            lane.try_send(Job { commit, done }).map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => StoreError::Overloaded(WAITING_MAX),
                mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
            })?;
        }
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Commits that wait, lane by lane.
    pub(super) fn waiting(&self) -> Vec<usize> {
        let lanes = self.lanes.load();
        let lanes = lanes.as_ref().map(|lanes| lanes.as_slice()).unwrap_or_default();
        lanes.iter().map(|lane| lane.max_capacity() - lane.capacity()).collect()
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
}

impl Lane {
    async fn run(mut self, mut waiting: mpsc::Receiver<Job>) {
        let mut group = Vec::with_capacity(GROUP_MAX);
        // While one transaction is made durable the next group gathers by itself: no timer is needed.
        while waiting.recv_many(&mut group, GROUP_MAX).await > 0 {
            let began = Instant::now();
            GROUP_COMMITS.record(f64::from(u32::try_from(group.len()).unwrap_or(u32::MAX)));
            let outcomes = match self.write(&group).await {
                Ok(outcomes) => outcomes,
                // One bad neighbour must not fail the others: each gets a transaction of its own.
                Err(_) if group.len() > 1 => {
                    let mut outcomes = Vec::with_capacity(group.len());
                    for job in &group {
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

    async fn write_alone(&mut self, job: &Job) -> Result<(), CommitError> {
        match self.write(std::slice::from_ref(job)).await {
            Ok(mut outcomes) => outcomes.pop().unwrap_or(Err(CommitError::Store(StoreError::Closed))),
            Err(error) => Err(CommitError::Store(error)),
        }
    }

    /// One transaction for the group. An error means that nothing of the group stands, unless it is
    /// [`StoreError::Unconfirmed`]. A connection that failed is given up.
    async fn write(&mut self, group: &[Job]) -> Result<Vec<Result<(), CommitError>>, StoreError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connector.connect().await?,
        };
        let outcome = transact(&mut connection, group).await;
        match &outcome {
            Ok(_) => self.connection = Some(connection),
            Err(StoreError::Unconfirmed(_)) => {}
            Err(_) if connection.execute(ROLLBACK, vec![]).await.is_ok() => {
                self.connection = Some(connection)
            }
            Err(_) => {}
        }
        outcome
    }
}

async fn transact(
    connection: &mut Connection,
    group: &[Job],
) -> Result<Vec<Result<(), CommitError>>, StoreError> {
    let failed = |statement: Statement| {
        move |source: sqlx::Error| StoreError::Statement {
            statement: statement.name,
            source: Arc::new(source),
        }
    };
    connection.begin().await.map_err(failed(SAVEPOINT))?;
    let mut outcomes = Vec::with_capacity(group.len());
    let mut standing = 0_usize;
    for job in group {
        if group.len() > 1 {
            connection.execute(SAVEPOINT, vec![]).await.map_err(failed(SAVEPOINT))?;
        }
        let conflict = apply(connection, &job.commit).await?;
        match conflict {
            None => standing += 1,
            Some(_) if group.len() > 1 => {
                connection.execute(UNDO, vec![]).await.map_err(failed(UNDO))?;
            }
            Some(_) => {}
        }
        if group.len() > 1 {
            connection.execute(RELEASE, vec![]).await.map_err(failed(RELEASE))?;
        }
        outcomes.push(conflict.map_or(Ok(()), |conflict| Err(CommitError::Conflict(conflict))));
    }
    if standing == 0 {
        connection.execute(ROLLBACK, vec![]).await.map_err(failed(ROLLBACK))?;
    } else {
        connection.execute(COMMIT, vec![]).await.map_err(|error| StoreError::Unconfirmed(Arc::new(error)))?;
    }
    Ok(outcomes)
}

/// Runs the writes of one commit until one meets a conflict.
async fn apply(connection: &mut Connection, commit: &Commit) -> Result<Option<Conflict>, StoreError> {
    for write in &commit.writes {
        let touched = match connection.execute(write.statement, write.args.clone()).await {
            Ok(touched) => touched,
            Err(source) => {
                return Err(StoreError::Statement {
                    statement: write.statement.name,
                    source: Arc::new(source),
                });
            }
        };
        match write.expect {
            Expect::Rows(rows, conflict) if rows != touched => return Ok(Some(conflict)),
            Expect::Rows(..) | Expect::Any => {}
        }
    }
    Ok(None)
}
