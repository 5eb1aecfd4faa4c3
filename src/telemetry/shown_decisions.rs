//! Decisions whose id somebody was shown: denials, refusals and failures. The last ones are kept in memory, so that each
//! can be asked about, whatever the logs leave out.
//!
//! Requests only push into a ring without a lock. What is in it is sorted when somebody asks.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossbeam_queue::ArrayQueue;
use http::Method;
use jiff::Timestamp;
use parking_lot::Mutex;

use embedgate_policy::decision::{Facts, TicketState};
use embedgate_policy::origin::{Embedder, OpaqueOrigin, OriginBuf, OriginError};
use embedgate_policy::verdict::{Class, Reason, Verdict};

/// Number of denials that are kept at least. Twice as many after somebody has asked.
pub const KEPT_DECISIONS: usize = 10_000;

/// The same of failures at an upstream: apart, so that no flood of denials drives one out.
pub const KEPT_FAILURES: usize = 2_000;

/// The same of refusals before a verdict and of unknown widgets: apart, so that whoever tries paths or ids at random drives
/// no denial out.
pub const KEPT_REFUSALS: usize = 2_000;

/// Longest origin that is kept whole: no host is as long, but a scheme may be.
const ORIGIN_BYTES: usize = 512;

/// Longest method that is kept: standard ones are shorter.
const METHOD_BYTES: usize = 32;

/// Id of a decision, as text.
pub type DecisionText = [u8; 36];

/// Decision whose id somebody was shown.
#[derive(Debug)]
pub struct ShownDecision {
    /// The id.
    pub id: DecisionText,
    /// When the request arrived.
    pub time: Timestamp,
    /// The request method; absent if it is unusually long.
    pub method: Option<Method>,
    /// The trace that the client says the request is of.
    pub trace_id: Option<Box<str>>,
    /// What was decided.
    pub outcome: ShownOutcome,
}

/// What was decided on a request.
#[derive(Debug)]
pub enum ShownOutcome {
    /// It was refused before a verdict, for this reason; the parts make one sentence.
    Refused([&'static str; 2]),
    /// It was judged.
    Judged(ShownVerdict),
}

/// Verdict on a request, with the facts that it rests on.
#[derive(Debug)]
pub struct ShownVerdict {
    /// The requested widget; absent if what the request names is not an id.
    pub widget: Option<Box<str>>,
    /// The class of the route.
    pub class: Class,
    /// The verdict.
    pub verdict: Verdict,
    /// The reason of the verdict.
    pub reason: Reason,
    /// The denial that `access: monitor` turned into an allow.
    pub would_deny: Option<Reason>,
    /// The embedder.
    pub embedder: ShownEmbedder,
    /// Whether the route refuses requests that name no embedder.
    pub missing_denied: bool,
    /// The ticket.
    pub ticket: ShownTicket,
    /// The error of an invalid ticket.
    pub ticket_fault: Option<&'static str>,
    /// The near miss.
    pub near_miss: Option<Box<str>>,
    /// The upstream that failed, and how; absent where the request did not fail there.
    pub failure: Option<(Arc<str>, &'static str)>,
}

/// Embedder of a request, kept.
#[derive(Debug)]
pub enum ShownEmbedder {
    /// None was named.
    Absent,
    /// A page without an origin that could be compared.
    Opaque(OpaqueOrigin),
    /// A value that no browser sends.
    Malformed(OriginError),
    /// A page of this origin.
    Known(OriginBuf),
    /// A page whose origin is too long to be kept: its beginning.
    Long(Box<str>),
}

impl From<Embedder<'_>> for ShownEmbedder {
    fn from(embedder: Embedder<'_>) -> Self {
        match embedder {
            Embedder::Absent => Self::Absent,
            Embedder::Opaque(origin) => Self::Opaque(origin),
            Embedder::Malformed(error) => Self::Malformed(error),
            Embedder::Known(origin) => match origin.as_str().split_at_checked(ORIGIN_BYTES) {
                None => Self::Known(origin.into()),
                Some((beginning, _)) => Self::Long(beginning.into()),
            },
        }
    }
}

/// Ticket of a request, kept without its signature.
#[derive(Debug)]
pub enum ShownTicket {
    /// None was presented.
    Absent,
    /// It was not from this edge, not well formed, or for another widget.
    Invalid,
    /// It was genuine, but expired.
    Expired,
    /// It was genuine, and named this page.
    Valid(OriginBuf),
}

impl From<TicketState<'_>> for ShownTicket {
    fn from(ticket: TicketState<'_>) -> Self {
        match ticket {
            TicketState::Absent => Self::Absent,
            TicketState::Invalid => Self::Invalid,
            TicketState::Expired => Self::Expired,
            TicketState::Valid(origin) => Self::Valid(origin.into()),
        }
    }
}

impl ShownDecision {
    /// A decision on a request with this method.
    pub fn new(
        id: DecisionText,
        time: Timestamp,
        method: &Method,
        trace_id: Option<&str>,
        outcome: ShownOutcome,
    ) -> Self {
        let method = Some(method).filter(|method| method.as_str().len() <= METHOD_BYTES).cloned();
        Self { id, time, method, trace_id: trace_id.map(Box::from), outcome }
    }

