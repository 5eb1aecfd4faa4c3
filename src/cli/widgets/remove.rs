//! `embedgate widgets delete`.

use std::fmt;
use std::process::ExitCode;

use serde::Deserialize;

use super::OneChange;
use crate::cli::output::print;
use crate::cli::remote::{ApiAnswer, RemoteCall};
use crate::cli::{CliError, Common, wait};

/// Answer to a deletion.
#[derive(Debug, Deserialize)]
struct ReceivedDeletion {
    id: String,
    revision: u64,
    generation: u64,
    #[serde(default)]
    behind: Vec<String>,
}

impl fmt::Display for ReceivedDeletion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, revision, generation, behind: _ } = self;
        write!(
            f,
            "{id}: deleted (revision {revision}, in force as generation {generation}); `embedgate widgets history {id}` \
             lists the revisions that `revert` brings back"
        )
    }
}

pub(super) fn run(
    common: &Common,
    OneChange { name, wait, remote }: &OneChange,
) -> Result<ExitCode, CliError> {
    let edge = remote.running(common)?;
    let received: ApiAnswer<ReceivedDeletion> =
        edge.call(&wait.apply_to(RemoteCall::delete(name.path(""))))?;
    print(common.json, &received)?;
    Ok(wait::exit_code(&received.shown.behind))
}
