//! Events, as readers get them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use embedgate_policy::verdict::{Class, Reason, Verdict};

/// Kind of event that a reader can choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A verdict on a request.
    Decision,
    /// Other rules are in force.
    Swap,
    /// An update of the rules was refused.
    Refused,
    /// A session was ended by a change of the rules, by an expired entry, by another policy, or because the rules are too
    /// old.
    SessionEnded,
    /// A notification was taken.
    Notification,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::Decision, Self::Swap, Self::Refused, Self::SessionEnded, Self::Notification];

    /// The word in events and queries.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Decision => "decision",
            Self::Swap => "swap",
            Self::Refused => "refused",
            Self::SessionEnded => "session_ended",
            Self::Notification => "notification",
        }
    }
}

/// Event of a stream, as the JSON in its `data`. Its `event` is the `kind`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event<'a> {
    /// The first event of each stream: whatever happens from here on is told.
    Listening {
        /// The version of the rule book in force.
        generation: u64,
    },
    /// A verdict on a request, as in the decision log.
    // Written by `DecisionRecord`, for a request waits for it.
    Decision {
        /// When the request arrived.
        time: Timestamp,
        /// The decision's id; the denied page shows the same one.
        decision_id: &'a str,
        /// The trace that the client says the request is of (W3C Trace Context).
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        trace_id: Option<&'a str>,
        /// The requested widget, unless what the request names is no id.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        widget: Option<&'a str>,
        /// The class of the route.
        class: Class,
        /// Whether the request goes on.
        verdict: Verdict,
        /// The reason of the verdict.
        reason: Reason,
        /// The reason with which `enforce` would deny what `monitor` allowed.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        would_deny: Option<Reason>,
        /// The embedder's origin, `null` if it is opaque; absent if it is unknown or malformed.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        embedder: Option<&'a str>,
        /// The error of a malformed `Origin` or `Referer`.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        malformed: Option<&'a str>,
        /// The origin that opened the widget, by a genuine ticket.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        opened_by: Option<&'a str>,
        /// The error of an invalid ticket.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        ticket_fault: Option<&'a str>,
        /// The entry that matched.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        entry: Option<&'a str>,
        /// The near miss.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        near_miss: Option<&'a str>,
        /// The request method.
        method: &'a str,
        /// What else to know: a setting that makes the browser refuse what the edge allows.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        hint: Option<&'a str>,
    },
    /// Other rules are in force.
    Swap {
        /// When.
        time: Timestamp,
        /// The version of the rule book in force now.
        generation: u64,
        /// The kind of source that the rules come from.
        source: &'a str,
        /// The number of widgets.
        widgets: usize,
        /// The widgets whose rules are others now, by id; at most 100.
        changed: Vec<SwappedWidget<'a>>,
        /// The number of changed widgets that are not named.
        changed_omitted: usize,
        /// From taking up the change to having it in force, in microseconds.
        took_us: u64,
    },
    /// An update of the rules was refused.
    Refused {
        /// When.
        time: Timestamp,
        /// The kind of source that the rules come from.
        source: &'a str,
        /// The kind of error, a stable code.
        code: &'a str,
        /// What is wrong, one error per line, at most 20.
        detail: String,
    },
    /// A session was ended.
    SessionEnded {
        /// When.
        time: Timestamp,
        /// The widget.
        widget: &'a str,
        /// The embedder's origin, `null` if it is opaque; absent if it is unknown. For the widget's own iframe an origin
        /// of the edge.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        embedder: Option<&'a str>,
        /// The origin that opened the widget, where a ticket names it.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        opened_by: Option<&'a str>,
        /// When the session began.
        since: Timestamp,
        /// What ended it.
        cause: SessionEndCause,
        /// The reason of the verdict that it has now.
        reason: Reason,
        /// The version of the rule book in force.
        generation: u64,
        /// The widget's revision after the change; absent where the widget is gone, or nothing of it has changed.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        revision: Option<u64>,
        /// Who made the change, as the audit log says; absent where that is not known here.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        actor: Option<&'a str>,
    },
    /// A notification was taken, to be sent where there is a receiver (`notify.url`).
    Notification {
        /// When.
        time: Timestamp,
        /// Its `webhook-id`, the same from every edge of a fleet.
        id: String,
        /// Its kind.
        r#type: &'a str,
        /// The widget that it is about; absent if it is about none.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        widget: Option<&'a str>,
        /// What it says, as in the webhook's `data`.
        #[schema(value_type = Object)]
        data: &'a Value,
    },
    /// Events are missing here.
    Lagged {
        /// Why.
        reason: LagReason,
        /// At most so many events are missing, of any widget; absent if it is not known. Decisions count if they are asked
        /// for, and so do the other kinds together.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        missed: Option<u64>,
    },
}

/// Widget that a swap has changed.
#[derive(Debug, Serialize, ToSchema)]
pub struct SwappedWidget<'a> {
    /// The widget's id.
    pub id: &'a str,
    /// Its revision before; `null` if there was no such widget.
    #[schema(required)]
    pub before: Option<u64>,
    /// Its revision now; `null` if it is gone.
    #[schema(required)]
    pub after: Option<u64>,
    /// Who changed it, as the audit log says; absent where that is not known here.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub actor: Option<&'a str>,
}

/// Cause of a session's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionEndCause {
    /// A change of the widget.
    Change,
    /// An entry has expired.
    Expiry,
    /// The policy for all widgets has changed, by a reload of the configuration.
    Policy,
    /// The rules are too old: this edge has had no contact with their source for `policy.max_staleness`.
    Stale,
}

impl SessionEndCause {
    /// The word in events and in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Expiry => "expiry",
            Self::Policy => "policy",
            Self::Stale => "stale",
        }
    }
}

/// Reason why events are missing in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LagReason {
    /// The reader was too slow, or was away for too long: these events are no longer kept.
    NotKept,
    /// The reader was away, and meanwhile decisions were not told, because nobody wanted them.
    NotTold,
    /// The id is of another process: the edge was restarted or upgraded. What this process has kept follows.
    Restarted,
    /// There were more decisions than this reader wants in a second.
    LeftOut,
}

impl Event<'_> {
    /// The kind, if readers can choose it.
    pub(super) fn kind(&self) -> Option<EventKind> {
        match self {
            Self::Decision { .. } => Some(EventKind::Decision),
            Self::Swap { .. } => Some(EventKind::Swap),
            Self::Refused { .. } => Some(EventKind::Refused),
            Self::SessionEnded { .. } => Some(EventKind::SessionEnded),
            Self::Notification { .. } => Some(EventKind::Notification),
            Self::Listening { .. } | Self::Lagged { .. } => None,
        }
    }
}
