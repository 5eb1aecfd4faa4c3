//! `embedgate reload`: a running edge reads its configuration again.

use std::fmt;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use super::output::print;
use super::remote::Remote;
use super::{CliError, Common};

/// What a reload has changed, as the edge tells it.
#[derive(Debug, Serialize, Deserialize)]
struct Reloaded {
    in_force: Vec<String>,
    needs_upgrade: Vec<String>,
}

impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.in_force.is_empty() && self.needs_upgrade.is_empty() {
            return f.write_str("nothing changed");
        }
        if !self.in_force.is_empty() {
            writeln!(f, "now in force: {}", self.in_force.join(", "))?;
        }
        if !self.needs_upgrade.is_empty() {
            let names = self.needs_upgrade.join(", ");
            writeln!(f, "changed, but needs `embedgate upgrade` or a restart: {names}")?;
        }
        Ok(())
    }
}

pub(super) fn run(common: &Common, remote: &Remote) -> Result<ExitCode, CliError> {
    let reloaded: Reloaded = remote.running(common)?.post("/v1/reload")?;
    print(common.json, &reloaded)?;
    Ok(ExitCode::SUCCESS)
}
