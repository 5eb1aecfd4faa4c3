//! Listeners to decisions. While there is one, and for a while after the last has left, decisions are told to the feed, so
//! that a reader whose connection broke can go on where it was. Without listeners a request pays nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::DecisionLog;
use crate::telemetry::events::{WantedEvents, WatchedDecisions};

/// How long decisions are told after the last listener has left.
pub const HEARD_FOR: Duration = Duration::from_secs(5 * 60);

/// Which decisions are told to the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum HeardDecisions {
    /// None.
    Nothing = 0,
    /// A sample of them.
    Sample = 1,
    /// All.
    Everything = 2,
}

/// Listeners to decisions.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    to_all: Audience,
    to_sample: Audience,
}

/// Listeners who want the same.
#[derive(Debug, Default)]
struct Audience {
    present: usize,
    /// When the last one left.
    left: Option<Instant>,
}

impl Audience {
    fn is_told(&self) -> bool {
        self.present > 0 || self.left.is_some()
    }

    fn enter(&mut self) {
        self.present += 1;
        self.left = None;
    }

    fn leave(&mut self) {
        self.present -= 1;
        if self.present == 0 {
            self.left = Some(Instant::now());
        }
    }

    /// Whether the last listener has been gone for long enough, asked for the first time.
    fn has_rest(&mut self) -> bool {
        self.left.take_if(|left| left.elapsed() >= HEARD_FOR).is_some()
    }
}

impl Listeners {
    fn heard(&self) -> HeardDecisions {
        match (self.to_all.is_told(), self.to_sample.is_told()) {
            (true, _) => HeardDecisions::Everything,
            (false, true) => HeardDecisions::Sample,
            (false, false) => HeardDecisions::Nothing,
        }
    }
}

/// Listener to decisions, until it is dropped.
#[derive(Debug)]
pub struct Hearing {
    log: Arc<DecisionLog>,
    /// What it asks a sample for; `None`: it wants all.
    watch: Option<WatchedDecisions>,
}

impl Drop for Hearing {
    fn drop(&mut self) {
        let mut listeners = self.log.listeners.lock();
        match &self.watch {
            None => listeners.to_all.leave(),
            Some(watch) => {
                listeners.to_sample.leave();
                self.log.events.sample().end(watch);
            }
        }
    }
}

impl DecisionLog {
    /// Has decisions told to the feed from now on: all, or a sample if so many are wanted at most.
    pub fn hear(self: &Arc<Self>, wanted: &WantedEvents) -> Hearing {
        let watch = wanted.decisions_per_second.map(|_| wanted.watch());
        let mut listeners = self.listeners.lock();
        match &watch {
            None => {
                listeners.to_all.enter();
                self.events.begin_decisions();
            }
            Some(watch) => {
                listeners.to_sample.enter();
                self.events.sample().begin(watch);
                self.events.begin_sample();
            }
        }
        self.heard.store(listeners.heard() as u8, Ordering::Relaxed);
        Hearing { log: Arc::clone(self), watch }
    }

