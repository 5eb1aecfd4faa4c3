//! What callers may take at once, however many there are.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::header::{self, HeaderValue};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::problem::Problem;
use crate::telemetry::tally::Tally;

/// Maximum number of connections of the admin listener.
const CONNECTIONS: usize = 128;

/// Maximum number of connections of the listener for probes.
const PROBE_CONNECTIONS: usize = CONNECTIONS / 2;

/// Maximum number of descriptors that the connections of the control plane take: those of both listeners, each with one
/// that is to be closed, and those of calls that another process passes on or gets from this one.
pub const MOST_DESCRIPTORS: usize = (CONNECTIONS + 1) * 3 + PROBE_CONNECTIONS + 1;

/// Maximum number of readers of events.
const READERS: usize = 100;

/// Total length of the large bodies that are worked on at once, in units.
const BODIES: u32 = 64 * 1024;

/// Unit of length, in bytes.
const UNIT: usize = 1024;

/// Longest body that counts as small and never waits. Connections bound how much all of them take.
const SMALL: usize = 256 * 1024;

/// How long a large body waits for its turn.
const WAIT: Duration = Duration::from_secs(5);

/// How long a large body may take to come, once it is its turn: others wait for it.
const TURN: Duration = Duration::from_secs(5 * 60);

/// What all callers may take at once.
pub struct CallBounds {
    /// Maximum number of connections of the admin listener, and of those that another process passes on.
    pub(super) connections: usize,
    bodies: Arc<Semaphore>,
    readers: Arc<Semaphore>,
    reading: Arc<Semaphore>,
    backups: Arc<Semaphore>,
    /// Calls without a known token.
    pub(super) unauthorized: Tally,
}

impl CallBounds {
    /// The bounds of callers whose connections may take so many descriptors, [`MOST_DESCRIPTORS`] if there are enough.
    pub fn within(descriptors: usize) -> Self {
        // In three places, and half as many for probes.
        let connections = (descriptors.saturating_sub(4) * 2 / 7).clamp(2, CONNECTIONS);
        Self {
            connections,
            bodies: Arc::new(Semaphore::new(usize::try_from(BODIES).unwrap_or(usize::MAX))),
            readers: Arc::new(Semaphore::new(READERS)),
            // An eighth of the connections is for others, such as those who change rules.
            reading: Arc::new(Semaphore::new(connections - (connections / 8).max(1))),
            backups: Arc::new(Semaphore::new(1)),
            unauthorized: Tally::new(|calls, peer| {
                tracing::warn!(calls, peer, "calls of the admin API without a known token were refused");
            }),
        }
    }

    /// Maximum number of connections of the listener for probes.
    pub(super) fn probe_connections(&self) -> usize {
        self.connections / 2
    }

    /// Waits for the turn of a body of this length. It lasts as long as what is returned.
    pub(super) async fn turn(&self, length: usize) -> Result<BodyTurn, Problem> {
        if length <= SMALL {
            return Ok(BodyTurn(None));
        }
        let units = u32::try_from(length.div_ceil(UNIT)).unwrap_or(u32::MAX).min(BODIES);
        match timeout(WAIT, Arc::clone(&self.bodies).acquire_many_owned(units)).await {
            Ok(Ok(turn)) => Ok(BodyTurn(Some(turn))),
            // Nobody closes the semaphore, so this is the time limit.
            Ok(Err(_)) | Err(_) => Err(busy("too_busy", "other large bodies are being worked on; try again")),
        }
    }

    /// A share of the calls of those who may only read. There are fewer than connections, so that they leave room for others.
    pub(super) fn reading(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let detail = "as many calls with tokens of the role `read` are under way as there may be; try again";
        Arc::clone(&self.reading).try_acquire_owned().map_err(|_| busy("too_busy", detail))
    }

    /// The turn of a copy of the store: there is room for one beside it.
    pub(super) fn backup(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let detail = "another copy of the store is being made or sent; try again";
        Arc::clone(&self.backups).try_acquire_owned().map_err(|_| busy("too_busy", detail))
    }

