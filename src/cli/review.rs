//! `weikefu review …`: messages that were not understood at once, and the examples that staff make of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use weikefu::app::open_store;
use weikefu::config::Config;
use weikefu::content::Content;
use weikefu::dialogue::Dialogue;
use weikefu::store::{Commit, Review as Kept, Store};

use super::{Context, Failure, Outcome, content};

/// Where accepted messages go, in the bank's folder of content.
const ACCEPTED: &str = "examples/reviewed.txt";

#[derive(Subcommand)]
pub(super) enum Review {
    /// Print what waits, grouped by the service that each was taken for most likely.
    List,
    /// Make an example of a message: a line in `examples/reviewed.txt` of the bank's content, used from the next reload on.
    Accept(Accept),
    /// Drop a message that teaches nothing.
    Drop {
        /// Its id, as `list` prints it.
        id: String,
    },
}

#[derive(Args)]
pub(super) struct Accept {
    /// The message's id, as `list` prints it.
    id: String,
    /// What it means: a service, a knowledge entry, `oos` or `human`. Without it: what the customer chose himself.
    #[arg(long = "as", value_name = "SERVICE")]
    means: Option<String>,
}

pub(super) async fn run(review: Review, context: &Context) -> Outcome {
    let config = context.config()?;
    let store = open_store(&config, context.clock.clone(), context.random.clone()).await?;
    let outcome = match review {
        Review::List => list(&store).await,
        Review::Accept(asked) => accept(&asked, &config, &store).await,
        Review::Drop { id } => drop_one(&id, &store).await,
    };
    store.close().await;
    outcome
}

async fn list(store: &Store) -> Outcome {
    let mut groups: BTreeMap<String, Vec<Kept>> = BTreeMap::new();
    for kept in store.reviews().await? {
        groups.entry(kept.nearest.clone()).or_default().push(kept);
    }
    for (nearest, kept) in &groups {
        let nearest = if nearest.is_empty() { "nothing" } else { nearest };
        tell!("nearest {nearest}: {}", kept.len());
        for one in kept {
            let chosen = one.chosen.as_deref().unwrap_or("-");
            let text = one.text.reveal().split_whitespace().collect::<Vec<_>>().join(" ");
            tell!("  {}\t{}\t{chosen}\t{text}", one.review_id, one.kind);
        }
    }
    tell!("{} waiting", groups.values().map(Vec::len).sum::<usize>());
    Ok(())
}

async fn accept(asked: &Accept, config: &Config, store: &Store) -> Outcome {
    let kept = waiting(&asked.id, store).await?;
    let Some(means) = asked.means.clone().or(kept.chosen) else {
        return Err(Failure::usage("the customer chose nothing; say what it means with --as SERVICE"));
    };
    let Some(folder) = &config.content.dir else {
        return Err(Failure::usage("examples go into the bank's own files: set [content] dir"));
    };
    let text = kept.text.reveal().split_whitespace().collect::<Vec<_>>().join(" ");
    let path = folder.join(ACCEPTED);
    let line = add(&path, &means, &text, folder)?;
    end(&asked.id, store).await?;
    tell!("{}:{line}: {text}", path.display());
    tell!("[{means}] has it from the next reload on (SIGHUP)");
    Ok(())
}

/// Adds the example, and takes it away again where the content would be faulty with it. Its line.
fn add(path: &Path, means: &str, text: &str, folder: &Path) -> Result<usize, Failure> {
    let before = match std::fs::read_to_string(path) {
        Ok(before) => Some(before),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(Failure::usage(format_args!("{}: {error}", path.display()))),
    };
    let mut after = before.clone().unwrap_or_default();
    if !after.is_empty() && !after.ends_with('\n') {
        after.push('\n');
    }
    after.push_str(&format!("[{means}]\n{text}\n"));
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    replace(path, &after)?;
    let checked = Content::load(Some(folder)).and_then(|content| {
        let dialogue = Dialogue::load(&content)?;
        match dialogue.understanding().knows(means) {
            true => Ok(()),
            false => Err(vec![content::no_such_class(path, after.lines().count() - 1, means)]),
        }
    });
    let Err(faults) = checked else { return Ok(after.lines().count()) };
    match &before {
        Some(before) => replace(path, before)?,
        None => std::fs::remove_file(path)?,
    }
    Err(Failure::usage(content::listed(&faults)))
}

/// Writes a file as a whole: who reads meanwhile sees the old one or the new one.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push("~");
    let new = PathBuf::from(new);
    std::fs::write(&new, text)?;
    std::fs::rename(&new, path)
}

async fn drop_one(id: &str, store: &Store) -> Outcome {
    waiting(id, store).await?;
    end(id, store).await?;
    tell!("{id} dropped");
    Ok(())
}

async fn waiting(id: &str, store: &Store) -> Result<Kept, Failure> {
    let kept = store.review(id).await?;
    kept.ok_or_else(|| {
        Failure::usage(format_args!("no message {id:?} waits for review; see `weikefu review list`"))
    })
}

async fn end(id: &str, store: &Store) -> Outcome {
    store.commit(Commit::new(0).with(store.end_review(id))).await?;
    Ok(())
}
