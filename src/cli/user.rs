//! `weikefu user add`

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::{Command, Stdio};

use clap::{Subcommand, ValueEnum};
use weikefu::app::open_store;
use weikefu::domain::ids::AccountId;
use weikefu::domain::secret::Secret;
use weikefu::staff::{Reach, Role, Staff};

use super::{Context, Failure, Outcome};

#[derive(Subcommand)]
pub(super) enum User {
    /// Add a staff account. The password is asked for, or read as the first line of standard input.
    Add {
        /// The name to sign in with.
        name: String,
        /// What the person may do.
        #[arg(long, value_enum)]
        role: RoleName,
        /// An official account that the person serves; may be repeated. Without it: every account.
        #[arg(long = "account", value_name = "ID")]
        accounts: Vec<String>,
    },
}

/// [`Role`] as it is written on the command line.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum RoleName {
    /// Answers customers.
    Agent,
    /// Sees every case too.
    Supervisor,
    /// Rules the rest.
    Admin,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Agent => Self::Agent,
            RoleName::Supervisor => Self::Supervisor,
            RoleName::Admin => Self::Admin,
        }
    }
}

pub(super) async fn run(user: User, context: &Context) -> Outcome {
    let User::Add { name, role, accounts } = user;
    let config = context.config()?;
    if let Some(unknown) = accounts.iter().find(|id| config.account(id).is_none()) {
        return Err(Failure::usage(format_args!("the configuration has no account `{unknown}`")));
    }
    let reach = Reach::of(accounts.iter().map(|id| AccountId::new(id)));
    let password = read_password()?;
    let store = open_store(&config, context.clock.clone(), context.random.clone()).await?;
    let added = Staff::new(store.clone()).add_account_for(&name, role.into(), &reach, &password).await;
    store.close().await;
    added?;
    tell!("{name} may sign in");
    Ok(())
}

fn read_password() -> Result<Secret, Failure> {
    if !std::io::stdin().is_terminal() {
        return first_line();
    }
    eprint!("password (at least {} characters): ", Staff::PASSWORD_CHARS_MIN);
    std::io::stderr().flush()?;
    let hidden = echo(false);
    let password = first_line();
    if hidden {
        echo(true);
        eprintln!();
    }
    password
}

fn first_line() -> Result<Secret, Failure> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let password = line.trim_end_matches(['\n', '\r']).to_owned();
    if password.is_empty() { Err(Failure::usage("no password was given")) } else { Ok(Secret::new(password)) }
}

/// Turns the terminal's echo on or off; says whether that worked.
fn echo(on: bool) -> bool {
    let flag = if on { "echo" } else { "-echo" };
    let mut stty = Command::new("stty");
    stty.arg(flag).stdin(Stdio::inherit()).stderr(Stdio::null());
    stty.status().is_ok_and(|status| status.success())
}
