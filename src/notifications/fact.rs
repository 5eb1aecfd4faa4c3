//! Fact that a notice tells: its kind, its widget, and the id that every edge of a fleet gives it.
//!
//! | kind | its id is made of the kind, the widget, and |
//! |---|---|
//! | `embedder.first_denied`, `embedder.first_seen` | the embedder |
//! | `embedder.summary`, `rules.summary` | the hour |
//! | `limit.reached` | part, what is counted, limit, mode, the embedder of a part `embedder`, and the minute; of opens a day, the day |
//! | `rules.changed` | the revision and the day; of a deletion, the minute |
//! | `entry.expiring`, `certificate.expiring` | entry or file, and when it expires |
//! | `session.revoked` | embedder, reason, sessions, and the minute: a name may be used again |
//! | `test` | the instant |

use std::fmt;

use jiff::Timestamp;
use ring::digest::{Context, SHA256};

use embedgate_policy::limits::{LimitKind, LimitPart};

use super::notice::Notice;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Id of a webhook: the name of the fact that it tells, the same from every edge and at every try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WebhookId(pub(super) u128);

impl WebhookId {
    /// Reads an id; `None`: it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let id = Self(u128::from_str_radix(text.strip_prefix("msg_")?, 16).ok()?);
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for WebhookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "msg_{:032x}", self.0)
    }
}

/// Queue that a notification waits in, beside its widget's others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum QueueKind {
    /// Whatever has no queue of its own.
    Usual,
    /// Sessions that a media server has to end: nothing else holds them up.
    Revocations,
    /// What somebody has asked for, to see whether it arrives.
    Tests,
}

impl QueueKind {
    /// The queue of notifications of this kind.
    pub(super) fn of(kind: &str) -> Self {
        match kind {
            "session.revoked" => Self::Revocations,
            "test" => Self::Tests,
            _ => Self::Usual,
        }
    }
}

impl Notice {
    /// The word for its kind, which is the webhook's `type`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::EmbedderFirstDenied { .. } => "embedder.first_denied",
            Self::EmbedderFirstSeen { .. } => "embedder.first_seen",
            Self::EmbedderSummary { .. } => "embedder.summary",
            Self::LimitReached { .. } => "limit.reached",
            Self::RulesChanged { .. } => "rules.changed",
            Self::RulesSummary { .. } => "rules.summary",
            Self::EntryExpiring { .. } => "entry.expiring",
            Self::CertificateExpiring { .. } => "certificate.expiring",
            Self::SessionRevoked { .. } => "session.revoked",
            Self::Test { .. } => "test",
        }
    }

    /// The widget that it is about, if it is about one.
    pub fn widget(&self) -> Option<&str> {
        match self {
            Self::EmbedderFirstDenied { widget, .. }
            | Self::EmbedderFirstSeen { widget, .. }
            | Self::EmbedderSummary { widget, .. }
            | Self::LimitReached { widget, .. }
            | Self::RulesChanged { widget, .. }
            | Self::EntryExpiring { widget, .. }
            | Self::SessionRevoked { widget, .. } => Some(widget),
            Self::RulesSummary { .. } | Self::CertificateExpiring { .. } | Self::Test { .. } => None,
        }
    }

    /// The embedder of sessions that are revoked.
    pub(super) fn revoked_embedder(&self) -> Option<&str> {
        match self {
            Self::SessionRevoked { embedder, .. } => Some(embedder),
            _ => None,
        }
    }

    /// When it happened, if it says so.
    pub(super) fn happened(&self) -> Option<Timestamp> {
        match self {
            Self::EmbedderFirstDenied { at, .. }
            | Self::EmbedderFirstSeen { at, .. }
            | Self::LimitReached { at, .. }
            | Self::RulesChanged { at, .. }
            | Self::SessionRevoked { at, .. }
            | Self::Test { at } => Some(*at),
            Self::EmbedderSummary { .. }
            | Self::RulesSummary { .. }
            | Self::EntryExpiring { .. }
            | Self::CertificateExpiring { .. } => None,
        }
    }

    /// Until when its id is remembered, so that it is told once; `None`: not at all, for it may be told again.
    pub(super) fn remembered_until(&self, now: Timestamp) -> Option<i64> {
        match self {
            Self::SessionRevoked { .. } | Self::Test { .. } => None,
            Self::EntryExpiring { expires_at, .. } | Self::CertificateExpiring { expires_at, .. } => {
                Some(expires_at.max(&now).as_second() + DAY)
            }
            _ => Some(now.as_second() + DAY),
        }
    }

    /// About how much memory it takes beside the type itself, in bytes.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::SessionRevoked { sessions, .. } => {
                sessions.iter().map(|session| session.len() + size_of::<String>()).sum()
            }
            _ => 128,
        }
    }

    /// The id of the fact.
    pub fn id(&self) -> WebhookId {
        let mut name = FactName::new();
        name.part(self.kind().as_bytes());
        name.part(self.widget().unwrap_or_default().as_bytes());
        match self {
            Self::EmbedderFirstDenied { embedder, .. } | Self::EmbedderFirstSeen { embedder, .. } => {
                name.part(embedder.as_bytes());
            }
            Self::EmbedderSummary { since, .. } | Self::RulesSummary { since, .. } => {
                name.period(*since, HOUR);
            }
            Self::LimitReached { widget: _, part, kind, limit, mode, embedder, at } => {
                name.part(part.as_str().as_bytes());
                name.part(kind.as_str().as_bytes());
                name.part(&limit.to_be_bytes());
                name.part(mode.as_str().as_bytes());
                // Whose open was refused says nothing of a budget that all embedders share.
                let whose = embedder.as_deref().filter(|_| *part == LimitPart::Embedder);
                name.part(whose.unwrap_or_default().as_bytes());
                name.period(*at, if *kind == LimitKind::OpensPerDay { DAY } else { MINUTE });
            }
            Self::RulesChanged { revision: Some(revision), at, .. } => {
                name.part(&revision.to_be_bytes());
                // Where the rules come from files, a restart counts again.
                name.period(*at, DAY);
            }
            Self::RulesChanged { revision: None, at, .. } => name.period(*at, MINUTE),
            Self::EntryExpiring { entry: subject, expires_at, .. }
            | Self::CertificateExpiring { certificate: subject, expires_at } => {
                name.part(subject.as_bytes());
                name.period(*expires_at, 1);
            }
            Self::SessionRevoked { embedder, reason, sessions, at, .. } => {
                name.part(embedder.as_bytes());
                name.part(reason.as_str().as_bytes());
                name.period(*at, MINUTE);
                sessions.iter().for_each(|session| name.part(session.as_bytes()));
            }
            Self::Test { at } => name.part(&at.as_nanosecond().to_be_bytes()),
        }
        name.id()
    }
}

/// Name of a fact on its way.
struct FactName(Context);

impl FactName {
    fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    /// Adds a part. Its length goes before it, so that no other parts have the same name.
    fn part(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    /// Adds the period of so many seconds that holds this time.
    fn period(&mut self, at: Timestamp, seconds: i64) {
        self.part(&at.as_second().div_euclid(seconds).to_be_bytes());
    }

    fn id(self) -> WebhookId {
        let digest = self.0.finish();
        let first = digest.as_ref().iter().take(16);
        WebhookId(first.fold(0, |id, byte| id << 8 | u128::from(*byte)))
    }
}

#[cfg(test)]
pub(super) mod tests;
