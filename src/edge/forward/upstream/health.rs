//! Health of one server, as its requests and its health checks show it. A server is out if either says so.
//!
//! By requests: a server fails if it can't be reached, closes, is silent for too long or talks nonsense before the head
//! of an answer; any answer is a success, whatever its status. After a failure, only requests that may be repeated go
//! there as before: for others, the server first has to answer one, or to rest. After [`OUT_AFTER`] failures in a row
//! it is out for all. Then one request at a time tries it, after a pause that grows with each failed trial, until one is
//! answered. Requests that may be repeated try it first, because a failure costs them nothing.

use std::fmt;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::telemetry::metrics::HealthGauge;

/// Failures in a row that take a server out.
const OUT_AFTER: u32 = 3;

/// The first pause before a trial, and the longest, in milliseconds.
const FIRST_PAUSE: u64 = 1_000;
const LONGEST_PAUSE: u64 = 30_000;

/// Time at which a server is open to requests: always.
const ALWAYS: u64 = 0;

/// Health of one server.
#[derive(Debug)]
pub struct ServerHealth {
    upstream: Arc<str>,
    server: String,
    /// From when on requests that may be repeated are sent to the server. Read by each request, so that only requests
    /// that begin a trial need the lock.
    open_to_repeatable: AtomicU64,
    /// The same for all other requests. [`ALWAYS`] means that the last request was answered.
    open_to_others: AtomicU64,
    fails_checks: AtomicBool,
    record: Mutex<HealthRecord>,
    gauge: HealthGauge,
}

/// What has happened to a server.
#[derive(Debug, Default)]
struct HealthRecord {
    /// Failures in a row.
    failures: u32,
    /// The pause before the next trial, and its end.
    pause: u64,
    rested: u64,
    /// A request tries the server.
    is_tried: bool,
    /// When another request may try it, whatever has become of that one.
    trial_ends: u64,
    /// Checks in a row that were against the present judgement.
    contrary_checks: usize,
}

/// Whether a request may be sent to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerAccess {
    /// It may.
    Open,
    /// It may, as the only one that tries the server.
    Trial,
    /// It may not, as long as there are other servers.
    Closed,
}

impl ServerHealth {
    /// The health of a server that was just found.
    pub fn new(upstream: Arc<str>, server: String, gauge: HealthGauge) -> Self {
        Self {
            upstream,
            server,
            open_to_repeatable: AtomicU64::new(ALWAYS),
            open_to_others: AtomicU64::new(ALWAYS),
            fails_checks: AtomicBool::new(false),
            record: Mutex::default(),
            gauge,
        }
    }

    /// Whether a request may be sent to the server. A trial has to end by [`Self::answered`], [`Self::failed`] or
    /// [`Self::given_up`].
    pub fn admits(&self, is_repeatable: bool) -> ServerAccess {
        self.admits_at(is_repeatable, now)
    }

    fn admits_at(&self, is_repeatable: bool, now: impl FnOnce() -> u64) -> ServerAccess {
        let open = if is_repeatable { &self.open_to_repeatable } else { &self.open_to_others };
        let from = open.load(Ordering::Relaxed);
        if from == ALWAYS {
            return ServerAccess::Open;
        }
        let now = now();
        if now < from {
            return ServerAccess::Closed;
        }
        let mut record = self.record.lock();
        // Another request may have been here before.
        match open.load(Ordering::Relaxed) {
            ALWAYS => ServerAccess::Open,
            from if now < from => ServerAccess::Closed,
            _ => {
                // Some requests wait for hours, and some are never complete. Others must not wait for them.
                (record.is_tried, record.trial_ends) = (true, now + LONGEST_PAUSE);
                self.publish(&record);
                ServerAccess::Trial
            }
        }
    }

    /// Whether requests of some kind are sent to the server without a trial.
    pub fn is_in(&self) -> bool {
        self.open_to_repeatable.load(Ordering::Relaxed) == ALWAYS
    }

    /// Whether the server passes its health checks, if there are any.
    pub fn passes_checks(&self) -> bool {
        !self.fails_checks.load(Ordering::Relaxed)
    }

    /// Whether neither requests nor health checks have taken the server out, as the metrics tell it.
    pub fn is_healthy(&self) -> bool {
        self.is_in() && self.passes_checks()
    }

