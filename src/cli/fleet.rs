//! `embedgate fleet`: the edges that share their rules, and what an operator decides about their bucket.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use super::output::{count, print};
use super::remote::{ApiAnswer, Remote, RemoteCall};
use super::{CliError, Common};

mod status;

/// Time for an edge to compare its widgets with a large bucket, and to fill it.
const PATIENCE: Duration = Duration::from_secs(600);

/// Subcommands of `embedgate fleet`.
#[derive(Debug, Subcommand)]
pub(super) enum FleetCommand {
    /// List the edges: what each enforces, how old its rules are, and what is wrong. Ends with 1 if something is.
    #[command(
        after_help = "STATE is `current` where an edge enforces everything, `behind` where it will soon, `fault` where it keeps \
                      its rules because the bucket is not the one that it has followed, `silent` where it does not answer and \
                      saves wait for it, and `stale` where it has been silent for longer than its policy.max_staleness: it \
                      denies by itself, and nobody waits for it."
    )]
    Status(status::StatusArguments),
    /// Fill the bucket again from the edge that is asked, deletions included, and have the whole fleet follow it. Refused if a
    /// live edge is ahead of that one.
    Restore(Remote),
    /// Have the whole fleet follow the bucket as it is. Widgets that it lacks are gone then.
    Accept(AcceptArguments),
    /// Wait no longer for an edge that is gone for good. It counts again when it comes back.
    #[command(after_help = "Example:\n  embedgate fleet forget edge-3")]
    Forget(ForgetArguments),
}

/// Fault of the bucket, as an edge reports it.
#[derive(Debug, Deserialize)]
pub(super) struct ReportedFault {
    pub(super) code: String,
    pub(super) detail: String,
    pub(super) since: String,
}

/// Arguments of `embedgate fleet accept`.
#[derive(Args, Debug)]
pub(super) struct AcceptArguments {
    /// Confirm the number of widgets that it touches on the edge that is asked: at most this number. Left out: nothing
    /// happens, and the error tells the number.
    #[arg(long, value_name = "N")]
    confirm: Option<usize>,
    #[command(flatten)]
    remote: Remote,
}

/// Arguments of `embedgate fleet forget`.
#[derive(Args, Debug)]
pub(super) struct ForgetArguments {
    /// The edge, as `embedgate fleet status` names it.
    #[arg(value_name = "NAME")]
    edge: String,
    #[command(flatten)]
    remote: Remote,
}

/// Answer to a restore.
#[derive(Debug, Deserialize)]
struct FilledBucket {
    written: usize,
    unchanged: usize,
    sequence: u64,
}

impl fmt::Display for FilledBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { written, unchanged, sequence } = self;
        let written = count(*written, "widget");
        let were = if *unchanged == 1 { "was" } else { "were" };
        write!(
            f,
            "{written} written to the bucket, deletions included, {unchanged} {were} there; the fleet follows it "
        )?;
        write!(f, "up to message {sequence}: `embedgate fleet status` tells when all edges do")
    }
}

/// Answer to an acceptance.
#[derive(Debug, Deserialize)]
struct FollowedBucket {
    touched: usize,
    sequence: u64,
}

impl fmt::Display for FollowedBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { touched, sequence } = self;
        let touched = count(*touched, "widget");
        write!(
            f,
            "the fleet follows the bucket as it is, up to message {sequence}; that changes {touched} on the edge "
        )?;
        f.write_str("that was asked: `embedgate fleet status` tells when all edges have followed")
    }
}

/// Answer about an edge that is forgotten.
#[derive(Debug, Deserialize)]
struct Forgotten {
    edge: String,
}

impl fmt::Display for Forgotten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: forgotten; saves no longer wait for it, until it announces itself again", self.edge)
    }
}

pub(super) fn run(common: &Common, command: &FleetCommand) -> Result<ExitCode, CliError> {
    match command {
        FleetCommand::Status(arguments) => return status::run(common, arguments),
        FleetCommand::Restore(remote) => {
            let call = RemoteCall::post("/v1/fleet/restore").patient(PATIENCE);
            let filled: ApiAnswer<FilledBucket> = remote.running(common)?.call(&call)?;
            print(common.json, &filled)?;
        }
        FleetCommand::Accept(AcceptArguments { confirm, remote }) => {
            let query = confirm.map(|most| format!("?confirm={most}")).unwrap_or_default();
            let call = RemoteCall::post(format!("/v1/fleet/accept{query}")).patient(PATIENCE);
            let followed: ApiAnswer<FollowedBucket> = remote.running(common)?.call(&call)?;
            print(common.json, &followed)?;
        }
        FleetCommand::Forget(ForgetArguments { edge, remote }) => {
            let call = RemoteCall::post("/v1/fleet/forget").json(&json!({ "edge": edge }));
            let forgotten: ApiAnswer<Forgotten> = remote.running(common)?.call(&call)?;
            print(common.json, &forgotten)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
