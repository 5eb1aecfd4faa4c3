//! `embedgate explain --decision`: what was decided under an id that somebody was shown, and what the rules say now.

use std::fmt;
use std::process::ExitCode;

use jiff::Timestamp;
use serde::Deserialize;

use crate::cli::output::print;
use crate::cli::remote::{ApiAnswer, Remote};
use crate::cli::{CliError, Common};
use embedgate_policy::explain::{AskedBy, Explanation};
use embedgate_policy::verdict::{Class, Reason, Verdict};

/// Decision, as a running edge tells it.
#[derive(Debug, Deserialize)]
struct ReceivedDecision {
    decision: ReceivedThen,
    now: Option<Explanation>,
}

#[derive(Debug, Deserialize)]
struct ReceivedThen {
    time: Timestamp,
    status: u16,
    method: Option<String>,
    trace_id: Option<String>,
    refused: Option<String>,
    judged: Option<ReceivedVerdict>,
}

#[derive(Debug, Deserialize)]
struct ReceivedVerdict {
    widget: Option<String>,
    class: Class,
    verdict: Verdict,
    reason: Reason,
    would_deny: Option<Reason>,
    embedder: AskedBy,
    opened_by: Option<String>,
    ticket_fault: Option<String>,
    near_miss: Option<String>,
    failure: Option<ReceivedFailure>,
}

#[derive(Debug, Deserialize)]
struct ReceivedFailure {
    upstream: String,
    kind: String,
}

/// Asks the running edge, and says what the rules decide now.
pub(super) fn run(common: &Common, remote: &Remote, id: &str) -> Result<ExitCode, CliError> {
    let edge = remote.running(common)?;
    let id = percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC);
    let answer: ApiAnswer<ReceivedDecision> = edge.get(&format!("/v1/decisions/{id}"))?;
    print(common.json, &answer)?;
    let is_allowed = answer.shown.now.is_some_and(|now| now.verdict == Verdict::Allow);
    Ok(if is_allowed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl fmt::Display for ReceivedDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.decision)?;
        match &self.now {
            Some(now) => write!(f, "\nnow: {now}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for ReceivedThen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { time, status, method, trace_id, refused, judged } = self;
        write!(f, "{time:.6}: ")?;
        if let Some(method) = method {
            write!(f, "{method}, ")?;
        }
        write!(f, "answered with {status}")?;
        if let Some(refused) = refused {
            write!(f, "\n  refused before a verdict: {refused}")?;
        }
        if let Some(judged) = judged {
            write!(f, "\n{judged}")?;
        }
        match trace_id {
            Some(trace_id) => write!(f, "\n  trace {trace_id}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for ReceivedVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "  {} ({}), widget {}",
            self.verdict,
            self.reason,
            self.widget.as_deref().unwrap_or("unknown")
        )?;
        write!(f, ", class {}, embedder {}", self.class, self.embedder)?;
        for (what, value) in [
            ("opened by", self.opened_by.as_deref()),
            ("invalid ticket", self.ticket_fault.as_deref()),
            ("would deny", self.would_deny.map(Reason::as_str)),
            ("near miss", self.near_miss.as_deref()),
        ] {
            if let Some(value) = value {
                write!(f, "\n  {what}: {value}")?;
            }
        }
        match &self.failure {
            Some(ReceivedFailure { upstream, kind }) => write!(f, "\n  upstream {upstream} failed: {kind}"),
            None => Ok(()),
        }
    }
}
