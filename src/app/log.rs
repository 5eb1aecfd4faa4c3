//! Settings of the logs, in the logs' own types.

use tracing_subscriber::filter::LevelFilter;

use crate::config::{LogLevel, LoggedDecisions};
use crate::telemetry::decision_log::Scope;

/// Scope of the decision log, by the settings.
pub fn decision_scope(log: LoggedDecisions) -> Scope {
    match log {
        LoggedDecisions::All => Scope::All,
        LoggedDecisions::Denied => Scope::Denied,
        LoggedDecisions::Off => Scope::Off,
    }
}

pub(super) fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
