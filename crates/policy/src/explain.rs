//! Explanation of a verdict for operators: the request, the rules, the outcome of each entry, and what to
//! add.
//!
//! Never for outsiders: an explanation shows the whole list.

use std::borrow::Cow;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::decision::{EdgePolicy, Facts, decide};
use super::headers::Destination;
use super::limits::{LimitMode, LimitPart, LimitUsage};
use super::origin::{Embedder, Origin};
use super::ticket::{Ticket, TicketError};
use super::widget::{Access, Widget};
use crate::compiled::WidgetRulesBuf;
use crate::verdict::{Class, Reason, Verdict};

mod advice;
mod headers;
mod outcome;
mod past;
mod sentence;
mod ticket;

use advice::Advice;
pub use advice::{WayIn, entry_admitting, entry_missing, entry_to_add, way_in};
pub use headers::{NO_CREDENTIALS, RouteAnswers};
pub use outcome::{EntryMatch, EntryOutcome};
pub use past::{DecisionAnswer, PastDecision, PastFailure, PastVerdict};
use sentence::Grounds;
pub use ticket::TicketWorth;

/// Explanation of why one request to one widget is allowed or denied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// The requested widget, as the request names it.
    pub widget: String,
    /// The class of the route.
    pub class: Class,
    /// The embedder.
    pub embedder: AskedBy,
    /// The access in effect; `null` for an unknown widget.
    pub access: Option<Access>,
    /// Whether the request goes on.
    pub verdict: Verdict,
    /// The reason of the verdict.
    pub reason: Reason,
    /// The denial that `access: monitor` turned into an allow.
    pub would_deny: Option<Reason>,
    /// The verdict in words.
    pub sentence: String,
    /// The entry that admitted the embedder.
    pub entry: Option<NamedEntry>,
    /// The near miss: the entry that came nearest to admitting the embedder.
    pub near_miss: Option<NamedEntry>,
    /// The entry that would admit this embedder, if an entry can.
    pub entry_to_add: Option<String>,
    /// Every entry of the list, in order.
    pub entries: Vec<EntryOutcome>,
    /// The state of the ticket, if one was presented.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<TicketWorth>,
    /// The widget's limits, and how much of each is used now: for embedders by this one, for addresses by the one that has
    /// used most. Left out where the widget has none, or nobody has counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<LimitUsage>,
    /// What else to know, such as a setting of the route that makes browsers refuse what the edge allows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    /// The headers that the edge would add to the upstream's own, with name and value.
    pub headers: Vec<(String, String)>,
}

/// Embedder, as read from the headers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum AskedBy {
    /// The request names no embedder.
    Absent,
    /// A page with an opaque origin, which can't be compared.
    Opaque {
        /// The origin as the request writes it: `null` or `file://`.
        #[schema(value_type = String)]
        #[serde(default = "null")]
        origin: Cow<'static, str>,
    },
    /// A value that no browser sends.
    Malformed {
        /// The error, a stable word.
        code: Cow<'static, str>,
        /// The error in words, with what would be right.
        detail: String,
    },
    /// A page of this origin.
    Known {
        /// The origin.
        origin: String,
    },
}

/// Entry with its place in the document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NamedEntry {
    /// A JSON Pointer (RFC 6901) into the document.
    pub pointer: String,
    /// The entry in canonical text.
    pub entry: String,
}

/// Judges a request as the edge would, and explains the verdict. `id` is the requested id; `widget` is its
/// document or a draft, or `None` if there is none.
pub fn explain(
    id: &str,
    facts: &Facts<'_>,
    widget: Option<&Widget>,
    policy: &EdgePolicy,
    now: Timestamp,
) -> Explanation {
    let rules = widget.map(Widget::compile);
    let decision = decide(facts, rules.as_ref().map(WidgetRulesBuf::as_rules), policy, now);
    let compared = compared_with_list(facts, policy);
    let named = |index: Option<u32>| {
        let (at, widget) = (index?, widget?);
        let rule = widget.allowed_domains.get(usize::try_from(at).ok()?)?;
        Some(NamedEntry { pointer: format!("/allowed_domains/{at}"), entry: rule.entry.to_string() })
    };
    let advised = widget.zip(compared).and_then(|(widget, origin)| Advice::of(&decision, origin, widget));
    let mut explanation = Explanation {
        widget: id.to_owned(),
        class: facts.class,
        embedder: AskedBy::from(facts.embedder),
        access: widget.map(Widget::effective_access),
        verdict: decision.verdict,
        reason: decision.reason,
        would_deny: decision.would_deny,
        sentence: String::new(),
        entry: named(decision.entry),
        near_miss: named(decision.near_miss),
        entry_to_add: advised.as_ref().and_then(Advice::entry_to_add),
        entries: widget.map(|widget| outcome::of_all(widget, compared, now)).unwrap_or_default(),
        ticket: None,
        limits: Vec::new(),
        hints: Vec::new(),
        headers: Vec::new(),
    };
    explanation.sentence =
        sentence::of(&explanation, Grounds { embedder: facts.embedder, compared, advised: advised.as_ref() });
    explanation
}

