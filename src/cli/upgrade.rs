//! `embedgate upgrade`: the running edge hands over to a new process of the program that is now at its path.

use std::fmt;
use std::process::ExitCode;

use serde::Serialize;

use super::output::print;
use super::{CliError, Common};
use crate::app::{self, RequestFault, Upgraded};

/// Process that serves now.
#[derive(Debug, Serialize)]
struct TakenOver {
    pid: u32,
    version: String,
}

impl fmt::Display for TakenOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, version } = self;
        write!(f, "process {pid} (version {version}) has taken over")
    }
}

pub(super) fn run(common: &Common) -> Result<ExitCode, CliError> {
    let path = common.settings()?.edge.upgrade_socket;
    let named = path.display().to_string();
    let Upgraded { pid, version } = app::request_upgrade(&path).map_err(|fault| match fault {
        RequestFault::Failed(detail) => CliError::NotUpgraded(detail),
        fault => CliError::Unreachable { url: named, detail: fault.to_string() },
    })?;
    print(common.json, &TakenOver { pid, version })?;
    Ok(ExitCode::SUCCESS)
}
