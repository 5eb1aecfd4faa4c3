//! How the source of the rules is doing, for people who ask.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::error::RulesError;
use super::source::SourceKind;

/// How many faults of one refusal are kept and logged; the rest is counted.
pub const FAULTS_SHOWN: usize = 20;

/// The state of the source, as `/v1/status` tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SourceStatus {
    /// Which kind of source.
    pub source: SourceKind,
    /// Which one: a path, a bucket.
    pub name: String,
    /// When it last gave rules that could be taken, changed or not.
    pub last_applied_at: Option<Timestamp>,
    /// The refusal that stands: the source says something that isn't in force. Gone with the next update that
    /// can be taken.
    pub last_error: Option<LastError>,
}

/// A refusal, remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LastError {
    /// When.
    pub at: Timestamp,
    /// When the first of those refusals was that no good update has followed yet.
    pub since: Timestamp,
    /// Its stable code.
    pub code: &'static str,
    /// What is wrong, a line each, at most [`FAULTS_SHOWN`].
    pub detail: String,
}

impl SourceStatus {
    /// A source that hasn't said anything yet.
    pub fn new(source: SourceKind, name: impl Into<String>) -> Self {
        Self { source, name: name.into(), last_applied_at: None, last_error: None }
    }

    /// Whether the source could be reached when it was last asked.
    pub fn is_connected(&self) -> bool {
        !self.last_error.as_ref().is_some_and(|error| ["unreadable", "no_rules_files"].contains(&error.code))
    }

    /// For how long the source has had something that isn't in force. A refused call is its caller's business:
    /// where rules are written through the control plane there is no lag.
    pub fn lag(&self, now: Timestamp) -> Option<SignedDuration> {
        let error = self.last_error.as_ref().filter(|_| self.source != SourceKind::Store)?;
        Some(now.duration_since(error.since))
    }

    pub(super) fn accepted(&mut self, at: Timestamp) {
        self.last_applied_at = Some(at);
        self.last_error = None;
    }

    pub(super) fn refused(&mut self, at: Timestamp, error: &RulesError) {
        let since = self.last_error.as_ref().map_or(at, |standing| standing.since);
        let (code, detail) = (error.code(), error.summary(FAULTS_SHOWN));
        self.last_error = Some(LastError { at, since, code, detail });
    }
}
