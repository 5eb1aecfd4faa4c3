//! Listeners to decisions. While there is one, and for a while after the last has left, decisions are told to the feed, so
//! that a reader whose connection broke can go on where it was. Without listeners a request pays nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::DecisionLog;

/// How long decisions are told after the last listener has left.
pub const HEARD_FOR: Duration = Duration::from_secs(5 * 60);

/// Listeners to decisions.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    present: usize,
    /// When the last one left.
    left: Option<Instant>,
}

/// Listener to decisions, until it is dropped.
#[derive(Debug)]
pub struct Hearing(Arc<DecisionLog>);

impl Drop for Hearing {
    fn drop(&mut self) {
        let mut listeners = self.0.listeners.lock();
        listeners.present -= 1;
        if listeners.present == 0 {
            listeners.left = Some(Instant::now());
        }
    }
}

impl DecisionLog {
    /// Has decisions told to the feed from now on.
    pub fn hear(self: &Arc<Self>) -> Hearing {
        let mut listeners = self.listeners.lock();
        listeners.present += 1;
        listeners.left = None;
        self.events.begin_decisions();
        self.heard.store(true, Ordering::Relaxed);
        Hearing(Arc::clone(self))
    }

    /// Has no more decisions told once the last listener has been gone for long enough. To be called now and then.
    pub fn rest(&self) {
        let mut listeners = self.listeners.lock();
        if listeners.left.is_some_and(|left| left.elapsed() >= HEARD_FOR) {
            listeners.left = None;
            self.heard.store(false, Ordering::Relaxed);
            self.events.end_decisions();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::io;

    use super::*;
    use crate::telemetry::decision_log::Scope;
    use crate::telemetry::decision_log::tests::record;
    use crate::telemetry::events::{EventFeed, Lag, LagReason, NextEvent, WantedEvents};
    use embedgate_policy::decision::Decision;
    use embedgate_policy::verdict::{Reason, Verdict};

    fn decision(verdict: Verdict) -> Decision {
        Decision { verdict, reason: Reason::Exact, would_deny: None, entry: None, near_miss: None }
    }

    fn log() -> (Arc<DecisionLog>, Arc<EventFeed>) {
        let events = Arc::new(EventFeed::new());
        let (log, _) = DecisionLog::start(Scope::Off, 0, Arc::clone(&events), io::sink());
        (Arc::new(log), events)
    }

    #[tokio::test(start_paused = true)]
    async fn listeners_hear_what_the_log_leaves_out_and_cost_nothing_once_gone() {
        let (log, events) = log();
        assert!(!log.wants(&decision(Verdict::Deny)));
        let hearing = log.hear();
        let mut reader = events.reader(WantedEvents::default());
        assert!(log.wants(&decision(Verdict::Allow)));
        log.write(&record(Verdict::Allow, "one"));
        let NextEvent::Event(event) = reader.next().await else { panic!("no event") };
        let told: serde_json::Value = serde_json::from_str(event.data()).unwrap();
        assert_eq!((&told["kind"], &told["decision_id"]), (&"decision".into(), &"one".into()));

        let position = reader.position().to_string();
        drop((reader, hearing));
        log.write(&record(Verdict::Deny, "two"));
        tokio::time::advance(HEARD_FOR / 2).await;
        log.rest();
        let hearing = log.hear();
        let mut back = events.reader_after(&position, WantedEvents::default());
        let NextEvent::Event(event) = back.next().await else { panic!("no event") };
        assert!(event.data().contains("\"two\""), "{}", event.data());

        let position = back.position().to_string();
        drop((back, hearing));
        tokio::time::advance(HEARD_FOR).await;
        log.rest();
        assert!(!log.wants(&decision(Verdict::Deny)));
        let _hearing = log.hear();
        let mut back = events.reader_after(&position, WantedEvents::default());
        let NextEvent::Lagged(lag) = back.next().await else { panic!("no lag") };
        assert_eq!(lag, Lag { reason: LagReason::NotTold, missed: None });
    }
}
