//! `embedgate widgets disable`: the kill switch.

use std::fmt;
use std::process::ExitCode;

use serde::Deserialize;

use super::OneChange;
use super::received::ReceivedWidget;
use crate::cli::output::{note, print};
use crate::cli::remote::{ApiAnswer, RemoteCall};
use crate::cli::{CliError, Common, wait};

/// Answer to the kill switch.
#[derive(Debug, Deserialize)]
struct SwitchedOff {
    /// `None` where the edge can't read it.
    widget: Option<ReceivedWidget>,
    generation: u64,
    durable: bool,
    #[serde(default)]
    behind: Vec<String>,
}

impl fmt::Display for SwitchedOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { widget, generation, .. } = self;
        match widget {
            Some(ReceivedWidget { id, revision, .. }) => write!(
                f,
                "{id}: switched off (revision {revision}, in force as generation {generation}); `embedgate widgets revert \
                 {id} REVISION` with an earlier one switches it on again"
            ),
            None => {
                write!(f, "switched off (in force as generation {generation}); its document can't be read")
            }
        }
    }
}

pub(super) fn run(
    common: &Common,
    OneChange { name, wait, remote }: &OneChange,
) -> Result<ExitCode, CliError> {
    let edge = remote.running(common)?;
    let answer: ApiAnswer<SwitchedOff> =
        edge.call(&wait.apply_to(RemoteCall::post(name.path("/disable"))))?;
    let SwitchedOff { durable, behind, .. } = &answer.shown;
    if !durable {
        note(&format!(
            "WARNING: {id} is off, but the edge can't keep that yet: it would be on again after a restart, and other edges of \
             a fleet do not know of it. Make room on its disk, or bring the fleet's bucket back: it is kept as soon as that is \
             possible, and until then `not_kept` in GET /v1/status names it",
            id = name.id
        ));
    }
    print(common.json, &answer)?;
    // A fleet that was waited for does not know of it.
    let is_missing = !durable && wait.is_asked();
    let code = wait::exit_code(behind);
    Ok(if is_missing { ExitCode::FAILURE } else { code })
}