    /// The server's address.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Records an answer.
    pub fn answered(&self) {
        if self.open_to_others.load(Ordering::Relaxed) == ALWAYS {
            return;
        }
        let mut record = self.record.lock();
        let was_out = record.is_out();
        *record = HealthRecord { contrary_checks: record.contrary_checks, ..HealthRecord::default() };
        self.publish(&record);
        if was_out {
            tracing::info!(upstream = %self.upstream, server = self.server, "server is back: it answered a request");
        }
    }

    /// Records a failure of this kind.
    pub fn failed(&self, is_trial: bool, kind: &str) {
        self.failed_at(is_trial, kind, now());
    }

    fn failed_at(&self, is_trial: bool, kind: &str, now: u64) {
        let mut record = self.record.lock();
        let was_out = record.is_out();
        record.failed(is_trial, now);
        self.publish(&record);
        if record.is_out() && !was_out {
            tracing::warn!(
                upstream = %self.upstream,
                server = self.server,
                kind,
                "server taken out: {OUT_AFTER} requests in a row failed; single requests will try it again"
            );
        }
    }

    /// Ends a trial without an outcome, because the client has left.
    pub fn given_up(&self) {
        let mut record = self.record.lock();
        record.is_tried = false;
        self.publish(&record);
    }

    /// Records a health check: so many in a row as `most` says take the server out, or bring it back.
    pub fn checked(&self, failure: Option<&dyn fmt::Display>, most: usize) {
        let mut record = self.record.lock();
        if failure.is_some() == self.fails_checks.load(Ordering::Relaxed) {
            record.contrary_checks = 0;
            return;
        }
        record.contrary_checks += 1;
        if record.contrary_checks < most {
            return;
        }
        record.contrary_checks = 0;
        self.fails_checks.store(failure.is_some(), Ordering::Relaxed);
        self.publish(&record);
        let (upstream, server) = (&*self.upstream, self.server.as_str());
        match failure {
            Some(cause) => {
                tracing::warn!(upstream, server, %cause, "server taken out: it fails its health checks");
            }
            None => tracing::info!(upstream, server, "server passes its health checks again"),
        }
    }

    /// Lets requests see the record. Called under its lock.
    fn publish(&self, record: &HealthRecord) {
        let from = |time: u64| if record.is_tried { time.max(record.trial_ends) } else { time };
        let (repeatable, others) = match record.failures {
            0 => (ALWAYS, ALWAYS),
            1..OUT_AFTER => (ALWAYS, from(record.rested + record.pause)),
            OUT_AFTER.. => (from(record.rested), from(record.rested + record.pause)),
        };
        self.open_to_repeatable.store(repeatable, Ordering::Relaxed);
        self.open_to_others.store(others, Ordering::Relaxed);
        self.gauge.set(!record.is_out() && self.passes_checks());
    }
}

impl HealthRecord {
    fn is_out(&self) -> bool {
        self.failures >= OUT_AFTER
    }

    fn failed(&mut self, is_trial: bool, now: u64) {
        // Requests that were sent before the server was out, or because all are out, say nothing new.
        if self.is_out() && !is_trial {
            return;
        }
        let pause = if is_trial { (self.pause * 2).min(LONGEST_PAUSE) } else { self.pause };
        self.pause = pause.max(FIRST_PAUSE);
        self.failures += 1;
        self.is_tried &= !is_trial;
        // Somewhat shorter each time, so that many edges do not try a server at the same moment.
        self.rested = now + self.pause - rand::random_range(0..=self.pause / 4);
    }
}

