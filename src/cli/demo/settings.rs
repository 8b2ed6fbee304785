//! The demo's own configuration: made at the first start, written anew at each, with the secrets of the first.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use weikefu::clock::{Random, new_token};
use weikefu::config::Config;
use weikefu::keys;

/// Where the demo's programs listen.
#[derive(Clone, Copy)]
pub(super) struct Ports {
    pub(super) server: u16,
    pub(super) simulator: u16,
    pub(super) core: u16,
    pub(super) metrics: u16,
}

impl Ports {
    /// Counted from the base; `None` when they would pass the last port.
    pub(super) fn from_base(base: u16) -> Option<Self> {
        Some(Self {
            server: base,
            simulator: base.checked_add(1)?,
            core: base.checked_add(10)?,
            metrics: base.checked_add(9)?,
        })
    }

    pub(super) fn all(self) -> [u16; 4] {
        [self.server, self.simulator, self.core, self.metrics]
    }
}

/// What must stay the same from start to start.
struct Identity {
    original_id: String,
    app_id: String,
    app_secret: String,
    token: String,
    encoding_aes_key: String,
    core_secret: String,
    api_secret: String,
    events_secret: String,
}

impl Identity {
    fn make(random: &dyn Random) -> Self {
        let hex = |count: usize| new_token(random).chars().take(count).collect::<String>();
        let key = || {
            let mut key = [0_u8; 32];
            random.fill(&mut key);
            key
        };
        let signing = || format!("whsec_{}", STANDARD.encode(key()));
        Self {
            original_id: format!("gh_{}", hex(12)),
            app_id: format!("wx{}", hex(16)),
            app_secret: hex(32),
            token: hex(32),
            encoding_aes_key: STANDARD_NO_PAD.encode(key()),
            core_secret: signing(),
            api_secret: signing(),
            events_secret: signing(),
        }
    }

    fn of(config: &Config) -> Option<Self> {
        let account = config.accounts.first()?;
        Some(Self {
            original_id: account.original_id.clone(),
            app_id: account.app_id.clone(),
            app_secret: account.app_secret.reveal().to_owned(),
            token: account.token.reveal().to_owned(),
            encoding_aes_key: account.encoding_aes_key.as_ref()?.reveal().to_owned(),
            core_secret: config.core.secret.reveal().to_owned(),
            api_secret: config.api.secrets.first()?.reveal().to_owned(),
            events_secret: config.events.as_ref()?.secret.reveal().to_owned(),
        })
    }
}

/// Writes `weikefu.toml`, and at the first start the master key, into the folder. Returns the file's path.
pub(super) fn prepare(folder: &Path, ports: Ports, random: &dyn Random) -> anyhow::Result<PathBuf> {
    let folder = fs::canonicalize(folder).with_context(|| format!("{}", folder.display()))?;
    let Some(place) = folder.to_str().filter(|place| !place.contains(['?', '#', '%', '"', '\\'])) else {
        bail!("{}: choose a folder whose path has none of ? # % \" \\", folder.display());
    };
    let file = folder.join("weikefu.toml");
    let identity = match file.try_exists()? {
        true => {
            let known =
                Config::load(&file, []).map_err(|faults| anyhow::anyhow!(crate::cli::listed(&faults)))?;
            Identity::of(&known).with_context(|| format!("{} is not the demo's", file.display()))?
        }
        false => Identity::make(random),
    };
    let master = folder.join("master.key");
    if !master.try_exists()? {
        keys::create_master(&master, random)?;
    }
    write_private(&file, &text(place, ports, &identity))?;
    Ok(file)
}

/// Writes a file that only its owner can read.
pub(super) fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes()).with_context(|| format!("{}", path.display()))
}

