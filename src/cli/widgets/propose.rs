//! `embedgate widgets propose`: a draft of a widget's list by what was seen.

use std::fmt;
use std::process::ExitCode;

use serde::Deserialize;
use serde_json::Value;

use super::OneWidget;
use crate::cli::activity::{ReceivedSite, note_missing};
use crate::cli::output::{note, print};
use crate::cli::remote::{ApiAnswer, RemoteCall};
use crate::cli::{CliError, Common};

/// Proposal, as far as it is shown.
#[derive(Debug, Deserialize)]
struct ReceivedProposal {
    draft: Value,
    summary: String,
    caution: String,
    #[serde(default)]
    missing: Vec<String>,
    sites: Vec<ReceivedStanding>,
    #[serde(default)]
    not_proposed: Vec<ReceivedLeftOut>,
}

#[derive(Debug, Deserialize)]
struct ReceivedStanding {
    standing: String,
    #[serde(flatten)]
    site: ReceivedSite,
}

#[derive(Debug, Deserialize)]
struct ReceivedLeftOut {
    why: String,
    #[serde(flatten)]
    site: ReceivedSite,
}

/// The draft alone, so that it can be edited and put.
impl fmt::Display for ReceivedProposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match serde_json::to_string_pretty(&self.draft) {
            Ok(draft) => f.write_str(&draft),
            Err(_) => Err(fmt::Error),
        }
    }
}

impl ReceivedProposal {
    /// What the draft was made of, line by line.
    fn notes(&self) -> impl Iterator<Item = String> {
        let seen = |site: &ReceivedSite| {
            format!("{} ({}, last {})", site.origin, site.requests_in_words(), site.last())
        };
        let stands = move |ReceivedStanding { standing, site }: &ReceivedStanding| match standing.as_str() {
            // What is on the list is in the draft.
            "listed" => None,
            "added" => Some(format!("added: {}", seen(site))),
            "removed" => Some(format!("not added, as its entry was taken off: {}", seen(site))),
            "refused" => Some(format!("not added, as it was only refused: {}", seen(site))),
            "unverified" => Some(format!(
                "not added, as only browsers' reports name it, as a page around yours: {}",
                site.origin
            )),
            other => Some(format!("{other}: {}", seen(site))),
        };
        let left_out = move |ReceivedLeftOut { why, site }: &ReceivedLeftOut| {
            format!("not added: {}: {why}", seen(site))
        };
        let sites = self.sites.iter().filter_map(stands);
        sites
            .chain(self.not_proposed.iter().map(left_out))
            .chain([self.summary.clone(), self.caution.clone()])
    }
}

pub(super) fn run(common: &Common, OneWidget { name, remote }: &OneWidget) -> Result<ExitCode, CliError> {
    let edge = remote.running(common)?;
    let answer: ApiAnswer<ReceivedProposal> = edge.call(&RemoteCall::question(name.path("/propose")))?;
    print(common.json, &answer)?;
    if !common.json {
        answer.shown.notes().for_each(|text| note(&text));
        note_missing(&answer.shown.missing);
    }
    Ok(ExitCode::SUCCESS)
}
