//! `[log]`.

use std::path::PathBuf;

use serde::Serialize;

use crate::config::scalar;
use crate::config::table::ConfigTable;

/// Settings of the logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogSettings {
    /// Level of the operational log. Default: info.
    pub level: LogLevel,
    /// Which decisions are logged. Default: those denied.
    pub decisions: LoggedDecisions,
    /// Most lines of the decision log in a second; those past it are left out and summed up. `0` means any number.
    /// Default: 1,000.
    pub decisions_per_second: u32,
    /// Form of the operational log. Default: text.
    pub format: LogFormat,
    /// Which requests have a line. Default: those that failed.
    pub requests: LoggedRequests,
    /// Most lines of the request log in a second; those past it are left out and summed up. `0` means any number.
    /// Default: 1,000.
    pub requests_per_second: u32,
    /// What the lines of requests say of the client's address. Default: nothing.
    pub client_address: LoggedAddress,
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

/// Form of the operational log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Scope of the request log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum LoggedRequests {
    /// All requests.
    All,
    /// Those that were refused or failed, status 400 and above, and answers that broke off.
    Errors,
    /// No requests.
    Off,
}

/// What the request log says of the client's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum LoggedAddress {
    /// Nothing.
    Off,
    /// Its network: the first 24 bits of an IPv4 address, the first 48 of an IPv6 address.
    Truncated,
    /// All of it.
    Full,
}

const FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];
const REQUESTS: [(&str, LoggedRequests); 3] =
    [("all", LoggedRequests::All), ("errors", LoggedRequests::Errors), ("off", LoggedRequests::Off)];
const ADDRESSES: [(&str, LoggedAddress); 3] =
    [("off", LoggedAddress::Off), ("truncated", LoggedAddress::Truncated), ("full", LoggedAddress::Full)];
const DECISIONS: [(&str, LoggedDecisions); 3] =
    [("all", LoggedDecisions::All), ("denied", LoggedDecisions::Denied), ("off", LoggedDecisions::Off)];
/// Largest number of lines in a second that can be configured, and the usual one.
const MOST_LINES: usize = 10_000_000;
const USUAL_LINES: usize = 1_000;

const LEVELS: [LogLevel; 6] =
    [LogLevel::Off, LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];

pub(super) fn read(table: &ConfigTable<'_>) -> LogSettings {
    let lines = |key| {
        let most = table.or(key, |item| item.count(0, MOST_LINES), USUAL_LINES);
        most.try_into().unwrap_or(u32::MAX)
    };
    LogSettings {
        level: table.or(
            "level",
            |item| item.choice(&LEVELS.map(|level| (level.as_str(), level))),
            LogLevel::Info,
        ),
        decisions: table.or("decisions", |item| item.choice(&DECISIONS), LoggedDecisions::Denied),
        decisions_per_second: lines("decisions_per_second"),
        format: table.or("format", |item| item.choice(&FORMATS), LogFormat::Text),
        requests: table.or("requests", |item| item.choice(&REQUESTS), LoggedRequests::Errors),
        requests_per_second: lines("requests_per_second"),
        client_address: table.or("client_address", |item| item.choice(&ADDRESSES), LoggedAddress::Off),
        audit: table.or("audit", |item| item.text(scalar::path), "data/audit.jsonl".into()),
    }
}