/// Milliseconds since some moment in the past.
fn now() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    // The first millisecond is 1, because 0 has a meaning.
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX / 2).saturating_add(1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::ServerAccess::{Closed, Open, Trial};
    use super::*;
    use crate::telemetry::metrics::Metrics;

    /// A server, and its value in the metrics.
    fn server() -> (ServerHealth, impl Fn() -> char) {
        let metrics = Metrics::new().unwrap();
        let health =
            ServerHealth::new("app".into(), "a:1".to_owned(), metrics.upstreams.server("app", "a:1"));
        let told = move || {
            let text = metrics.render().unwrap();
            let line = "embedgate_upstream_healthy{server=\"a:1\",upstream=\"app\"} ";
            text.split_once(line).unwrap().1.chars().next().unwrap()
        };
        (health, told)
    }

    /// What requests that may be repeated, and others, find at this time. It begins no trial.
    fn at(health: &ServerHealth, now: u64) -> (ServerAccess, ServerAccess) {
        let kinds = [true, false].map(|is_repeatable| {
            let found = health.admits_at(is_repeatable, || now);
            if found == Trial {
                health.given_up();
            }
            found
        });
        (kinds[0], kinds[1])
    }

    #[test]
    fn failures_in_a_row_take_a_server_out_and_one_answer_brings_it_back() {
        let (health, told) = server();
        for _ in 0..3 {
            assert_eq!((at(&health, 100), told()), ((Open, Open), '1'));
            for _ in 1..OUT_AFTER {
                health.failed_at(false, "closed", 100);
                assert_eq!(
                    (at(&health, 100), told()),
                    ((Open, Closed), '1'),
                    "only for what may be repeated"
                );
                assert!(health.is_in());
            }
            health.answered();
            assert_eq!((at(&health, 100), told()), ((Open, Open), '1'), "not in a row");
            for _ in 0..OUT_AFTER {
                health.failed_at(false, "closed", 100);
            }
            assert_eq!((at(&health, 100), told()), ((Closed, Closed), '0'));
            assert!(!health.is_in());
            health.answered();
        }
    }

    #[test]
    fn the_pause_grows_with_each_failed_trial() {
        let (health, told) = server();
        for _ in 0..OUT_AFTER {
            health.failed_at(false, "closed", 100);
        }
        let mut now = 100;
        for pause in [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
            // Late failures of requests that were sent before do not count.
            health.failed_at(false, "closed", now + 1);
            assert_eq!(at(&health, now + pause * 3 / 4 - 1), (Closed, Closed), "{pause}");
            assert_eq!(at(&health, now + pause), (Trial, Closed), "{pause}: who loses nothing goes first");
            now += 2 * pause;
            assert_eq!(at(&health, now), (Trial, Trial), "{pause}");
            assert_eq!(health.admits_at(true, || now), Trial);
            assert_eq!(at(&health, now + LONGEST_PAUSE - 1), (Closed, Closed), "{pause}: one at a time");
            health.failed_at(true, "closed", now);
            assert_eq!(told(), '0');
        }
        now += 60_000;
        assert_eq!(health.admits_at(false, || now), Trial);
        health.answered();
        assert_eq!((at(&health, now), told()), ((Open, Open), '1'));
        health.failed_at(false, "closed", now);
        assert_eq!(at(&health, now + 2_000), (Open, Trial), "and the first pause is short again");
        // Without requests that may be repeated, others have to try it, at longer and longer intervals.
        for pause in [2_000, 4_000, 8_000] {
            now += 2 * pause;
            assert_eq!(health.admits_at(false, || now), Trial);
            health.failed_at(true, "closed", now);
            assert_eq!(at(&health, now + pause * 7 / 4 - 1).1, Closed, "{pause}");
        }
    }

    #[test]
    fn a_trial_that_has_no_end_is_not_waited_for() {
        let (health, _) = server();
        for _ in 0..OUT_AFTER {
            health.failed_at(false, "closed", 100);
        }
        let mut now = 2_000;
        for _ in 0..3 {
            assert_eq!(health.admits_at(true, || now), Trial);
            assert_eq!(health.admits_at(true, || now + LONGEST_PAUSE - 1), Closed);
            now += LONGEST_PAUSE;
        }
        assert_eq!(health.admits_at(true, || now), Trial);
        health.answered();
        assert_eq!(at(&health, now), (Open, Open));
    }

    #[test]
    fn a_server_is_out_if_requests_or_checks_say_so() {
        let (health, told) = server();
        health.checked(Some(&"no"), 2);
        assert!(health.passes_checks());
        health.checked(None, 1);
        health.checked(Some(&"no"), 2);
        assert!(health.passes_checks(), "two in a row");
        health.checked(Some(&"no"), 2);
        assert_eq!((health.passes_checks(), told()), (false, '0'));
        health.answered();
        assert_eq!((health.passes_checks(), told()), (false, '0'), "an answer is no check");
        for _ in 0..OUT_AFTER {
            health.failed_at(false, "closed", 100);
        }
        health.checked(None, 1);
        assert_eq!((health.passes_checks(), health.is_in(), told()), (true, false, '0'));
        health.answered();
        assert_eq!((health.is_in(), told()), (true, '1'));
    }

    #[test]
    fn one_of_many_threads_gets_the_trial() {
        let (health, _) = server();
        for _ in 0..OUT_AFTER {
            health.failed_at(false, "closed", 0);
        }
        let trials = std::thread::scope(|scope| {
            let asked: Vec<_> =
                (0..8).map(|_| scope.spawn(|| health.admits_at(true, || 10_000) == Trial)).collect();
            asked.into_iter().map(|asked| asked.join().unwrap()).filter(|is| *is).count()
        });
        assert_eq!(trials, 1);
    }
}
