//! `embedgate explain --decision`: what was decided under an id that somebody was shown, and what the rules say now.

use std::process::ExitCode;

use crate::cli::output::print;
use crate::cli::remote::{ApiAnswer, Remote};
use crate::cli::{CliError, Common};
use embedgate_policy::explain::DecisionAnswer;
use embedgate_policy::verdict::Verdict;

/// Asks the running edge, and says what the rules decide now.
pub(super) fn run(common: &Common, remote: &Remote, id: &str) -> Result<ExitCode, CliError> {
    let edge = remote.running(common)?;
    let id = percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC);
    let answer: ApiAnswer<DecisionAnswer> = edge.get(&format!("/v1/decisions/{id}"))?;
    print(common.json, &answer)?;
    let is_allowed = answer.shown.now.is_some_and(|now| now.verdict == Verdict::Allow);
    Ok(if is_allowed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
