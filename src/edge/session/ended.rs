//! Ends of sessions that nobody wished for but the rules: each is an event, and a line of the log that names the change.

use std::sync::Arc;

use jiff::Timestamp;

use super::revocation::Revocation;
use crate::edge::admission::decision_id::DecisionId;
use crate::rules::publisher::Swap;
use crate::rules::sessions::{SessionEmbedder, SessionFacts};
use crate::telemetry::events::{Embedding, Event, EventFeed, KEPT, SessionEndCause, Subject};
use embedgate_policy::decision::Decision;
use embedgate_policy::origin::OriginBuf;

/// Most lines of the log about the sessions that one change ends; one more sums up the others.
const LINES: usize = 20;

/// Session that the rules deny now.
pub(super) struct DeniedSession {
    /// Its widget.
    pub(super) widget: Arc<str>,
    /// The decision that allowed it.
    pub(super) decision_id: DecisionId,
    /// What it rested on.
    pub(super) facts: SessionFacts,
    /// When it began.
    pub(super) since: Timestamp,
    /// Its verdict now.
    pub(super) decision: Decision,
    /// What ends it.
    pub(super) revocation: Arc<Revocation>,
}

/// What made the registry judge sessions again.
#[derive(Clone, Copy)]
pub(super) enum Occasion<'a> {
    /// Other rules are in force.
    Swap(&'a Swap<'a>),
    /// An entry has expired, under the rules of this generation.
    Expiry(u64),
    /// The policy for all widgets has changed, under the rules of this generation.
    Policy(u64),
    /// The rules of this generation are too old.
    Stale(u64),
}

impl Occasion<'_> {
    fn cause(self) -> SessionEndCause {
        match self {
            Self::Swap(_) => SessionEndCause::Change,
            Self::Expiry(_) => SessionEndCause::Expiry,
            Self::Policy(_) => SessionEndCause::Policy,
            Self::Stale(_) => SessionEndCause::Stale,
        }
    }

    fn generation(self) -> u64 {
        match self {
            Self::Swap(swap) => swap.book.generation(),
            Self::Expiry(generation) | Self::Policy(generation) | Self::Stale(generation) => generation,
        }
    }

    /// The widget's revision after the change, and who made it.
    fn change(&self, widget: &str) -> (Option<u64>, Option<&str>) {
        let Self::Swap(swap) = self else { return (None, None) };
        let changed = swap.changed.binary_search_by(|changed| changed.id.as_str().cmp(widget));
        let revision = changed.ok().and_then(|place| swap.changed.get(place)?.after);
        (revision, swap.actor(widget))
    }
}

/// Report of the sessions that are ended on one occasion. It is told when all of them know.
pub(super) struct EndReport<'a> {
    events: &'a EventFeed,
    occasion: Occasion<'a>,
    ended: Vec<DeniedSession>,
}

impl<'a> EndReport<'a> {
    pub(super) fn new(events: &'a EventFeed, occasion: Occasion<'a>) -> Self {
        Self { events, occasion, ended: Vec::new() }
    }

    /// Takes those that were ended, and no longer only denied.
    pub(super) fn take(&mut self, ended: Vec<DeniedSession>) {
        self.ended.extend(ended);
    }

    /// Tells of the last ones, as many as are kept, and has a line for the first ones: a change may end so many that telling
    /// of all would hold it up for nothing.
    pub(super) fn tell(self) {
        if self.ended.is_empty() {
            return;
        }
        let now = Timestamp::now();
        let untold = self.ended.len().saturating_sub(KEPT);
        for (before, session) in self.ended.iter().enumerate() {
            let (has_line, has_event) = (before < LINES, before >= untold);
            if has_line || has_event {
                self.tell_one(session, now, has_line, has_event);
            }
        }
        if let Some(more) = self.ended.len().checked_sub(LINES).filter(|more| *more > 0) {
            let (cause, generation) = (self.occasion.cause().as_str(), self.occasion.generation());
            tracing::info!(more, cause, generation, "more sessions ended");
        }
    }

    fn tell_one(&self, session: &DeniedSession, now: Timestamp, has_line: bool, has_event: bool) {
        let DeniedSession { widget, decision_id, facts, since, decision, .. } = session;
        let embedder = match facts.embedder() {
            SessionEmbedder::Absent => None,
            SessionEmbedder::Opaque(origin) => Some(origin.as_str()),
            SessionEmbedder::Known(origin) => Some(origin.as_str()),
        };
        let opened_by = facts.opened_by().map(OriginBuf::as_str);
        let (cause, generation) = (self.occasion.cause(), self.occasion.generation());
        let (revision, actor) = self.occasion.change(widget);
        if has_event {
            let event = Event::SessionEnded {
                time: now,
                widget,
                embedder,
                opened_by,
                since: *since,
                cause,
                reason: decision.reason,
                generation,
                revision,
                actor,
            };
            let session = Embedding {
                widget: (&**widget).into(),
                embedder: embedder.map(Box::from),
                opened_by: opened_by.map(Box::from),
                verdict: None,
            };
            self.events.tell(Subject::Embedding(session), &event);
        }
        if has_line {
            tracing::info!(
                widget = &**widget,
                decision_id = decision_id.as_str(),
                embedder = opened_by.or(embedder),
                cause = cause.as_str(),
                reason = decision.reason.as_str(),
                generation,
                revision,
                actor,
                "session ended"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::telemetry::events::{LagReason, NextEvent, WantedEvents};
    use embedgate_policy::decision::{EdgePolicy, Facts, TicketState};
    use embedgate_policy::origin::{Embedder, Origin};
    use embedgate_policy::verdict::Class;

    /// The first event that is kept after these many sessions have ended, and the number of the last.
    async fn kept_of(count: usize) -> (String, String) {
        let facts = Facts {
            widget: "w",
            class: Class::Session,
            embedder: Embedder::Known(Origin::parse("https://a.example").unwrap()),
            missing_denied: false,
            ticket: TicketState::Absent,
        };
        let facts = SessionFacts::keep(&facts).unwrap();
        let decision = facts.judge(None, &EdgePolicy::default(), Timestamp::UNIX_EPOCH);
        let events = Arc::new(EventFeed::new());
        let mut report = EndReport::new(&events, Occasion::Policy(1));
        let session = |number: usize| DeniedSession {
            widget: format!("w{number}").into(),
            decision_id: DecisionId::new(Timestamp::UNIX_EPOCH),
            facts: facts.clone(),
            since: Timestamp::UNIX_EPOCH,
            decision,
            revocation: Arc::default(),
        };
        report.take((0..count).map(session).collect());
        report.tell();
        let mut reader = events.reader_after("other", WantedEvents::default());
        let NextEvent::Lagged(lag) = reader.next().await else { return Default::default() };
        assert_eq!(lag.reason, LagReason::Restarted);
        let NextEvent::Event(first) = reader.next().await else { return Default::default() };
        let first: serde_json::Value = serde_json::from_str(first.data()).unwrap();
        let last = events.reader(WantedEvents::default()).position().to_string();
        (first["widget"].to_string(), last.split_once('-').unwrap().1.to_owned())
    }

    #[tokio::test]
    async fn no_more_events_are_told_than_are_kept() {
        let pair = |first: &str, last: &str| (format!("\"{first}\""), last.to_owned());
        assert_eq!(kept_of(3).await, pair("w0", "3"));
        assert_eq!(kept_of(KEPT + 5).await, pair("w5", "10000"));
    }
}
