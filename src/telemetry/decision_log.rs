//! Decision log: one JSON object per line on standard output, and the same in the feed of events while somebody wants
//! it. It names embedders only by origin, never by the path or query of a page, and it names no visitors.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::events::{Embedding, EventFeed};
use super::json_line::JsonLine;
use super::line_bound::LineBound;
use super::queue::{LogFlush, LogQueue};
use super::shown_decisions::ShownDecisions;
use embedgate_policy::decision::{Decision, Facts};
use embedgate_policy::verdict::Verdict;
use jiff::Timestamp;
use parking_lot::Mutex;

mod hearing;

use hearing::{HeardDecisions, Listeners};

pub use hearing::Hearing;

/// Scope of the decision log: which decisions are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Scope {
    /// All decisions.
    All = 0,
    /// Denials, and requests that `access: monitor` allowed and `enforce` would deny.
    Denied = 1,
    /// No decisions.
    Off = 2,
}

/// Record of one decision, one line of the log.
#[derive(Debug)]
pub struct DecisionRecord<'a> {
    /// When the request arrived, RFC 3339.
    pub time: Timestamp,
    /// The decision's id; the denied page shows the same one.
    pub decision_id: &'a str,
    /// The trace that the client says the request is of.
    pub trace_id: Option<&'a str>,
    /// The requested widget; absent if what the request names is not an id.
    pub widget: Option<&'a str>,
    /// The class of the route.
    pub class: &'a str,
    /// Whether the request goes on.
    pub verdict: Verdict,
    /// The stable reason code.
    pub reason: &'a str,
    /// The reason code with which `enforce` would deny what `monitor` allowed.
    pub would_deny: Option<&'a str>,
    /// The embedder's origin, `null` if it is opaque; absent if it is unknown or malformed.
    pub embedder: Option<&'a str>,
    /// The error of a malformed `Origin` or `Referer`.
    pub malformed: Option<&'a str>,
    /// The origin that opened the widget, by a genuine ticket. Never the ticket itself.
    pub opened_by: Option<&'a str>,
    /// The error of an invalid ticket.
    pub ticket_fault: Option<&'a str>,
    /// The entry that matched.
    pub entry: Option<String>,
    /// The near miss.
    pub near_miss: Option<String>,
    /// The request method.
    pub method: &'a str,
    /// What else to know: a setting that makes the browser refuse what the edge allows.
    pub hint: Option<&'a str>,
}

/// Where a decision goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecisionTargets {
    log: bool,
    feed: bool,
}

/// Name of the log in its lines and in metrics.
pub const DECISIONS: &str = "decisions";

impl DecisionRecord<'_> {
    /// The line, without its line end.
    fn to_line(&self) -> String {
        let mut line = JsonLine::new(DECISIONS, self.time);
        line.text("decision_id", self.decision_id);
        line.optional("trace_id", self.trace_id);
        line.optional("widget", self.widget);
        line.text("class", self.class);
        line.text("verdict", self.verdict.as_str());
        line.text("reason", self.reason);
        line.optional("would_deny", self.would_deny);
        line.optional("embedder", self.embedder);
        line.optional("malformed", self.malformed);
        line.optional("opened_by", self.opened_by);
        line.optional("ticket_fault", self.ticket_fault);
        line.optional("entry", self.entry.as_deref());
        line.optional("near_miss", self.near_miss.as_deref());
        line.text("method", self.method);
        line.optional("hint", self.hint);
        line.into_text()
    }
}

/// Writer of the decision log. A line that standard output can't take in time is dropped; no request waits
/// for it.
#[derive(Debug)]
pub struct DecisionLog {
    scope: AtomicU8,
    bound: LineBound,
    out: LogQueue,
    /// Which decisions are told to the feed, a [`HeardDecisions`]. Every request reads it, so it is here, and not behind a lock.
    heard: AtomicU8,
    listeners: Mutex<Listeners>,
    events: Arc<EventFeed>,
    shown: ShownDecisions,
}

impl DecisionLog {
    /// Starts the writing thread. `most_per_second`: the number of lines in a second past which they are left out and
    /// summed up; 0: any number. `events`: where decisions are told, too, while somebody wants them there.
    pub fn start(
        scope: Scope,
        most_per_second: u32,
        events: Arc<EventFeed>,
        out: impl Write + Send + 'static,
    ) -> (Self, LogFlush) {
        let (out, flush) = LogQueue::start(out);
        let (scope, bound) = (AtomicU8::new(scope as u8), LineBound::new(most_per_second));
        let (heard, listeners) = (AtomicU8::new(HeardDecisions::Nothing as u8), Mutex::default());
        (Self { scope, bound, out, heard, listeners, events, shown: ShownDecisions::default() }, flush)
    }

