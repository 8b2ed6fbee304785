//! What the servers of all load tests are told alike.

use std::path::Path;

/// A whole configuration: `account` is what the account has besides its name, `more` are further sections. The master
/// key lies in the folder as `master`.
pub(crate) fn configuration(database: &str, folder: &Path, account: &str, more: &str) -> String {
    let master = folder.join("master");
    format!(
        r#"
[server]
listen = "127.0.0.1:0"
public_url = "https://wx.bank.example"
metrics_listen = "127.0.0.1:0"

[database]
url = "{database}"

[[accounts]]
id = "card"
name = "示例银行信用卡"
kind = "service"
{account}
{more}
[core]
base_url = "http://127.0.0.1:9"
secret = "whsec_bG9hZC10ZXN0LWNvcmUtc2VjcmV0LWxvYWQtdGVzdC0="

[keys]
master_file = "{}"
"#,
        master.display()
    )
}
