//! Past decision whose id somebody was shown, as edges tell it and people read it.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AskedBy, Explanation};
use crate::verdict::{Class, Reason, Verdict};

/// Decision, then and now.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DecisionAnswer {
    /// What was decided then.
    pub decision: PastDecision,
    /// What the rules in force say of the same request, without headers; `null` where the request was refused before a
    /// verdict, names no widget, or has an origin that is too long to keep.
    #[schema(required)]
    pub now: Option<Explanation>,
}

/// Decision whose id somebody was shown.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PastDecision {
    /// When the request arrived.
    pub time: Timestamp,
    /// The decision's id.
    pub decision_id: String,
    /// The status of the answer.
    pub status: u16,
    /// The request method; absent if it is unusually long.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub method: Option<String>,
    /// The trace that the client says the request is of (W3C Trace Context).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub trace_id: Option<Box<str>>,
    /// Why the request was refused before a verdict; otherwise absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub refused: Option<String>,
    /// The verdict; absent where the request was refused before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub judged: Option<PastVerdict>,
}

/// Verdict of a decision.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PastVerdict {
    /// The requested widget; absent if what the request names is not an id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub widget: Option<String>,
    /// The class of the route.
    pub class: Class,
    /// Whether the request went on.
    pub verdict: Verdict,
    /// The reason of the verdict.
    pub reason: Reason,
    /// The denial that `access: monitor` turned into an allow.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub would_deny: Option<Reason>,
    /// The embedder.
    pub embedder: AskedBy,
    /// The page that a valid ticket named.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub opened_by: Option<String>,
    /// The error of an invalid ticket.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>)]
    pub ticket_fault: Option<Cow<'static, str>>,
    /// The entry that came nearest to admitting the embedder.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub near_miss: Option<Box<str>>,
    /// How the upstream failed; absent where it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub failure: Option<PastFailure>,
}

/// Failure of the upstream of an allowed request.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PastFailure {
    /// The upstream's name in the configuration.
    pub upstream: String,
    /// The kind of failure, as in metrics.
    #[schema(value_type = String)]
    pub kind: Cow<'static, str>,
}

impl fmt::Display for DecisionAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.decision)?;
        match &self.now {
            Some(now) => write!(f, "\nnow: {now}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for PastDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { time, decision_id: _, status, method, trace_id, refused, judged } = self;
        write!(f, "{time:.6}: ")?;
        if let Some(method) = method {
            write!(f, "{method}, ")?;
        }
        write!(f, "answered with {status}")?;
        if let Some(refused) = refused {
            write!(f, "\n  refused before a verdict: {refused}")?;
        }
        if let Some(judged) = judged {
            write!(f, "\n{judged}")?;
        }
        match trace_id {
            Some(trace_id) => write!(f, "\n  trace {trace_id}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for PastVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "  {} ({}), widget {}",
            self.verdict,
            self.reason,
            self.widget.as_deref().unwrap_or("unknown")
        )?;
        write!(f, ", class {}, embedder {}", self.class, self.embedder)?;
        for (what, value) in [
            ("opened by", self.opened_by.as_deref()),
            ("invalid ticket", self.ticket_fault.as_deref()),
            ("would deny", self.would_deny.map(Reason::as_str)),
            ("near miss", self.near_miss.as_deref()),
        ] {
            if let Some(value) = value {
                write!(f, "\n  {what}: {value}")?;
            }
        }
        match &self.failure {
            Some(PastFailure { upstream, kind }) => write!(f, "\n  upstream {upstream} failed: {kind}"),
            None => Ok(()),
        }
    }
}
