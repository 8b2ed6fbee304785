//! `weikefu menu`: the local menu file against what WeChat has.

use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use weikefu::clock::new_token;
use weikefu::config::Account;
use weikefu::content::Content;
use weikefu::wechat::api::Api;
use weikefu::wechat::menu::{Menu, outline};
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

#[derive(Clone, Copy, Subcommand)]
enum Action {
    /// Print the local menu and the one that WeChat has.
    Show,
    /// Print what is only here (+) and what only WeChat has (-).
    Diff,
    /// Make WeChat's menu the local one.
    Push,
}

pub(super) async fn run(command: MenuCommand, context: &Context) -> Outcome {
    let id = command.account.ok_or_else(|| Failure::usage("menu needs --account ID"))?;
    let config = context.config()?;
    let account = config
        .account(&id)
        .ok_or_else(|| Failure::usage(format_args!("the configuration has no account `{id}`")))?;
    let content = content::load(Some(&config))?;
    let local = local_menu(&content, &id)?;
    let api = api(account, context)?;
    match command.action {
        Action::Show => {
            section("local", local.as_ref().map(|menu| outline(&menu.to_json())));
            section("WeChat", api.menu_get().await?.map(|menu| outline(&menu)));
        }
        Action::Diff => {
            let here = local.map(|menu| outline(&menu.to_json())).unwrap_or_default();
            let there = api.menu_get().await?.map(|menu| outline(&menu)).unwrap_or_default();
            diff(&here, &there);
        }
        Action::Push => {
            let menu = local.with_context(|| format!("there is no file menus/{id}.toml to push"))?;
            api.menu_create(&menu).await?;
            tell!("{id}: WeChat has the local menu now");
        }
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

/// Menus are short and ordered: what they begin and end with alike is left out, the rest is shown whole.
fn diff(here: &[String], there: &[String]) {
    if here == there {
        tell!("no difference");
        return;
    }
    let begin = here.iter().zip(there).take_while(|(a, b)| a == b).count();
    let rest = here.len().min(there.len()) - begin;
    let end = here.iter().rev().zip(there.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    for line in &there[begin..there.len() - end] {
        tell!("- {line}");
    }
    for line in &here[begin..here.len() - end] {
        tell!("+ {line}");
    }
}
