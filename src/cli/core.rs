//! `weikefu core`: the sandbox bank core, and `core check`, which runs the operations' schemas against a bank's
//! gateway.

use clap::{Args, Subcommand};
use url::Url;
use weikefu::bank::check;
use weikefu::config;
use weikefu::domain::secret::Secret;

use super::{Context, Failure, Outcome};

/// One call of a check may take this long when no configuration says otherwise.
const TIMEOUT_MS: u64 = 10_000;

#[derive(Args)]
pub(super) struct Core {
    #[cfg(feature = "demo")]
    #[command(flatten)]
    lifetime: super::Lifetime,
    #[command(subcommand)]
    command: Option<CoreCommand>,
}

#[derive(Subcommand)]
enum CoreCommand {
    /// Ask a bank's gateway every operation by its example, writes too, and say which answers fit their schema.
    /// Point it at a test system. The signing secret comes from --secret-file, from WEIKEFU_CORE__SECRET, or
    /// with everything else from --config.
    Check {
        /// Base address of the gateway; operations are posted to URL/v1/operations/NAME.
        #[arg(long)]
        url: Option<Url>,
        /// The signing secret, whsec_…; other programs of the machine can read it here, prefer --secret-file.
        #[arg(long, env = "WEIKEFU_CORE__SECRET", hide_env_values = true)]
        secret: Option<String>,
        /// A file with the signing secret.
        #[arg(long, value_name = "FILE", conflicts_with = "secret")]
        secret_file: Option<std::path::PathBuf>,
    },
}

pub(super) async fn run(core: Core, context: &Context) -> Outcome {
    match core.command {
        #[cfg(feature = "demo")]
        None => super::simulate::core(context, core.lifetime.until_stdin_closes).await,
        #[cfg(not(feature = "demo"))]
        None => Err(Failure::usage("this build has no sandbox core; see core check --help")),
        Some(CoreCommand::Check { url, secret, secret_file }) => {
            let secret = match secret_file {
                Some(path) => Some(
                    std::fs::read_to_string(&path)
                        .map_err(|error| Failure::usage(format_args!("{}: {error}", path.display())))?
                        .trim()
                        .to_owned(),
                ),
                None => secret,
            };
            let settings = settings(url, secret.map(Secret::new), context)?;
            let report = check::run(&settings, context.clock.clone(), context.random.clone()).await?;
            tell!("{report}");
            if report.passed() { Ok(()) } else { Err(Failure::Told) }
        }
    }
}

fn settings(url: Option<Url>, secret: Option<Secret>, context: &Context) -> Result<config::Core, Failure> {
    let mut settings = match (&context.config, &url, &secret) {
        (Some(_), ..) => context.config()?.core.clone(),
        (None, Some(url), Some(secret)) => config::Core {
            base_url: url.clone(),
            secret: secret.clone(),
            timeout_ms: TIMEOUT_MS,
            tls: config::Tls::default(),
        },
        (None, None, _) => return Err(Failure::usage("core check needs --url URL or --config FILE")),
        (None, _, None) => {
            return Err(Failure::usage("core check needs the signing secret: --secret-file FILE"));
        }
    };
    if let Some(url) = url {
        settings.base_url = url;
    }
    if let Some(secret) = secret {
        settings.secret = secret;
    }
    Ok(settings)
}
