//! Answers of a running edge about widgets, as far as they are shown.

use std::fmt;
use std::process::ExitCode;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::cli::output::print;
use crate::cli::remote::ApiAnswer;
use crate::cli::{CliError, Common, wait};
use embedgate_policy::widget::{Access, Environment};

/// Number of lints that are shown.
const LINTS: usize = 5;

/// Widget document of a running edge, which may be of another version.
#[derive(Debug, Deserialize)]
pub(super) struct ReceivedWidget {
    pub(super) id: String,
    #[serde(default)]
    pub(super) environment: Environment,
    access: Option<Access>,
    #[serde(default = "yes")]
    pub(super) enabled: bool,
    #[serde(default)]
    allowed_domains: Vec<Value>,
    #[serde(default)]
    pub(super) revision: u64,
}

fn yes() -> bool {
    true
}

/// The text of an entry, which may be an object with more.
fn text(entry: &Value) -> Option<&str> {
    entry.as_str().or_else(|| entry["pattern"].as_str())
}

impl ReceivedWidget {
    /// The texts of the entries, in their order.
    pub(super) fn entries(&self) -> impl Iterator<Item = &str> {
        self.allowed_domains.iter().filter_map(text)
    }

    /// The texts of the entries that have not expired.
    pub(super) fn entries_in_force(&self, now: Timestamp) -> impl Iterator<Item = &str> {
        let has_expired = move |entry: &Value| {
            let at = entry["expires_at"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
            at.is_some_and(|at| at <= now)
        };
        let in_force = self.allowed_domains.iter().filter(move |entry| !has_expired(entry));
        in_force.filter_map(text)
    }

    /// The access in effect, where `policy.empty_allowlist` does not forbid it.
    pub(super) fn access(&self) -> Access {
        match self.access {
            Some(stated) => stated,
            None if self.allowed_domains.is_empty() => Access::Open,
            None => Access::Enforce,
        }
    }
}

/// Answer to a change of one widget.
#[derive(Debug, Deserialize)]
pub(super) struct ReceivedSave {
    pub(super) widget: ReceivedWidget,
    generation: u64,
    #[serde(default)]
    unrestricted: bool,
    #[serde(default)]
    lints: Vec<ReceivedLint>,
    /// The edges that do not enforce it yet, of those that were waited for.
    #[serde(default)]
    behind: Vec<String>,
}

/// Lint of a saved document.
#[derive(Debug, Deserialize)]
struct ReceivedLint {
    code: String,
    #[serde(default)]
    pointer: String,
    detail: String,
}

/// Change of one widget, in words.
#[derive(Debug)]
pub(super) struct ToldSave {
    /// What was done: `stranger.localhost may embed it`.
    pub(super) done: String,
    pub(super) received: ApiAnswer<ReceivedSave>,
}

impl ToldSave {
    /// Prints it, and ends the command.
    pub(super) fn print(&self, common: &Common) -> Result<ExitCode, CliError> {
        print(common.json, self)?;
        Ok(wait::exit_code(&self.received.shown.behind))
    }
}

impl Serialize for ToldSave {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.received.serialize(serializer)
    }
}

impl fmt::Display for ToldSave {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ReceivedSave { widget, generation, unrestricted, lints, .. } = &self.received.shown;
        let (id, revision) = (&widget.id, widget.revision);
        write!(f, "{id}: {} (revision {revision}, in force as generation {generation})", self.done)?;
        if *unrestricted {
            write!(
                f,
                "\n  any site may embed it now: `embedgate widgets allow {id} ENTRY` restricts it to a list"
            )?;
        }
        for ReceivedLint { code, pointer, detail } in lints.iter().take(LINTS) {
            write!(f, "\n  lint: {code}")?;
            if !pointer.is_empty() {
                write!(f, " {pointer}")?;
            }
            write!(f, ": {detail}")?;
        }
        match lints.len().saturating_sub(LINTS) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more: `embedgate lint` lists them"),
        }
    }
}
