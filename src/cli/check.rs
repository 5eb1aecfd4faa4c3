//! `embedgate check`: everything that a start would read, without starting.

use std::process::ExitCode;

use serde::Serialize;

use super::output::{count, print};
use super::{CliError, Common};
use crate::app::{self, AppError};
use crate::config;
use crate::rules::error::RulesError;

#[derive(Debug, Serialize)]
struct Report {
    /// The configuration file.
    config: String,
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
            return write!(f, "{}: {faults}; the edge would not start", self.config);
        }
        write!(f, "{}: fine, {}", self.config, count(self.widgets, "widget"))?;
        self.rules.iter().try_for_each(|rules| write!(f, " in {rules}"))
    }
}

pub(super) fn run(common: &Common) -> Result<ExitCode, CliError> {
    let mut report = Report {
        config: common.config.display().to_string(),
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
    report.ok = report.faults.is_empty();
    print(common.json, &report)?;
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// An error that holds many faults prints one a line.
fn lines(error: &impl ToString) -> Vec<String> {
    error.to_string().lines().map(str::to_owned).collect()
}
