//! `embedgate check`: everything that a start would read, without starting; or how a running edge is doing.

use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use super::output::{count, print};
use super::remote::{Remote, RemoteEdge};
use super::{CliError, Common};
use crate::app::{self, AppError};
use crate::config;
use crate::rules::error::RulesError;

#[derive(Debug, Serialize)]
struct Report {
    /// The configuration file, or the running edge that was asked.
    config: String,
    #[serde(skip)]
    running: bool,
    /// The rules' file or folder, once the configuration could be read.
    rules: Option<String>,
    ok: bool,
    faults: Vec<String>,
    warnings: Vec<String>,
    widgets: usize,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for fault in &self.faults {
            writeln!(f, "fault: {fault}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        if !self.ok {
            let faults = count(self.faults.len(), "fault");
            let so = match self.running {
                true => "the last good rules stay in force",
                false => "the edge would not start",
            };
            return write!(f, "{}: {faults}; {so}", self.config);
        }
        write!(f, "{}: fine, {}", self.config, count(self.widgets, "widget"))?;
        self.rules.iter().try_for_each(|rules| write!(f, " in {rules}"))
    }
}

pub(super) fn run(common: &Common, remote: &Remote) -> Result<ExitCode, CliError> {
    let mut report = match remote.edge()? {
        Some(edge) => remotely(edge)?,
        None => locally(common)?,
    };
    report.ok = report.faults.is_empty();
    print(common.json, &report)?;
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a running edge says of itself, as far as it is told here.
#[derive(Deserialize)]
struct Status {
    widgets: Widgets,
    rules: Source,
}

#[derive(Deserialize)]
struct Widgets {
    total: usize,
}

#[derive(Deserialize)]
struct Source {
    source: String,
    name: String,
    last_error: Option<LastError>,
}

#[derive(Deserialize)]
struct LastError {
    at: String,
    detail: String,
}

/// Whether a running edge has the rules that its source has.
fn remotely(edge: RemoteEdge) -> Result<Report, CliError> {
    let status: Status = edge.get("/v1/status")?;
    let refused = status.rules.last_error.iter().flat_map(|error| {
        error.detail.lines().map(|line| format!("refused at {}: {line}", error.at)).collect::<Vec<_>>()
    });
    // Where rules come through the control plane, a refusal was its caller's to hear and left nothing behind.
    let (warnings, faults) = match status.rules.source.as_str() {
        "store" => (refused.collect(), Vec::new()),
        _ => (Vec::new(), refused.collect()),
    };
    Ok(Report {
        config: edge.url,
        running: true,
        rules: Some(status.rules.name),
        ok: false,
        faults,
        warnings,
        widgets: status.widgets.total,
    })
}

fn locally(common: &Common) -> Result<Report, CliError> {
    let mut report = Report {
        config: common.config.display().to_string(),
        running: false,
        rules: None,
        ok: false,
        faults: Vec::new(),
        warnings: Vec::new(),
        widgets: 0,
    };
    match common.settings() {
        Err(CliError::Config(error)) => report.faults.extend(lines(&error)),
        Err(error) => return Err(error),
        Ok(settings) => {
            report.rules = Some(app::rules_path(&settings).display().to_string());
            report.warnings.extend(settings.warnings.iter().map(ToString::to_string));
            report.warnings.extend(config::notices(&settings));
            report.faults.extend(app::faults(&settings).iter().flat_map(lines));
            match app::documents(&settings) {
                Ok(documents) => report.widgets = documents.len(),
                // That is a running edge, most likely this one; its rules were checked when they were saved.
                Err(AppError::Rules(error @ RulesError::StoreLocked { .. })) => {
                    report.warnings.push(format!("the widgets are not checked: {error}"));
                }
                Err(AppError::Rules(error)) => report.faults.extend(lines(&error)),
                Err(error) => report.faults.extend(lines(&error)),
            }
            // A suffix list that can't be read is in the way of both.
            report.faults.dedup();
        }
    }
    Ok(report)
}

/// An error that holds many faults prints one a line.
fn lines(error: &impl ToString) -> Vec<String> {
    error.to_string().lines().map(str::to_owned).collect()
}
