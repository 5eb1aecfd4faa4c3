//! `[log]`.

use std::path::PathBuf;

use serde::Serialize;

use crate::config::scalar;
use crate::config::table::ConfigTable;

/// Settings of the three logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogSettings {
    /// Level of the operational log. Default: info.
    pub level: LogLevel,
    /// Which decisions are logged. Default: those denied.
    pub decisions: LoggedDecisions,
    /// Most lines of the decision log in a second; those past it are left out and summed up. `0` means any number.
    /// Default: 1,000.
    pub decisions_per_second: u32,
    /// File of the audit log. Default: `data/audit.jsonl`.
    pub audit: PathBuf,
}

/// Level of the operational log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// Errors.
    Error,
    /// Errors and warnings.
    Warn,
    /// Also information for operators.
    Info,
    /// Also information for developers.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The level's name in the configuration: `info`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Scope of the decision log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum LoggedDecisions {
    /// All decisions.
    All,
    /// Denials, and requests that `access: monitor` allowed and `enforce` would deny.
    Denied,
    /// No decisions.
    Off,
}

const DECISIONS: [(&str, LoggedDecisions); 3] =
    [("all", LoggedDecisions::All), ("denied", LoggedDecisions::Denied), ("off", LoggedDecisions::Off)];
/// Largest number of decisions in a second that can be configured.
const MOST_DECISIONS: usize = 10_000_000;

const LEVELS: [LogLevel; 6] =
    [LogLevel::Off, LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];

pub(super) fn read(table: &ConfigTable<'_>) -> LogSettings {
    LogSettings {
        level: table.or(
            "level",
            |item| item.choice(&LEVELS.map(|level| (level.as_str(), level))),
            LogLevel::Info,
        ),
        decisions: table.or("decisions", |item| item.choice(&DECISIONS), LoggedDecisions::Denied),
        decisions_per_second: table
            .or("decisions_per_second", |item| item.count(0, MOST_DECISIONS), 1_000)
            .try_into()
            .unwrap_or(u32::MAX),
        audit: table.or("audit", |item| item.text(scalar::path), "data/audit.jsonl".into()),
    }
}
