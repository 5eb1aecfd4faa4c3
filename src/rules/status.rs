//! Status of the source, for people who ask.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::error::RulesError;
use super::fleet::FleetLink;
use super::source::kind::SourceKind;

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
    /// Whether the source could be read at all when it was last looked at; of a bucket, whether its messages arrive.
    pub connected: bool,
}

/// A refusal, remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LastError {
    /// When.
    pub at: Timestamp,
    /// When the first of an unbroken row of refusals came.
    pub since: Timestamp,
    /// Its stable code.
    pub code: &'static str,
    /// What is wrong, one fault per line, at most 20.
    pub detail: String,
}

impl SourceStatus {
    /// A source that hasn't said anything yet.
    pub fn new(source: SourceKind, name: impl Into<String>) -> Self {
        Self { source, name: name.into(), last_applied_at: None, last_error: None, connected: false }
    }

    /// For how long the source has had something that isn't in force. A refused call is its caller's business:
    /// where rules are written through the control plane there is no lag.
    pub fn lag(&self, now: Timestamp) -> Option<SignedDuration> {
        let error = self.last_error.as_ref().filter(|_| !self.source.is_written_here())?;
        Some(now.duration_since(error.since))
    }

    /// Status of a source that is a bucket, with the state of the connection to it.
    #[must_use]
    pub fn over(self, link: &FleetLink) -> Self {
        Self { connected: link.connected, ..self }
    }

    pub(super) fn accepted(&mut self, at: Timestamp) {
        self.last_applied_at = Some(at);
        self.last_error = None;
        self.connected = true;
    }

    pub(super) fn refused(&mut self, at: Timestamp, error: &RulesError) {
        let since = self.last_error.as_ref().map_or(at, |last| last.since);
        let (code, detail) = (error.code(), error.summary(FAULTS_SHOWN));
        self.last_error = Some(LastError { at, since, code, detail });
        self.connected = !error.is_absence();
    }
}