impl Explanation {
    /// Adds the state of the presented ticket. `renewable_for`: how long after its expiry it is still
    /// accepted for renewals.
    #[must_use]
    pub fn with_ticket(
        mut self,
        ticket: &Result<Ticket, TicketError>,
        renewable_for: SignedDuration,
        now: Timestamp,
    ) -> Self {
        self.ticket = Some(TicketWorth::of(ticket, renewable_for, now));
        self
    }

    /// Adds how much of the widget's limits is used. Where that is all of one, a hint says what becomes of an open.
    #[must_use]
    pub fn with_limits(
        mut self,
        facts: &Facts<'_>,
        policy: &EdgePolicy,
        mode: LimitMode,
        limits: Vec<LimitUsage>,
    ) -> Self {
        let is_limited = self.class == Class::Session
            && self.verdict == Verdict::Allow
            && facts.is_limited(self.reason, policy);
        // Whose address it is, nobody has said.
        let reached = limits.iter().find(|limit| limit.part != LimitPart::Address && limit.is_reached());
        self.hints.extend(reached.filter(|_| is_limited).map(|limit| sentence::of_reached(mode, limit)));
        self.limits = limits;
        self
    }

    /// Adds the fields that an answer on such a route would have, except those of the upstream and those of
    /// the message itself: type, length and date. `destination` decides the form of a denial.
    #[must_use]
    pub fn with_headers(
        mut self,
        facts: &Facts<'_>,
        destination: Destination,
        widget: Option<&Widget>,
        policy: &EdgePolicy,
        answers: &RouteAnswers,
        now: Timestamp,
    ) -> Self {
        let rules = widget.map(Widget::compile);
        self.headers =
            answers.fields(facts, destination, rules.as_ref().map(WidgetRulesBuf::as_rules), policy, now);
        if self.verdict == Verdict::Allow {
            self.hints.extend(answers.hint(facts).map(str::to_owned));
        }
        self
    }
}

/// The origin that is compared with the list: inside the widget's own iframe, the origin in the ticket.
fn compared_with_list<'a>(facts: &Facts<'a>, policy: &EdgePolicy) -> Option<Origin<'a>> {
    let origin = facts.embedder.origin()?;
    let needs_ticket = facts.class == Class::Session && facts.is_from_own_origin(policy);
    facts.by_ticket(policy).or((!needs_ticket).then_some(origin))
}

impl From<Embedder<'_>> for AskedBy {
    fn from(embedder: Embedder<'_>) -> Self {
        match embedder {
            Embedder::Absent => AskedBy::Absent,
            Embedder::Opaque(origin) => AskedBy::Opaque { origin: origin.as_str().into() },
            Embedder::Malformed(error) => {
                AskedBy::Malformed { code: error.code().into(), detail: error.to_string() }
            }
            Embedder::Known(origin) => AskedBy::Known { origin: origin.as_str().to_owned() },
        }
    }
}

/// Default for answers of older edges, which know only one opaque origin and leave it out.
fn null() -> Cow<'static, str> {
    "null".into()
}

impl fmt::Display for AskedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AskedBy::Absent => f.write_str("none"),
            AskedBy::Opaque { origin } => write!(f, "{origin} (opaque)"),
            AskedBy::Malformed { code, .. } => write!(f, "malformed ({code})"),
            AskedBy::Known { origin } => f.write_str(origin),
        }
    }
}

/// Several lines, without a newline at the end.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({})  {}", self.verdict, self.reason, self.sentence)?;
        write!(f, "  widget {}, class {}, embedder {}", self.widget, self.class, self.embedder)?;
        if let Some(access) = self.access {
            write!(f, ", access {access}")?;
        }
        if let Some(reason) = self.would_deny {
            write!(f, "\n  would deny: {reason}")?;
        }
        if let Some(entry) = &self.entry_to_add {
            write!(f, "\n  entry to add: {entry}")?;
        }
        if !self.limits.is_empty() {
            f.write_str("\n  limits:")?;
        }
        for limit in &self.limits {
            write!(f, "\n    {limit}")?;
        }
        for hint in &self.hints {
            write!(f, "\n  hint: {hint}")?;
        }
        if !self.entries.is_empty() {
            f.write_str("\n  entries:")?;
        }
        let width = self.entries.iter().map(|entry| entry.entry.chars().count()).max().unwrap_or(0);
        for entry in &self.entries {
            write!(f, "\n    {:width$}  {:14}  {}", entry.entry, entry.outcome.as_str(), entry.detail)?;
            if let Some(unicode) = &entry.unicode {
                write!(f, "  [{unicode}]")?;
            }
        }
        if !self.headers.is_empty() {
            f.write_str("\n  headers:")?;
        }
        for (name, value) in &self.headers {
            write!(f, "\n    {name}: {value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