    /// A place for a reader of events.
    pub(super) fn reader(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let detail = format!("{READERS} readers of events are connected, the maximum");
        Arc::clone(&self.readers).try_acquire_owned().map_err(|_| busy("too_many_readers", detail))
    }
}

/// Turn of a body; a small one needs no permit.
pub(super) struct BodyTurn(Option<OwnedSemaphorePermit>);

impl BodyTurn {
    /// Awaits the body, a large one only for so long.
    pub(super) async fn receive<T>(
        &self,
        body: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        match self.0 {
            None => body.await,
            Some(_) => timeout(TURN, body).await.unwrap_or_else(|_| Err(Problem::body_timeout())),
        }
    }
}

fn busy(code: &'static str, detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
        .with_field(header::RETRY_AFTER, HeaderValue::from_static("5"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const LARGE: usize = 56 << 20;

    #[tokio::test(start_paused = true)]
    async fn large_bodies_take_turns_and_small_ones_never_wait() {
        let bounds = CallBounds::within(MOST_DESCRIPTORS);
        let turn = bounds.turn(LARGE).await.unwrap();
        assert!(turn.0.is_some());
        assert!(bounds.turn(LARGE).await.is_err(), "a second one");
        let beside = bounds.turn(8 << 20).await.unwrap();
        assert!(beside.0.is_some() && bounds.turn(1 << 20).await.is_err(), "all is taken");
        let small = timeout(Duration::ZERO, bounds.turn(SMALL)).await;
        assert!(small.unwrap().unwrap().0.is_none());
        drop((turn, beside));
        assert!(bounds.turn(1 << 40).await.unwrap().0.is_some(), "the longest takes all there is");
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_comes_when_another_ends() {
        let bounds = Arc::new(CallBounds::within(MOST_DESCRIPTORS));
        let turn = bounds.turn(LARGE).await.unwrap();
        let waits = tokio::spawn({
            let bounds = Arc::clone(&bounds);
            async move { bounds.turn(LARGE).await.is_ok() }
        });
        tokio::time::sleep(WAIT / 2).await;
        drop(turn);
        assert!(waits.await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_has_its_end() {
        let bounds = CallBounds::within(MOST_DESCRIPTORS);
        for (length, seconds) in [(LARGE, Some(300)), (SMALL, None)] {
            let turn = bounds.turn(length).await.unwrap();
            let begun = tokio::time::Instant::now();
            let body = turn.receive(std::future::pending::<Result<(), Problem>>());
            let ended = timeout(Duration::from_secs(3600), body).await;
            assert_eq!(ended.ok().map(|_| begun.elapsed().as_secs()), seconds, "{length}");
        }
    }

    #[test]
    fn those_who_only_read_leave_room() {
        for descriptors in [16, 96, MOST_DESCRIPTORS] {
            let bounds = CallBounds::within(descriptors);
            let reading: Vec<_> = std::iter::from_fn(|| bounds.reading().ok()).collect();
            assert!((1..bounds.connections).contains(&reading.len()), "{descriptors}: {}", reading.len());
            drop(reading);
            assert!(bounds.reading().is_ok());
        }
        assert_eq!(CallBounds::within(MOST_DESCRIPTORS).reading.available_permits(), 112);
    }

    #[test]
    fn connections_fit_into_their_descriptors() {
        for descriptors in [16, 96, 100, 450, MOST_DESCRIPTORS, 10_000] {
            let bounds = CallBounds::within(descriptors);
            let (calls, probes) = (bounds.connections, bounds.probe_connections());
            assert!((calls + 1) * 3 + probes < descriptors, "{descriptors}: {calls}, {probes}");
            assert_eq!(calls == CONNECTIONS, descriptors >= MOST_DESCRIPTORS, "{descriptors}");
        }
    }

    #[test]
    fn readers_have_places() {
        let bounds = CallBounds::within(MOST_DESCRIPTORS);
        let mut readers: Vec<_> = (0..READERS).map(|_| bounds.reader().unwrap()).collect();
        assert!(bounds.reader().is_err());
        readers.pop();
        assert!(bounds.reader().is_ok());
    }
}
