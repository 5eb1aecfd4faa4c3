//! `embedgate check`: a dry run of everything that a start would read, or the state of a running edge.

use std::process::ExitCode;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fleet::ReportedFault;
use super::output::{count, print};
use super::remote::{Remote, RemoteEdge};
use super::{CliError, Common, configured};
use crate::app::{self, AppError};
use crate::config::{Settings, WidgetPlace};
use crate::rules::error::{RulesError, StoreError};
use embedgate_policy::widget::WidgetId;

#[derive(Debug, Serialize)]
struct CheckReport {
    /// The configuration file, or the running edge that was asked.
    config: String,
    #[serde(skip)]
    running: bool,
    /// The rules' file or folder, once the configuration could be read.
    rules: Option<String>,
    ok: bool,
    faults: Vec<String>,
    warnings: Vec<String>,
    /// How many there are; `None` where they were not checked.
    widgets: Option<usize>,
}

impl std::fmt::Display for CheckReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for fault in &self.faults {
            writeln!(f, "error: {fault}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        if !self.faults.is_empty() {
            let faults = count(self.faults.len(), "error");
            let so = match self.running {
                true => "the last good rules stay in force",
                false => "the edge would not start",
            };
            return write!(f, "{}: {faults}; {so}", self.config);
        }
        let rules = self.rules.as_deref().unwrap_or_default();
        match self.widgets {
            None => write!(f, "{}: no errors, but the widgets in {rules} were not checked", self.config),
            Some(widgets) => write!(f, "{}: fine, {} in {rules}", self.config, count(widgets, "widget")),
        }
    }
}

pub(super) fn run(common: &Common, remote: &Remote) -> Result<ExitCode, CliError> {
    let (mut report, unasked) = match remote.edge(common)? {
        Some(edge) => (remotely(edge)?, None),
        None => locally(common, remote)?,
    };
    report.ok = report.faults.is_empty() && unasked.is_none();
    print(common.json, &report)?;
    Ok(match unasked {
        _ if report.ok => ExitCode::SUCCESS,
        // What was not checked may have errors, too: those that were found come first.
        Some(unasked) if report.faults.is_empty() => unasked.exit_code(),
        _ => ExitCode::FAILURE,
    })
}

/// Answer of `GET /v1/status`, as far as it is shown here.
#[derive(Deserialize)]
struct ReportedStatus {
    widgets: ReportedWidgets,
    rules: ReportedSource,
    fleet: Option<ReportedConnection>,
}

/// Connection of an edge to the bucket of its fleet.
#[derive(Deserialize)]
struct ReportedConnection {
    bucket: String,
    connected: bool,
    fault: Option<ReportedFault>,
}

#[derive(Deserialize)]
struct ReportedWidgets {
    total: usize,
}

#[derive(Deserialize)]
struct ReportedSource {
    source: String,
    name: String,
    last_error: Option<ReportedError>,
}

#[derive(Deserialize)]
struct ReportedError {
    at: String,
    detail: String,
}

/// Checks whether a running edge has the rules that its source has.
fn remotely(edge: RemoteEdge) -> Result<CheckReport, CliError> {
    let status: ReportedStatus = edge.get("/v1/status")?;
    let fault = status.fleet.as_ref().and_then(|fleet| fleet.fault.as_ref());
    // A fault of the bucket is told once.
    let refusal = status.rules.last_error.as_ref();
    let refusal = refusal.filter(|error| fault.is_none_or(|fault| fault.detail != error.detail));
    let refused = refusal.iter().flat_map(|error| {
        error.detail.lines().map(|line| format!("refused at {}: {line}", error.at)).collect::<Vec<_>>()
    });
    // The admin API reports a refusal to its caller, so with a store or a bucket it is only worth a warning here.
    let (mut warnings, mut faults) = match status.rules.source.as_str() {
        "store" | "nats" => (refused.collect(), Vec::new()),
        _ => (Vec::new(), refused.collect()),
    };
    match status.fleet {
        Some(ReportedConnection { bucket, fault: Some(ReportedFault { code, detail, since }), .. }) => {
            faults
                .push(format!("the bucket {bucket} has not been followed since {since} ({code}): {detail}"));
        }
        Some(ReportedConnection { bucket, connected: false, .. }) => {
            warnings.push(format!("the bucket {bucket} can't be reached"));
        }
        Some(_) | None => {}
    }
    Ok(CheckReport {
        config: edge.url,
        running: true,
        rules: Some(status.rules.name),
        ok: false,
        faults,
        warnings,
        widgets: Some(status.widgets.total),
    })
}

