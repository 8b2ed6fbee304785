//! `weikefu archive`: days of the log into files, and a file back into words.

use std::path::PathBuf;

use clap::Args;
use weikefu::app::{self, AppError, open_store};
use weikefu::domain::ids::AccountId;
use weikefu::store::{Message, Store};

use super::{Context, Failure, Outcome};

#[derive(Args)]
#[group(required = true, multiple = true)]
pub(super) struct Archive {
    /// The folder for the files; what is there stays there.
    #[arg(long, value_name = "FOLDER", conflicts_with = "read")]
    to: Option<PathBuf>,
    /// Days that are kept out of it, today not counted; by default `[retention] message_days`.
    #[arg(long, value_name = "DAYS", requires = "to", value_parser = clap::value_parser!(u32).range(1..))]
    older_than_days: Option<u32>,
    /// Print what was said in one account from a file, as lines of JSON; the server's database holds the keys.
    #[arg(long, value_name = "FILE", requires = "account", requires = "reason")]
    read: Option<PathBuf>,
    /// Whose messages are read.
    #[arg(long, value_name = "ID", requires = "read")]
    account: Option<String>,
    /// Why they are read: it stands in the audit trail.
    #[arg(long, value_name = "TEXT", requires = "read")]
    reason: Option<String>,
}

pub(super) async fn run(asked: Archive, context: &Context) -> Outcome {
    let config = context.config()?;
    let store = open_store(&config, context.clock.clone(), context.random.clone()).await?;
    let done = match (&asked.to, &asked.read, &asked.account, &asked.reason) {
        (Some(to), ..) => {
            let archived = app::archive(&config, &store, to, asked.older_than_days, |day| {
                tell!("{} {:>12} messages  {}", day.file.display(), day.entries, day.sha256);
            });
            let told = |before| tell!("everything before {before} is in {}", to.display());
            archived.await.map(told)
        }
        (None, Some(file), Some(account), Some(reason)) => {
            let account = AccountId::new(account);
            if config.account(account.as_str()).is_none() {
                return Err(Failure::usage(format!("there is no account `{account}` in the configuration")));
            }
            app::read_archived(&store, file, &account, reason, |message| tell!("{}", line(message)))
                .await
                .map(drop)
        }
        _ => return Err(Failure::usage("name --to FOLDER or --read FILE")),
    };
    close(store, done).await
}

async fn close(store: Store, done: Result<(), AppError>) -> Outcome {
    store.close().await;
    match done {
        Err(error @ AppError::KeptForEver) => Err(Failure::Usage(error.into())),
        done => Ok(done?),
    }
}

fn line(message: &Message) -> serde_json::Value {
    let content = message.content.reveal();
    serde_json::json!({
        "at": message.at.beijing().strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        "follower": message.follower.to_string(),
        "seq": message.seq,
        "direction": message.direction.name(),
        "author": message.author,
        "channel": message.channel.name(),
        "state": message.state,
        "content": serde_json::from_str(content).unwrap_or_else(|_| serde_json::Value::from(content)),
    })
}
