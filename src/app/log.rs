//! Logs of the process, by the settings.

use std::io;
use std::sync::Arc;

use tracing_subscriber::filter::LevelFilter;

use super::AppError;
use crate::config::{LogFormat, LogLevel, LogSettings, LoggedAddress, LoggedDecisions, LoggedRequests};
use crate::telemetry::decision_log::{DecisionLog, Scope};
use crate::telemetry::events::EventFeed;
use crate::telemetry::operational_log::{self, LevelHandle, LineForm};
use crate::telemetry::queue::{LogFlush, LogQueue};
use crate::telemetry::request_log::{AddressScope, RequestLog, RequestScope};

/// Logs of the process, which are there before everything else.
pub(super) struct Logs {
    pub(super) decisions: Arc<DecisionLog>,
    pub(super) requests: Arc<RequestLog>,
    pub(super) operational: LogQueue,
    pub(super) level: LevelHandle,
}

impl Logs {
    /// Starts them. `events`: where decisions are told, too.
    ///
    /// # Errors
    ///
    /// The process already has logs.
    pub(super) fn start(
        settings: &LogSettings,
        events: &Arc<EventFeed>,
    ) -> Result<(Self, LogFlush), AppError> {
        let (level, operational, flush) =
            operational_log::start(level(settings.level), form(settings.format))
                .map_err(|_| AppError::LogTaken)?;
        let (scope, most) = (decision_scope(settings.decisions), settings.decisions_per_second);
        let (decisions, of_decisions) = DecisionLog::start(scope, most, Arc::clone(events), io::stdout());
        let (scope, address) = (request_scope(settings.requests), address_scope(settings.client_address));
        let (requests, of_requests) =
            RequestLog::start(scope, address, settings.requests_per_second, io::stdout());
        let logs = Self { decisions: Arc::new(decisions), requests: Arc::new(requests), operational, level };
        Ok((logs, flush.and(of_decisions).and(of_requests)))
    }
}

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

fn form(format: LogFormat) -> LineForm {
    match format {
        LogFormat::Text => LineForm::Text,
        LogFormat::Json => LineForm::Json,
    }
}

pub(super) fn request_scope(log: LoggedRequests) -> RequestScope {
    match log {
        LoggedRequests::All => RequestScope::All,
        LoggedRequests::Errors => RequestScope::Errors,
        LoggedRequests::Off => RequestScope::Off,
    }
}

pub(super) fn address_scope(log: LoggedAddress) -> AddressScope {
    match log {
        LoggedAddress::Off => AddressScope::Off,
        LoggedAddress::Truncated => AddressScope::Truncated,
        LoggedAddress::Full => AddressScope::Full,
    }
}
