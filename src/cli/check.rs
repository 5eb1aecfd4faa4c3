//! `embedgate check`: everything that a start would read, without starting.

use std::process::ExitCode;

use serde::Serialize;

use super::output::print;
use super::{CliError, Common};
use crate::app;
use crate::config;

#[derive(Debug, Serialize)]
struct Report {
    config: String,
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
        match self.ok {
            true => writeln!(f, "{}: fine, {} widgets", self.config, self.widgets),
            false => writeln!(f, "{}: it would not start with these faults", self.config),
        }
    }
}

pub(super) fn run(common: &Common) -> Result<ExitCode, CliError> {
    let mut report = Report {
        config: common.config.display().to_string(),
        ok: false,
        faults: Vec::new(),
        warnings: Vec::new(),
        widgets: 0,
    };
    match common.settings() {
        Err(CliError::Config(error)) => report.faults.extend(lines(&error)),
        Err(error) => return Err(error),
        Ok(settings) => {
            report.warnings.extend(settings.warnings.iter().map(ToString::to_string));
            report.warnings.extend(config::notices(&settings));
            report.faults.extend(app::faults(&settings).iter().flat_map(lines));
            match app::documents(&settings) {
                Ok(documents) => report.widgets = documents.len(),
                Err(error) => report.faults.extend(lines(&error)),
            }
        }
    }
    report.ok = report.faults.is_empty();
    print(common.json, &report, &report)?;
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// An error that holds many faults prints one a line.
fn lines(error: &impl ToString) -> Vec<String> {
    error.to_string().lines().map(str::to_owned).collect()
}
