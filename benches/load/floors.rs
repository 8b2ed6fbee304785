//! What the same machine can do with less: three servers to measure ours against.

use std::io::Write as _;
use std::sync::Arc;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use anyhow::Context as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};
use weikefu::clock::{Clock as _, Random as _, SystemClock, SystemRandom};
use weikefu::config::Config;
use weikefu::domain::time::UnixMs;
use weikefu::wechat::push::{Query, ReplyMode, Webhook};
use weikefu::wechat::reply::{self, Reply};
use weikefu::wechat::text::Text;

/// Rows in one transaction at most.
const GROUP_MAX: usize = 1_000;

/// How much a floor does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Floor {
    /// A bare handler: it reads the body and answers with a constant.
    Bare,
    /// Verifies, decrypts, parses, encrypts and signs.
    Codec,
    /// That, and one durable row a message by group commit.
    Row,
}

struct Row {
    key: String,
    openid: String,
    body: String,
    at: UnixMs,
    done: oneshot::Sender<()>,
}

struct Work {
    floor: Floor,
    webhook: Webhook,
    reply: String,
    rows: Option<mpsc::Sender<Row>>,
}

/// Serves until the process is ended; prints the port on stdout.
pub(crate) async fn serve(
    floor: Floor,
    config: &Config,
    database: &str,
    reply: String,
) -> anyhow::Result<()> {
    let account = config.accounts.first().context("the configuration has an account")?;
    let rows = match floor {
        Floor::Row => Some(writer(database).await?),
        Floor::Bare | Floor::Codec => None,
    };
    let work = Arc::new(Work { floor, webhook: Webhook::new(account)?, reply, rows });
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::from(work.clone()))
            .service(web::resource("/wechat/{account}").route(web::post().to(receive)))
    });
    let server = server.bind("127.0.0.1:0")?;
    let address = *server.addrs().first().context("an address")?;
    writeln!(std::io::stdout(), "on http://{address}")?;
    server.run().await?;
    Ok(())
}

async fn receive(work: web::Data<Work>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    if work.floor == Floor::Bare {
        return HttpResponse::Ok().content_type("text/xml; charset=utf-8").body(work.reply.clone());
    }
    let now = SystemClock.now();
    let Ok(received) = work.webhook.receive(&Query::parse(request.query_string()), &body, now) else {
        return HttpResponse::Unauthorized().finish();
    };
    let push = received.push;
    if let Some(rows) = &work.rows {
        let (done, stands) = oneshot::channel();
        let row = Row {
            key: push.key.as_str().to_owned(),
            openid: push.from.reveal().to_owned(),
            body: work.reply.clone(),
            at: now,
            done,
        };
        if rows.send(row).await.is_err() || stands.await.is_err() {
            return HttpResponse::InternalServerError().finish();
        }
    }
    let Ok(text) = Text::new(&work.reply) else { return HttpResponse::InternalServerError().finish() };
    let xml = reply::encode(&Reply::Text(text), &push.from, &push.to, now);
    let mut random = [0; 16];
    SystemRandom.fill(&mut random);
    let body = match received.reply_mode {
        ReplyMode::Plain => xml,
        mode => work.webhook.seal_reply(&xml, mode, random, now, "1234567890"),
    };
    HttpResponse::Ok().content_type("text/xml; charset=utf-8").body(body)
}

const TABLE: &str = "CREATE TABLE IF NOT EXISTS floor_message \
    (message_key TEXT NOT NULL PRIMARY KEY, openid TEXT NOT NULL, body TEXT NOT NULL, at_ms BIGINT NOT NULL)";

async fn writer(database: &str) -> anyhow::Result<mpsc::Sender<Row>> {
    let (sender, receiver) = mpsc::channel(8_192);
    if let Some(path) = database.strip_prefix("sqlite://") {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .disable_statement_logging();
        let mut connection = options.connect().await?;
        sqlx::query(TABLE).execute(&mut connection).await?;
        tokio::spawn(write_sqlite(connection, receiver));
    } else {
        let mut connection = PgConnection::connect(database).await?;
        sqlx::query(TABLE).execute(&mut connection).await?;
        tokio::spawn(write_postgres(connection, receiver));
    }
    Ok(sender)
}

/// One multi-row statement a group: by values for SQLite, which has no arrays.
async fn write_sqlite(mut connection: SqliteConnection, mut rows: mpsc::Receiver<Row>) -> anyhow::Result<()> {
    let mut group = Vec::with_capacity(GROUP_MAX);
    while rows.recv_many(&mut group, GROUP_MAX).await > 0 {
        let mut transaction = connection.begin().await?;
        let mut insert =
            sqlx::QueryBuilder::new("INSERT INTO floor_message (message_key, openid, body, at_ms) ");
        insert.push_values(&group, |mut values, row| {
            values.push_bind(&row.key).push_bind(&row.openid).push_bind(&row.body).push_bind(row.at.0);
        });
        insert.push(" ON CONFLICT (message_key) DO NOTHING");
        insert.build().persistent(false).execute(&mut *transaction).await?;
        transaction.commit().await?;
        for row in group.drain(..) {
            // Whoever asked may have gone.
            let _ = row.done.send(());
        }
    }
    Ok(())
}

async fn write_postgres(mut connection: PgConnection, mut rows: mpsc::Receiver<Row>) -> anyhow::Result<()> {
    let mut group = Vec::with_capacity(GROUP_MAX);
    while rows.recv_many(&mut group, GROUP_MAX).await > 0 {
        let keys: Vec<&str> = group.iter().map(|row| row.key.as_str()).collect();
        let openids: Vec<&str> = group.iter().map(|row| row.openid.as_str()).collect();
        let bodies: Vec<&str> = group.iter().map(|row| row.body.as_str()).collect();
        let moments: Vec<i64> = group.iter().map(|row| row.at.0).collect();
        sqlx::query(
            "INSERT INTO floor_message (message_key, openid, body, at_ms) \
             SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) ON CONFLICT (message_key) DO NOTHING",
        )
        .bind(keys)
        .bind(openids)
        .bind(bodies)
        .bind(moments)
        .execute(&mut connection)
        .await?;
        for row in group.drain(..) {
            // Whoever asked may have gone.
            let _ = row.done.send(());
        }
    }
    Ok(())
}