    /// Changes which decisions are written.
    pub fn set_scope(&self, scope: Scope) {
        self.scope.store(scope as u8, Ordering::Relaxed);
    }

    /// Changes the number of lines in a second; 0: any number.
    pub fn set_most_per_second(&self, most: u32) {
        self.bound.set(most);
    }

    /// Writes a line about those that were left out since the last call, if there were any.
    pub fn sum_up(&self) {
        if let Some((left_out, time)) = self.bound.take_left_out() {
            let line = JsonLine::left_out(DECISIONS, time, left_out, "log.decisions_per_second");
            self.out.push(format!("{line}\n").as_bytes());
        }
    }

    /// Where this decision has to be written; `None`: nowhere. Nothing is rendered before.
    pub fn targets(&self, decision: &Decision, facts: &Facts<'_>, now: Timestamp) -> Option<DecisionTargets> {
        let is_denial = decision.verdict == Verdict::Deny || decision.would_deny.is_some();
        let log = self.in_scope(is_denial) && self.bound.admits(now);
        let feed = match self.heard.load(Ordering::Relaxed) {
            heard if heard == HeardDecisions::Nothing as u8 => false,
            heard if heard == HeardDecisions::Everything as u8 => true,
            _ => self.events.sample().admits(decision.verdict, facts, now),
        };
        (log || feed).then_some(DecisionTargets { log, feed })
    }

    /// Whether denials are written to the log, bounds aside.
    pub fn has_denials(&self) -> bool {
        self.in_scope(true)
    }

    /// Queues one line, and tells it to the feed, where it goes there.
    pub fn write(&self, record: &DecisionRecord<'_>, targets: DecisionTargets) {
        let mut line = record.to_line();
        if targets.feed {
            let request = Embedding {
                widget: record.widget.unwrap_or_default().into(),
                embedder: record.embedder.map(Box::from),
                opened_by: record.opened_by.map(Box::from),
                verdict: Some(record.verdict),
            };
            self.events.tell_decision(request, &line);
        }
        if targets.log {
            line.push('\n');
            self.out.push(line.as_bytes());
        }
    }

    /// The decisions whose id somebody was shown, whatever the log leaves out.
    pub fn shown(&self) -> &ShownDecisions {
        &self.shown
    }

    fn in_scope(&self, denied: bool) -> bool {
        let scope = self.scope.load(Ordering::Relaxed);
        scope == Scope::All as u8 || scope == Scope::Denied as u8 && denied
    }

    /// Number of lines that were dropped because standard output was too slow, or could not be written to.
    pub fn dropped(&self) -> u64 {
        self.out.dropped()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn record(verdict: Verdict, id: &str) -> DecisionRecord<'_> {
        DecisionRecord {
            time: Timestamp::UNIX_EPOCH,
            decision_id: id,
            trace_id: None,
            widget: None,
            class: "asset",
            verdict,
            reason: "exact",
            would_deny: None,
            embedder: None,
            malformed: None,
            opened_by: None,
            ticket_fault: None,
            entry: None,
            near_miss: None,
            method: "GET",
            hint: None,
        }
    }

    #[test]
    fn a_line_is_a_json_object() {
        let odd = "a\"b\\c\u{1}d\u{e9}";
        let record = DecisionRecord {
            trace_id: Some("0af7651916cd43dd8448eb211c80319c"),
            widget: Some("w"),
            malformed: Some(odd),
            opened_by: Some("https://a.example"),
            ticket_fault: Some("altered"),
            entry: Some("*.example.org".to_owned()),
            ..record(Verdict::Deny, "id")
        };
        let expected = serde_json::json!({
            "log": "decisions",
            "time": "1970-01-01T00:00:00.000000Z",
            "decision_id": "id",
            "trace_id": "0af7651916cd43dd8448eb211c80319c",
            "widget": "w",
            "class": "asset",
            "verdict": "deny",
            "reason": "exact",
            "malformed": odd,
            "opened_by": "https://a.example",
            "ticket_fault": "altered",
            "entry": "*.example.org",
            "method": "GET",
        });
        assert_eq!(record.to_line(), expected.to_string());
    }
}