    /// The id, as text.
    pub fn id(&self) -> &str {
        str::from_utf8(&self.id).unwrap_or_default()
    }

    /// The verdict, if there was one.
    pub fn verdict(&self) -> Option<&ShownVerdict> {
        match &self.outcome {
            ShownOutcome::Refused(_) => None,
            ShownOutcome::Judged(verdict) => Some(verdict),
        }
    }
}

impl ShownVerdict {
    /// The requested widget, if what the request names is an id.
    pub fn widget(&self) -> Option<&str> {
        self.widget.as_deref()
    }

    /// The facts of the request, to be judged again; `None` if not all of them are kept.
    pub fn facts(&self) -> Option<Facts<'_>> {
        Some(Facts {
            widget: self.widget.as_deref().unwrap_or_default(),
            class: self.class,
            embedder: match &self.embedder {
                ShownEmbedder::Absent => Embedder::Absent,
                ShownEmbedder::Opaque(origin) => Embedder::Opaque(*origin),
                ShownEmbedder::Malformed(error) => Embedder::Malformed(*error),
                ShownEmbedder::Known(origin) => Embedder::Known(origin.as_origin()),
                ShownEmbedder::Long(_) => return None,
            },
            missing_denied: self.missing_denied,
            ticket: match &self.ticket {
                ShownTicket::Absent => TicketState::Absent,
                ShownTicket::Invalid => TicketState::Invalid,
                ShownTicket::Expired => TicketState::Expired,
                ShownTicket::Valid(origin) => TicketState::Valid(origin.as_origin()),
            },
        })
    }
}

/// Answer by which somebody was shown a decision.
#[derive(Clone, Debug)]
pub struct ShownAnswer {
    /// Its status.
    pub status: u16,
    /// The decision.
    pub decision: Arc<ShownDecision>,
}

/// Memory of the last decisions whose id somebody was shown.
#[derive(Debug)]
pub struct ShownDecisions {
    denied: AnswerMemory,
    failed: AnswerMemory,
    /// Requests that anybody can make in any number.
    refused: AnswerMemory,
}

impl Default for ShownDecisions {
    fn default() -> Self {
        Self {
            denied: AnswerMemory::new(KEPT_DECISIONS),
            failed: AnswerMemory::new(KEPT_FAILURES),
            refused: AnswerMemory::new(KEPT_REFUSALS),
        }
    }
}

impl ShownDecisions {
    /// Keeps a decision; the oldest of its kind makes room.
    pub fn keep(&self, answer: ShownAnswer) {
        let memory = match &answer.decision.outcome {
            ShownOutcome::Judged(verdict) if verdict.failure.is_some() => &self.failed,
            ShownOutcome::Judged(verdict)
                if verdict.verdict == Verdict::Deny && verdict.reason != Reason::UnknownWidget =>
            {
                &self.denied
            }
            // A body of the client's own that failed is one, too.
            ShownOutcome::Judged(_) | ShownOutcome::Refused(_) => &self.refused,
        };
        memory.push(answer);
    }

    /// The decision with this id.
    pub fn find(&self, id: &DecisionText) -> Option<ShownAnswer> {
        [&self.denied, &self.failed, &self.refused].into_iter().find_map(|memory| memory.find(id))
    }
}

/// The last answers of one kind.
#[derive(Debug)]
struct AnswerMemory {
    /// Those since the last question.
    new: ArrayQueue<ShownAnswer>,
    /// Those before; ids sort by time.
    sorted: Mutex<BTreeMap<DecisionText, ShownAnswer>>,
}

impl AnswerMemory {
    fn new(room: usize) -> Self {
        Self { new: ArrayQueue::new(room), sorted: Mutex::default() }
    }

    fn push(&self, answer: ShownAnswer) {
        drop(self.new.force_push(answer));
    }

