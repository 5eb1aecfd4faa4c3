//! `embedgate lint`: what the rules allow but hardly mean.

use std::process::ExitCode;

use jiff::Timestamp;
use serde::Serialize;

use super::output::{count, print};
use super::{CliError, Common};
use crate::app;
use crate::policy::lint::{Finding, lint};

#[derive(Debug, Serialize)]
struct Report {
    findings: Vec<Found>,
    widgets: usize,
}

#[derive(Debug, Serialize)]
struct Found {
    widget: String,
    #[serde(flatten)]
    finding: Finding,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for Found { widget, finding } in &self.findings {
            writeln!(f, "{widget}: {finding}")?;
        }
        write!(f, "{} in {}", count(self.findings.len(), "finding"), count(self.widgets, "widget"))
    }
}

pub(super) fn run(common: &Common) -> Result<ExitCode, CliError> {
    let settings = common.settings()?;
    let documents = app::documents(&settings)?;
    let (policy, suffixes) = (app::edge_policy(&settings), app::public_suffixes(&settings)?);
    let now = Timestamp::now();
    let findings = documents.iter().flat_map(|widget| {
        let found = lint(widget, &policy, &suffixes, now).into_iter();
        found.map(|finding| Found { widget: widget.id.to_string(), finding })
    });
    let findings: Vec<Found> = findings.collect();
    let report = Report { findings, widgets: documents.len() };
    print(common.json, &report)?;
    Ok(if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
