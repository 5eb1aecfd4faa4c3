//! embedgate: the optimised binary, rules in its store.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Result;

use crate::ground::Ground;
use crate::rules::Form;
use crate::{command, process};

/// The binary that `make build` built, or another to compare: `EMBEDGATE_BENCH_BINARY`.
pub fn binary() -> OsString {
    let built = || Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("release").join("embedgate");
    std::env::var_os("EMBEDGATE_BENCH_BINARY").unwrap_or_else(|| built().into())
}

/// The control plane's token.
pub const WRITE_TOKEN: &str = "write-0123456789abcdef0123456789abcdef";

pub fn prepare(ground: &Ground, widgets: usize) -> Result<Vec<OsString>> {
    let configuration_file = ground.write("embedgate.toml", &configuration(ground))?;
    ground.write("seed.json", r#"{"widgets": []}"#)?;
    let tokens = ground.write("data/admin.tokens", &format!("write {WRITE_TOKEN}\n"))?;
    fs::set_permissions(tokens, fs::Permissions::from_mode(0o600))?;
    let documents = ground.path("rules.ndjson");
    Form::Documents.write_file(&documents, widgets, None)?;
    let import = command![binary(), "--config", &configuration_file, "widgets", "import", documents];
    process::output(&import, ground.folder())?;
    Ok(command![binary(), "--config", configuration_file].into())
}

fn configuration(ground: &Ground) -> String {
    let Ground { plain, tls, control, upstream, .. } = ground;
    format!(
        r#"[edge]
listen = ["{plain}"]
public_origins = ["https://edge.example"]
workers = 1
grace_period = "1s"
bounds.connections_per_address = 20000
[[edge.tls]]
listen = "{tls}"
certificates = [{{ cert = "site.pem", key = "site.key" }}]
[admin]
listen = "{control}"
token_file = "data/admin.tokens"
[rules]
source = "store"
store = {{ path = "data/rules.redb", seed = "seed.json" }}
[log]
level = "warn"
decisions = "off"
requests = "off"
audit = "data/audit.jsonl"
[upstreams.app]
servers = ["{upstream}"]
keepalive = 128
[[routes]]
path = "/w/{{widget}}/loader.js"
class = "asset"
upstream = "app"
missing = "deny"
[[routes]]
path = "/w/{{widget}}/assets/{{*rest}}"
class = "asset"
upstream = "app"
missing = "deny"
[[routes]]
path = "/w/{{widget}}/session"
class = "session"
upstream = "app"
"#
    )
}
