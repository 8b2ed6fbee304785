//! `weikefu menu`: the local menu file against what WeChat has.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use weikefu::clock::new_token;
use weikefu::config::Account;
use weikefu::content::Content;
use weikefu::wechat::api::Api;
use weikefu::wechat::menu::{Menu, differences, outline};
use weikefu::wechat::token::MemoryShelf;

use super::{Context, Failure, Outcome, content};

#[derive(Args)]
pub(super) struct MenuCommand {
    #[command(subcommand)]
    action: Action,
    /// The account's id in the configuration.
    #[arg(long, global = true, value_name = "ID")]
    account: Option<String>,
}

#[derive(Subcommand)]
enum Action {
    /// Print the local menu and the one that WeChat has.
    Show,
    /// Print what is only here (+) and what only WeChat has (-).
    Diff,
    /// Make WeChat's menu the local one.
    Push,
    /// Write WeChat's menu as a menu file that `push` gives back unchanged.
    Pull {
        /// Where to write; without it, on standard output.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

pub(super) async fn run(command: MenuCommand, context: &Context) -> Outcome {
    let id = command.account.ok_or_else(|| Failure::usage("menu needs --account ID"))?;
    let config = context.config()?;
    let account = config
        .account(&id)
        .ok_or_else(|| Failure::usage(format_args!("the configuration has no account `{id}`")))?;
    let api = api(account, context)?;
    let local = match command.action {
        // A faulty file is a reason to pull.
        Action::Pull { .. } => None,
        _ => local_menu(&content::load(Some(&config))?, &id)?,
    };
    match command.action {
        Action::Show => {
            section("local", local.as_ref().map(|menu| outline(&menu.as_answered())));
            section("WeChat", api.menus().await?.map(|answer| outline(&answer)));
        }
        Action::Diff => {
            let here = local.map(|menu| outline(&menu.as_answered())).unwrap_or_default();
            let there = api.menus().await?.map(|answer| outline(&answer)).unwrap_or_default();
            match differences(&here, &there).as_slice() {
                [] => tell!("no difference"),
                lines => lines.iter().for_each(|line| tell!("{line}")),
            }
        }
        Action::Push => {
            let menu = local.with_context(|| format!("there is no file menus/{id}.toml to push"))?;
            api.menu_push(&menu).await?;
            tell!("{id}: WeChat has the local menu now");
        }
        Action::Pull { output } => pull(&api, &id, output.as_deref()).await?,
    }
    Ok(())
}

fn local_menu(content: &Content, account: &str) -> Result<Option<Menu>, Failure> {
    let Some(file) = content.file(&format!("menus/{account}.toml")) else { return Ok(None) };
    let menu = Menu::from_toml(&file.text);
    menu.map(Some)
        .map_err(|fault| Failure::usage(format_args!("{}:{}: {}", file.origin, fault.line, fault.fault)))
}

/// The stable token is the same for everybody who asks, so this takes none away from a running server.
fn api(account: &Account, context: &Context) -> anyhow::Result<Api> {
    let owner = new_token(context.random.as_ref());
    Ok(Api::new(account, Arc::new(MemoryShelf::default()), context.clock.clone(), &owner)?)
}

fn section(title: &str, lines: Option<Vec<String>>) {
    tell!("{title}");
    for line in lines.unwrap_or_else(|| vec!["no menu".to_owned()]) {
        tell!("  {line}");
    }
}

/// Writes nothing until all of it is read and checked.
async fn pull(api: &Api, id: &str, output: Option<&Path>) -> anyhow::Result<()> {
    let answer = api.menus().await?.with_context(|| {
        format!("WeChat has no menu of {id} that can be read; one that was made in its console cannot")
    })?;
    let text = Menu::toml_of(&answer)
        .map_err(|fault| anyhow::anyhow!("WeChat's menu has what a menu file cannot say: {}", fault.fault))?;
    match output {
        None => tell!("{}", text.trim_end()),
        Some(path) => {
            std::fs::write(path, text).with_context(|| format!("{}", path.display()))?;
            tell!("{id}: wrote {}", path.display());
        }
    }
    Ok(())
}
