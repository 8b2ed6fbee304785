//! `weikefu user …`: accounts of staff.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::{Command, Stdio};

use clap::{Args, Subcommand, ValueEnum};
use weikefu::app::open_store;
use weikefu::config::Config;
use weikefu::domain::ids::AccountId;
use weikefu::domain::secret::Secret;
use weikefu::staff::{AccountError, Listed, Reach, Role, Staff};

use super::{Context, Failure, Outcome};

#[derive(Subcommand)]
pub(super) enum User {
    /// Add a staff account. The password is asked for, or read as the first line of standard input.
    Add(Add),
    /// Give an account another role or other official accounts. Its person must sign in again.
    Set(Set),
    /// Give an account another password, read as for `add`. Its person must sign in again.
    Password {
        /// The name to sign in with.
        name: String,
    },
    /// Take away the second factor of somebody whose phone is lost; where one is required, the next sign-in sets up
    /// another.
    ResetSecondFactor {
        /// The name to sign in with.
        name: String,
    },
    /// Remove an account. Its person is signed out; what he did stays in the audit trail.
    Remove {
        /// The name to sign in with.
        name: String,
    },
    /// Print every account: name, role, official accounts, how it is opened; with tabs between.
    List,
}

#[derive(Args)]
pub(super) struct Add {
    /// The name to sign in with.
    name: String,
    /// What the person may do.
    #[arg(long, value_enum)]
    role: RoleName,
    /// An official account that the person serves; may be repeated. Without it: every account.
    #[arg(long = "account", value_name = "ID")]
    accounts: Vec<String>,
    /// No password opens the account: its person comes by the bank's own sign-in (`[staff.oidc]`).
    #[arg(long)]
    without_password: bool,
}

#[derive(Args)]
pub(super) struct Set {
    /// The name to sign in with.
    name: String,
    /// What the person may do from now on.
    #[arg(long, value_enum, required_unless_present_any = ["accounts", "every_account"])]
    role: Option<RoleName>,
    /// An official account that the person serves from now on; may be repeated.
    #[arg(long = "account", value_name = "ID")]
    accounts: Vec<String>,
    /// The person serves every account from now on.
    #[arg(long, conflicts_with = "accounts")]
    every_account: bool,
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
    let config = context.config()?;
    let accounts = match &user {
        User::Add(Add { accounts, .. }) | User::Set(Set { accounts, .. }) => accounts.as_slice(),
        _ => &[],
    };
    let reach = reach(&config, accounts)?;
    let password = match &user {
        User::Add(Add { without_password: false, .. }) | User::Password { .. } => Some(read_password()?),
        _ => None,
    };
    let store = open_store(&config, context.clock.clone(), context.random.clone()).await?;
    let staff = Staff::new(store.clone());
    let done = carry_out(user, &staff, &reach, password.as_ref()).await;
    store.close().await;
    done?.iter().for_each(|line| tell!("{line}"));
    Ok(())
}

async fn carry_out(
    user: User,
    staff: &Staff,
    reach: &Reach,
    password: Option<&Secret>,
) -> Result<Vec<String>, AccountError> {
    let told = match user {
        User::Add(Add { name, role, .. }) => {
            match password {
                Some(password) => staff.add_account_for(&name, role.into(), reach, password).await?,
                None => staff.add_account_without_password(&name, role.into(), reach).await?,
            }
            format!("{name} may sign in")
        }
        User::Set(Set { name, role, accounts, every_account }) => {
            let reach = (every_account || !accounts.is_empty()).then_some(reach);
            staff.change_account(&name, role.map(Role::from), reach).await?;
            format!("{name} is changed, and must sign in again")
        }
        User::Password { name } => {
            if let Some(password) = password {
                staff.change_password(&name, password).await?;
            }
            format!("{name} must sign in again, with the new password")
        }
        User::ResetSecondFactor { name } => {
            staff.reset_second_factor(&name).await?;
            format!("{name} has no second factor any more, and must sign in again")
        }
        User::Remove { name } => {
            staff.remove_account(&name).await?;
            format!("{name} may not sign in any more")
        }
        User::List => return Ok(staff.accounts().await?.iter().map(line).collect()),
    };
    Ok(vec![told])
}

fn line(listed: &Listed) -> String {
    let accounts = match &listed.reach {
        Reach::Every => "every account".to_owned(),
        Reach::Only(accounts) => accounts.iter().map(AccountId::as_str).collect::<Vec<_>>().join(","),
    };
    let role = listed.role.map_or("unknown role", Role::name);
    let first = if listed.has_password { "password" } else { "bank's sign-in" };
    let second = if listed.has_factor { " and second factor" } else { "" };
    format!("{}\t{role}\t{accounts}\t{first}{second}", listed.name)
}

fn reach(config: &Config, accounts: &[String]) -> Result<Reach, Failure> {
    if let Some(unknown) = accounts.iter().find(|id| config.account(id).is_none()) {
        return Err(Failure::usage(format_args!("the configuration has no account `{unknown}`")));
    }
    Ok(Reach::of(accounts.iter().map(|id| AccountId::new(id))))
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
