//! `embedgate apply`: a running edge reads its rules file again and puts it in force.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use super::output::print;
use super::remote::{ApiAnswer, Remote, RemoteCall};
use super::{CliError, Common};

/// Time for the edge to read and compare a large rules file.
const PATIENCE: Duration = Duration::from_secs(300);

/// Arguments of `embedgate apply`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  embedgate apply --confirm 250\n\nThe edge takes edits of its rules file by itself. It \
                        holds one that would delete, disable, restrict or open many widgets at once, until it is \
                        confirmed: its log and `embedgate check --admin URL` say by which number."
)]
pub(super) struct ApplyArguments {
    /// Confirm a change of many widgets at once: the most widgets that it may touch.
    #[arg(long, value_name = "N")]
    confirm: Option<usize>,
    #[command(flatten)]
    remote: Remote,
}

/// What the edge has put in force, and how many widgets were touched in which way.
#[derive(Debug, Deserialize)]
struct PutInForce {
    generation: u64,
    created: usize,
    updated: usize,
    deleted: usize,
    unchanged: usize,
}

impl fmt::Display for PutInForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { generation, created, updated, deleted, unchanged } = self;
        write!(
            f,
            "the rules file is in force as generation {generation}: {created} new, {updated} changed, "
        )?;
        write!(f, "{deleted} deleted, {unchanged} unchanged")
    }
}

pub(super) fn run(
    common: &Common,
    ApplyArguments { confirm, remote }: &ApplyArguments,
) -> Result<ExitCode, CliError> {
    let edge = remote.running(common)?;
    let query = confirm.map(|most| format!("?confirm={most}")).unwrap_or_default();
    let call = RemoteCall::post(format!("/v1/rules/apply{query}")).patient(PATIENCE);
    let applied: ApiAnswer<PutInForce> = edge.call(&call)?;
    print(common.json, &applied)?;
    Ok(ExitCode::SUCCESS)
}
