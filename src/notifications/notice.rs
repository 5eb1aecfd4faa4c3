//! Notice: what there is to tell. Each says a fact, so every edge of a fleet that finds the same gives it the same id.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use embedgate_policy::limits::{LimitKind, LimitMode, LimitPart};
use embedgate_policy::verdict::Reason;

/// Notice. Its `type` and `data` are those of the webhook (Standard Webhooks).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", content = "data")]
pub enum Notice {
    /// An embedder was denied that was never denied before.
    #[serde(rename = "embedder.first_denied")]
    EmbedderFirstDenied {
        /// The widget.
        widget: String,
        /// The embedder's origin.
        embedder: String,
        /// The reason of the verdict.
        reason: Reason,
        /// The entry that would admit it, where there is one.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        would_admit: Option<String>,
        /// When.
        at: Timestamp,
    },
    /// A host under a wildcard or glob has loaded the widget for the first time.
    #[serde(rename = "embedder.first_seen")]
    EmbedderFirstSeen {
        /// The widget.
        widget: String,
        /// The embedder's origin.
        embedder: String,
        /// The entry that admitted it.
        entry: String,
        /// When.
        at: Timestamp,
    },
    /// More embedders than are told one by one were seen or denied within an hour.
    #[serde(rename = "embedder.summary")]
    EmbedderSummary {
        /// The widget.
        widget: String,
        /// How many were denied for the first time, beyond those that were told.
        denied: u64,
        /// How many were seen for the first time, beyond those that were told.
        seen: u64,
        /// The beginning of the hour.
        since: Timestamp,
    },
    /// A limit was reached, for the first time in its minute, day, or since sessions were fewer.
    #[serde(rename = "limit.reached")]
    LimitReached {
        /// The widget.
        widget: String,
        /// Whose opens and sessions are counted together.
        part: LimitPart,
        /// What is counted.
        kind: LimitKind,
        /// The limit.
        limit: u32,
        /// Whether what comes now is refused.
        mode: LimitMode,
        /// The embedder whose opens were counted, or whose open was refused.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        embedder: Option<String>,
        /// When.
        at: Timestamp,
    },
    /// A widget's rules are others now.
    #[serde(rename = "rules.changed")]
    RulesChanged {
        /// The widget.
        widget: String,
        /// The revision in force; absent after a deletion.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        revision: Option<u64>,
        /// Who changed them, where that is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        actor: Option<String>,
        /// When.
        at: Timestamp,
    },
    /// The rules of more widgets than are told one by one have changed within an hour.
    #[serde(rename = "rules.summary")]
    RulesSummary {
        /// How many changes there were, beyond those that were told.
        changes: u64,
        /// The beginning of the hour.
        since: Timestamp,
    },
    /// An entry expires soon.
    #[serde(rename = "entry.expiring")]
    EntryExpiring {
        /// The widget.
        widget: String,
        /// The entry.
        entry: String,
        /// When it expires.
        expires_at: Timestamp,
    },
    /// A certificate expires soon.
    #[serde(rename = "certificate.expiring")]
    CertificateExpiring {
        /// Its file.
        certificate: String,
        /// When it expires.
        expires_at: Timestamp,
    },
    /// Sessions that have left the edge are denied now: the media server has to end them.
    #[serde(rename = "session.revoked")]
    SessionRevoked {
        /// The widget.
        widget: String,
        /// The embedder that is denied now.
        embedder: String,
        /// The reason of the verdict.
        reason: Reason,
        /// The sessions, as their upstream has named them, at most 1,000.
        sessions: Vec<String>,
        /// When.
        at: Timestamp,
    },
    /// Somebody has asked for a notification, to see whether it arrives.
    #[serde(rename = "test")]
    Test {
        /// When.
        at: Timestamp,
    },
}