    /// Has no more decisions told once the last listener has been gone for long enough. To be called now and then.
    pub fn rest(&self) {
        let mut listeners = self.listeners.lock();
        if listeners.to_all.has_rest() {
            self.events.end_decisions();
        }
        if listeners.to_sample.has_rest() {
            self.events.end_sample();
        }
        self.heard.store(listeners.heard() as u8, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::io;
    use std::num::NonZeroU32;

    use super::*;
    use crate::telemetry::decision_log::Scope;
    use crate::telemetry::decision_log::tests::record;
    use crate::telemetry::events::{EventFeed, Lag, LagReason, NextEvent};
    use embedgate_policy::decision::{Decision, Facts, TicketState};
    use embedgate_policy::origin::Embedder;
    use embedgate_policy::verdict::{Class, Reason, Verdict};
    use jiff::Timestamp;

    const NOTHING_KNOWN: Facts<'_> = Facts {
        widget: "w",
        class: Class::Asset,
        embedder: Embedder::Absent,
        missing_denied: false,
        ticket: TicketState::Absent,
    };

    /// Decides as a request does; says whether somebody wanted it.
    fn decide(log: &DecisionLog, verdict: Verdict, id: &str) -> bool {
        let reason = Reason::Exact;
        let decision = Decision { verdict, reason, would_deny: None, entry: None, near_miss: None };
        let targets = log.targets(&decision, &NOTHING_KNOWN, Timestamp::UNIX_EPOCH);
        targets.inspect(|targets| log.write(&record(verdict, id), *targets)).is_some()
    }

    fn log() -> (Arc<DecisionLog>, Arc<EventFeed>) {
        let events = Arc::new(EventFeed::new());
        let (log, _) = DecisionLog::start(Scope::Off, 0, Arc::clone(&events), io::sink());
        (Arc::new(log), events)
    }

    #[tokio::test(start_paused = true)]
    async fn listeners_hear_what_the_log_leaves_out_and_cost_nothing_once_gone() {
        let (log, events) = log();
        let all = WantedEvents::default;
        assert!(!decide(&log, Verdict::Deny, "none"));
        let hearing = log.hear(&all());
        let mut reader = events.reader(all());
        assert!(decide(&log, Verdict::Allow, "one"));
        let NextEvent::Event(event) = reader.next().await else { panic!("no event") };
        let told: serde_json::Value = serde_json::from_str(event.data()).unwrap();
        assert_eq!((&told["kind"], &told["decision_id"]), (&"decision".into(), &"one".into()));

        let position = reader.position().to_string();
        drop((reader, hearing));
        assert!(decide(&log, Verdict::Deny, "two"));
        tokio::time::advance(HEARD_FOR / 2).await;
        log.rest();
        let hearing = log.hear(&all());
        let mut back = events.reader_after(&position, all());
        let NextEvent::Event(event) = back.next().await else { panic!("no event") };
        assert!(event.data().contains("\"two\""), "{}", event.data());

        let position = back.position().to_string();
        drop((back, hearing));
        tokio::time::advance(HEARD_FOR).await;
        log.rest();
        assert!(!decide(&log, Verdict::Deny, "three"));
        let _hearing = log.hear(&all());
        let mut back = events.reader_after(&position, all());
        let NextEvent::Lagged(lag) = back.next().await else { panic!("no lag") };
        assert_eq!(lag, Lag { reason: LagReason::NotTold, missed: None });
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_want_only_so_many_a_sample_is_told() {
        let (log, events) = log();
        let few = || WantedEvents { decisions_per_second: NonZeroU32::new(5), ..WantedEvents::default() };
        let flood = || (0..1_000).filter(|_| decide(&log, Verdict::Allow, "one")).count();
        let hearing = log.hear(&few());
        let mut reader = events.reader(few());
        assert_eq!(flood(), 100);
        for _ in 0..5 {
            assert!(matches!(reader.next().await, NextEvent::Event(_)));
        }
        let NextEvent::Lagged(lag) = reader.next().await else { panic!("no lag") };
        assert_eq!(lag, Lag { reason: LagReason::LeftOut, missed: Some(995) });
        let position = reader.position().to_string();
        let whole = log.hear(&WantedEvents::default());
        assert_eq!(flood(), 1_000, "somebody wants all");
        let back = |wanted| events.reader_after(&position, wanted);
        assert!(matches!(back(few()).next().await, NextEvent::Event(_)));
        let NextEvent::Lagged(lag) = back(WantedEvents::default()).next().await else { panic!("no lag") };
        assert_eq!(lag.reason, LagReason::NotTold, "a sample is not all");
        drop(whole);
        tokio::time::advance(HEARD_FOR).await;
        log.rest();
        assert_eq!(flood(), 0, "the share of this second is used up");
        drop((reader, hearing));
        log.rest();
        tokio::time::advance(HEARD_FOR).await;
        log.rest();
        assert!(!decide(&log, Verdict::Deny, "none"));
        assert_eq!(log.heard.load(Ordering::Relaxed), HeardDecisions::Nothing as u8);
    }
}