fn text(folder: &str, ports: Ports, identity: &Identity) -> String {
    let Ports { server, simulator, core, metrics } = ports;
    let Identity {
        original_id,
        app_id,
        app_secret,
        token,
        encoding_aes_key,
        core_secret,
        api_secret,
        events_secret,
    } = identity;
    format!(
        r#"# Written by `weikefu demo` at every start. To change something, copy it and use `weikefu serve --config`.

[server]
listen = "127.0.0.1:{server}"
public_url = "http://127.0.0.1:{server}"
metrics_listen = "127.0.0.1:{metrics}"
h5_frame_ancestors = ["http://127.0.0.1:{simulator}"]     # the phone shows pages in a frame

[staff]
second_factor = []                                        # a phone app would be asked for, otherwise

[database]
url = "sqlite://{folder}/weikefu.db"

[[accounts]]
id = "card"
name = "示例银行信用卡"
original_id = "{original_id}"
app_id = "{app_id}"
app_secret = "{app_secret}"
token = "{token}"
encoding_aes_key = "{encoding_aes_key}"
encryption = "safe"
api_base_url = "http://127.0.0.1:{simulator}"
oauth_base_url = "http://127.0.0.1:{simulator}"

[accounts.notices.spend]
template_id = "demo-spend"
fields = {{ card = "character_string1", amount = "amount2", time = "time3", merchant = "thing4", note = "thing5" }}

[accounts.notices.repayment]
template_id = "demo-repayment"
fields = {{ card = "character_string1", amount = "amount2", time = "time3", note = "thing4" }}

[accounts.notices.refund]
template_id = "demo-refund"
fields = {{ card = "character_string1", amount = "amount2", time = "time3", merchant = "thing4", note = "thing5" }}

[accounts.notices.declined]
template_id = "demo-declined"
fields = {{ card = "character_string1", amount = "amount2", time = "time3", merchant = "thing4" }}

[accounts.notices.security]
template_id = "demo-security"
fields = {{ card = "character_string1", event = "thing2", time = "time3" }}

[accounts.notices.bill_due]
template_id = "demo-bill-due"
fields = {{ card = "character_string1", amount = "amount2", due_date = "time3", note = "thing4" }}

[accounts.notices.digest]
template_id = "demo-digest"
fields = {{ result = "thing1", amount = "amount2", card = "thing3", time = "time4" }}

[accounts.notices.card_mailed]
template_id = "demo-card-mailed"
way = "subscribe"
fields = {{ product = "thing1", tracking_no = "character_string2" }}

[accounts.notices.application]
template_id = "demo-application"
fields = {{ application_no = "character_string1", product = "thing2", stage = "phrase3", next_step = "thing4" }}

[core]
base_url = "http://127.0.0.1:{core}"
secret = "{core_secret}"

[api]
secrets = ["{api_secret}"]

[events]
url = "http://127.0.0.1:{core}/sandbox/events"
secret = "{events_secret}"

[asr]
url = "http://127.0.0.1:{core}/sandbox/asr"
secret = "{core_secret}"

[keys]
master_file = "{folder}/master.key"

[sandbox]
server_url = "http://127.0.0.1:{server}"
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use weikefu::clock::SystemRandom;

    #[test]
    fn a_second_start_on_other_ports_keeps_every_secret() {
        let folder = tempfile::tempdir().unwrap();
        let first = prepare(folder.path(), Ports::from_base(8080).unwrap(), &SystemRandom).unwrap();
        let before = Config::load(&first, []).unwrap();
        let again = prepare(folder.path(), Ports::from_base(9000).unwrap(), &SystemRandom).unwrap();
        let after = Config::load(&again, []).unwrap();
        assert_eq!(after.server.listen.port(), 9000);
        assert_eq!(after.core.base_url.port(), Some(9010));
        assert_eq!(before.accounts[0].token, after.accounts[0].token);
        assert_eq!(before.accounts[0].encoding_aes_key, after.accounts[0].encoding_aes_key);
        assert_eq!(before.api.secrets, after.api.secrets);
        assert_eq!(after.accounts[0].notices.len(), 9);
    }

    #[test]
    fn secrets_lie_in_files_of_their_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path(), Ports::from_base(8080).unwrap(), &SystemRandom).unwrap();
        for name in ["weikefu.toml", "master.key"] {
            let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{name}");
        }
    }
}
