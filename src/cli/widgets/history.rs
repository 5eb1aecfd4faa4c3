//! `embedgate widgets history`.

use std::fmt;
use std::process::ExitCode;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::OneWidget;
use crate::cli::output::print;
use crate::cli::remote::ApiAnswer;
use crate::cli::{CliError, Common};
use crate::rules::audit::in_words;

/// Last changes of a widget, newest first.
#[derive(Debug, Deserialize)]
struct ReceivedHistory {
    history: Vec<ReceivedChange>,
}

/// One change of a widget.
#[derive(Debug, Deserialize)]
struct ReceivedChange {
    revision: u64,
    at: Option<String>,
    actor: Option<String>,
    #[serde(default)]
    deleted: bool,
    /// What differs from the document before; `None` where that isn't kept, or there was none.
    changes: Option<Map<String, Value>>,
}

impl fmt::Display for ReceivedHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let actor = |change: &ReceivedChange| change.actor.clone().unwrap_or_else(|| "-".to_owned());
        let actors = self.history.iter().map(|change| actor(change).chars().count()).max().unwrap_or(0);
        let width = actors.max("ACTOR".len());
        write!(f, "{:>8}  {:20}  {:width$}  CHANGES", "REVISION", "TIME", "ACTOR")?;
        for (index, change) in self.history.iter().enumerate() {
            let at = change.at.as_deref().map_or_else(|| "-".to_owned(), seconds);
            write!(f, "\n{:>8}  {at:20}  {:width$}  ", change.revision, actor(change))?;
            let before = self.history.get(index + 1);
            f.write_str(&change.in_words(before))?;
        }
        Ok(())
    }
}

impl ReceivedChange {
    /// What it changed of what was there before, as far as that is kept.
    fn in_words(&self, before: Option<&Self>) -> String {
        match (&self.changes, before) {
            _ if self.deleted => "deleted".to_owned(),
            (Some(changes), _) => in_words(changes).join("; "),
            (None, Some(_)) => "brought back".to_owned(),
            (None, None) if self.revision == 1 => "created".to_owned(),
            (None, None) => "the oldest that is kept".to_owned(),
        }
    }
}

/// A time in whole seconds, which is as much as a person looks at.
fn seconds(at: &str) -> String {
    match at.split_once('.') {
        Some((whole, _)) => format!("{whole}Z"),
        None => at.to_owned(),
    }
}

pub(super) fn run(common: &Common, OneWidget { name, remote }: &OneWidget) -> Result<ExitCode, CliError> {
    let edge = remote.running(common)?;
    let history: ApiAnswer<ReceivedHistory> = edge.get(&name.path("/history"))?;
    print(common.json, &history)?;
    Ok(ExitCode::SUCCESS)
}