/// Checks the configuration. The error is of the running edge, which has the store open and could not be asked.
fn locally(common: &Common, remote: &Remote) -> Result<(CheckReport, Option<CliError>), CliError> {
    let mut unasked = None;
    let mut report = CheckReport {
        config: common.config.display().to_string(),
        running: false,
        rules: None,
        ok: false,
        faults: Vec::new(),
        warnings: Vec::new(),
        widgets: None,
    };
    match common.settings() {
        Err(CliError::Config(error)) => report.faults.extend(lines(&error)),
        Err(error) => return Err(error),
        Ok(settings) => {
            report.rules = app::rules_location(&settings).ok();
            let (found, more) = app::warned(|| app::findings(&settings, Timestamp::now()));
            report.faults.extend(found.faults.iter().flat_map(lines));
            let read_rules = !found.keep_rules_from_being_read();
            let (documents, more_of_rules) = app::warned(|| read_rules.then(|| app::documents(&settings)));
            for warnings in [found.warnings, more, more_of_rules] {
                report.warnings.extend(warnings);
            }
            match documents {
                None => {}
                Some(Ok(documents)) => {
                    report.widgets = Some(documents.len());
                    let is_there = |id: &WidgetId| documents.iter().any(|widget| widget.id == *id);
                    report.warnings.extend(missing_widgets(&settings, is_there));
                    report.warnings.extend(app::rules_concerns(&settings));
                }
                // Most likely this edge is running. It checked its rules when they were saved.
                Some(Err(AppError::Rules(error @ RulesError::Store(StoreError::Locked { .. })))) => {
                    if let Err(why) = ask_running(&mut report, remote, &settings) {
                        report.warnings.push(format!("the widgets were not checked: {error}"));
                        report.warnings.push(why.to_string());
                        unasked = Some(why);
                    }
                }
                Some(Err(AppError::Rules(error))) => report.faults.extend(lines(&error)),
                Some(Err(error)) => report.faults.extend(lines(&error)),
            }
        }
    }
    Ok((report, unasked))
}

/// Has the running edge, which has the store open, say what it has in force.
fn ask_running(report: &mut CheckReport, remote: &Remote, settings: &Settings) -> Result<(), CliError> {
    let edge = configured::who_has_the_store(remote, settings)?;
    let unknown = |id: &WidgetId| {
        let asked: Result<Value, _> = edge.get(&format!("/v1/widgets/{id}"));
        asked.is_err_and(|error| error.has_code("unknown_widget"))
    };
    let missing = missing_widgets(settings, |id| !unknown(id));
    let CheckReport { faults, warnings, widgets, .. } = remotely(edge)?;
    // Of a configuration in order, these are the only ones.
    report.running = report.faults.is_empty();
    report.faults.extend(faults);
    report.warnings.extend(warnings);
    report.warnings.extend(missing);
    report.widgets = widgets;
    Ok(())
}

/// Warnings about routes for one widget alone that is not there.
fn missing_widgets(settings: &Settings, is_there: impl Fn(&WidgetId) -> bool) -> Vec<String> {
    let fixed = settings.routes.iter().filter_map(|route| match &route.widget {
        WidgetPlace::Fixed(id) => Some((&route.path, id)),
        WidgetPlace::Path | WidgetPlace::Host | WidgetPlace::Query(_) => None,
    });
    let missing = fixed.filter(|(_, id)| !is_there(id));
    missing
        .map(|(path, id)| format!("routes.widget: there is no widget '{id}', for which alone {path} is"))
        .collect()
}

/// The lines of an error: one that holds many faults prints one per line.
fn lines(error: &impl ToString) -> Vec<String> {
    error.to_string().lines().map(str::to_owned).collect()
}
