//! `embedgate lint`: what the rules allow but probably should not.

use std::collections::BTreeSet;
use std::process::ExitCode;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::activity::note_missing;
use super::output::{count, print};
use super::remote::{Remote, RemoteEdge};
use super::{CliError, Common, configured};
use crate::app;
use crate::config::Settings;
use embedgate_policy::lint::{Finding, Severity, lint};
use embedgate_policy::widget::WidgetId;

#[derive(Debug, Serialize)]
struct LintReport {
    findings: Vec<ReceivedFinding>,
    widgets: usize,
}

/// A [`Finding`] with its widget, as computed here or received from a running edge.
#[derive(Debug, Serialize, Deserialize)]
struct ReceivedFinding {
    widget: String,
    code: String,
    severity: Severity,
    pointer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<String>,
    detail: String,
}

impl ReceivedFinding {
    fn new(widget: &WidgetId, Finding { code, severity, pointer, entry, detail }: Finding) -> Self {
        Self { widget: widget.to_string(), code: code.to_owned(), severity, pointer, entry, detail }
    }
}

impl std::fmt::Display for ReceivedFinding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { widget, code, severity, pointer, detail, .. } = self;
        write!(f, "{widget}: {} {code} {pointer}: {detail}", severity.as_str())
    }
}

impl std::fmt::Display for LintReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for found in &self.findings {
            writeln!(f, "{found}")?;
        }
        write!(f, "{} in {}", count(self.findings.len(), "finding"), count(self.widgets, "widget"))
    }
}

pub(super) fn run(common: &Common, remote: &Remote) -> Result<ExitCode, CliError> {
    let report = configured::answer(common, remote, locally, remotely)?;
    print(common.json, &report)?;
    Ok(if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One page of a running edge's findings.
#[derive(Deserialize)]
struct FindingsPage {
    findings: Vec<ReceivedFinding>,
    widgets: usize,
    next: Option<String>,
    /// Edges of a fleet that did not tell which entries they have seen used.
    #[serde(default)]
    missing: Vec<String>,
}

fn remotely(edge: &RemoteEdge) -> Result<LintReport, CliError> {
    let mut report = LintReport { findings: Vec::new(), widgets: 0 };
    let (mut after, mut missing) = (String::new(), BTreeSet::new());
    loop {
        let page: FindingsPage = edge.get(&format!("/v1/lint?limit=10000{after}"))?;
        report.findings.extend(page.findings);
        report.widgets += page.widgets;
        missing.extend(page.missing);
        match page.next {
            // An id needs no escaping in a query.
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    note_missing(&Vec::from_iter(missing));
    Ok(report)
}

fn locally(settings: &Settings) -> Result<LintReport, CliError> {
    let mut documents = app::documents(settings)?;
    documents.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    let (policy, suffixes) = (app::edge_policy(settings), app::public_suffixes(settings)?);
    let now = Timestamp::now();
    let findings = documents.iter().flat_map(|widget| {
        let found = lint(widget, &policy, &suffixes, now).into_iter();
        found.map(|finding| ReceivedFinding::new(&widget.id, finding))
    });
    let findings: Vec<ReceivedFinding> = findings.collect();
    Ok(LintReport { findings, widgets: documents.len() })
}