    fn find(&self, id: &DecisionText) -> Option<ShownAnswer> {
        let mut sorted = self.sorted.lock();
        // No more than there is room for: others come meanwhile.
        for answer in (0..self.new.capacity()).map_while(|_| self.new.pop()) {
            sorted.insert(answer.decision.id, answer);
        }
        while sorted.len() > self.new.capacity() {
            sorted.pop_first();
        }
        sorted.get(id).cloned()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use embedgate_policy::origin::Origin;

    fn id(number: usize) -> DecisionText {
        format!("{number:036}").into_bytes().try_into().unwrap()
    }

    fn refused(number: usize) -> ShownAnswer {
        let outcome = ShownOutcome::Refused(["no", ""]);
        let decision = ShownDecision::new(id(number), Timestamp::UNIX_EPOCH, &Method::GET, None, outcome);
        ShownAnswer { status: 400, decision: Arc::new(decision) }
    }

    #[test]
    fn the_last_ones_are_found_whenever_they_are_asked_for() {
        let memory = AnswerMemory::new(10);
        let found = |numbers: std::ops::Range<usize>| -> Vec<usize> {
            numbers.filter(|number| memory.find(&id(*number)).is_some()).collect()
        };
        (0..25).for_each(|number| memory.push(refused(number)));
        assert_eq!(found(0..30), Vec::from_iter(15..25));
        (25..29).for_each(|number| memory.push(refused(number)));
        assert_eq!(found(0..30), Vec::from_iter(19..29));
        (29..100).for_each(|number| memory.push(refused(number)));
        assert_eq!(found(0..100), Vec::from_iter(90..100));
    }

    #[test]
    fn whoever_asks_meanwhile_loses_none() {
        let memory = AnswerMemory::new(4_000);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let memory = &memory;
                scope.spawn(move || {
                    for number in thread * 1_000..(thread + 1) * 1_000 {
                        memory.push(refused(number));
                        assert!(memory.find(&id(number)).is_some(), "{number}");
                    }
                });
            }
        });
        assert!((0..4_000).all(|number| memory.find(&id(number)).is_some()));
    }

    fn judged(number: usize, verdict: Verdict, reason: Reason, failure: Option<&'static str>) -> ShownAnswer {
        let verdict = ShownVerdict {
            widget: Some("w".into()),
            class: Class::Asset,
            verdict,
            reason,
            would_deny: None,
            embedder: ShownEmbedder::Known(Origin::parse("https://a.example").unwrap().into()),
            missing_denied: false,
            ticket: ShownTicket::Absent,
            ticket_fault: None,
            near_miss: None,
            failure: failure.map(|kind| ("app".into(), kind)),
        };
        let outcome = ShownOutcome::Judged(verdict);
        let decision = ShownDecision::new(id(number), Timestamp::UNIX_EPOCH, &Method::GET, None, outcome);
        ShownAnswer { status: 403, decision: Arc::new(decision) }
    }

    #[test]
    fn what_anybody_can_cause_drives_no_denial_and_no_failure_out() {
        let floods: [fn(usize) -> ShownAnswer; 3] = [
            refused,
            |number| judged(number, Verdict::Deny, Reason::UnknownWidget, None),
            |number| judged(number, Verdict::Allow, Reason::Exact, None),
        ];
        for flood in floods {
            let shown = ShownDecisions::default();
            shown.keep(judged(0, Verdict::Deny, Reason::NotListed, None));
            shown.keep(judged(1, Verdict::Allow, Reason::Exact, Some("closed")));
            (2..KEPT_DECISIONS + 10).for_each(|number| shown.keep(flood(number)));
            let found = shown.find(&id(0)).unwrap();
            let facts = found.decision.verdict().unwrap().facts().unwrap();
            assert_eq!((facts.widget, facts.embedder.origin().unwrap().as_str()), ("w", "https://a.example"));
            assert!(shown.find(&id(1)).is_some());
            assert!(shown.find(&id(2)).is_none() && shown.find(&id(KEPT_DECISIONS + 9)).is_some());
        }
    }

    #[test]
    fn denials_drive_no_older_failure_out() {
        let shown = ShownDecisions::default();
        let denials = |from: usize| {
            (from..from + KEPT_DECISIONS)
                .for_each(|number| shown.keep(judged(number, Verdict::Deny, Reason::NotListed, None)));
        };
        denials(1);
        assert!(shown.find(&id(1)).is_some());
        // It took long, so its id is older than all of theirs.
        shown.keep(judged(0, Verdict::Allow, Reason::Exact, Some("read_timeout")));
        denials(1 + KEPT_DECISIONS);
        assert!(shown.find(&id(0)).is_some() && shown.find(&id(1)).is_none());
    }

    #[test]
    fn an_origin_is_kept_whole_unless_it_is_without_measure() {
        let kept = |text: &str| ShownEmbedder::from(Embedder::Known(Origin::parse(text).unwrap()));
        let label = "a".repeat(63);
        let long_host = format!("https://{label}.{label}.{label}.{}:65535", &label[..61]);
        assert!(matches!(kept(&long_host), ShownEmbedder::Known(origin) if origin.as_str() == long_host));
        let long_scheme = format!("{}://a", "s".repeat(60_000));
        assert!(matches!(kept(&long_scheme), ShownEmbedder::Long(kept) if kept.len() == ORIGIN_BYTES));
    }

    #[test]
    fn a_method_is_kept_if_it_is_no_story() {
        let kept = |method: &str| {
            let outcome = ShownOutcome::Refused(["no", ""]);
            ShownDecision::new(id(1), Timestamp::UNIX_EPOCH, &method.parse().unwrap(), None, outcome).method
        };
        assert_eq!((kept("PROPFIND").is_some(), kept(&"X".repeat(1_000))), (true, None));
    }
}
