//! Open connections of one listener: how many there may be, and which of them leaves when another one comes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::telemetry::tally::Tally;

/// Time limit for the whole head of a request, from its first byte, and for the first one of a connection.
const HEAD: Duration = Duration::from_secs(10);

/// Time limit for the next request.
const IDLE: Duration = Duration::from_secs(60);

/// What a connection has shown. When there is no room, the lowest leaves, and of these the one that is so for longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// Its call was refused, and waits for the answer.
    Refused,
    /// It has shown nothing yet.
    Stranger,
    /// It has shown a certificate, or made a good call.
    Known,
    /// It is at a good call, and stays.
    AtWork,
}

/// What is expected of the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// The first request.
    First,
    /// Another request.
    Next,
    /// The rest of a head.
    Rest,
    /// Nothing: a call is being answered.
    Nothing,
}

/// Connection of a caller.
pub(super) struct CallerConnection {
    peer: Option<SocketAddr>,
    standing: Mutex<(Standing, Instant)>,
    expected: Mutex<Expected>,
    /// When it ends, unless what is expected has come.
    deadline: watch::Sender<Option<Instant>>,
    /// Any call is a good one, but none is a reason to stay.
    is_open_to_all: bool,
    streams: AtomicBool,
    leave: CancellationToken,
}

impl CallerConnection {
    /// Waits for the first request from now on.
    pub(super) fn expect_first(&self) {
        self.wait_for(Expected::First, Some(HEAD));
    }

    /// The caller has shown a certificate.
    pub(super) fn certified(&self) {
        self.stand(Standing::Known);
    }

    /// Bytes have come.
    pub(super) fn heard(&self) {
        let mut expected = self.expected.lock();
        if *expected == Expected::Next {
            *expected = Expected::Rest;
            self.deadline.send_replace(Some(Instant::now() + HEAD));
        }
    }

    /// A request has come.
    pub(super) fn asked(&self) {
        self.wait_for(Expected::Nothing, None);
    }

    /// The call is a good one.
    pub(super) fn at_work(&self) {
        self.stand(Standing::AtWork);
    }

    /// The call is refused for its token.
    pub(super) fn refused(&self) {
        self.stand(Standing::Refused);
    }

    /// The answer is a stream, or is not.
    pub(super) fn set_streams(&self, streams: bool) {
        self.streams.store(streams, Ordering::Relaxed);
    }

    /// Whether it has shown a certificate or made a good call.
    pub(super) fn is_known(&self) -> bool {
        self.standing.lock().0 >= Standing::Known
    }

    /// Whether the answer is a stream.
    pub(super) fn streams(&self) -> bool {
        self.streams.load(Ordering::Relaxed)
    }

    /// The answer is complete.
    pub(super) fn answered(&self) {
        let before = self.standing.lock().0;
        match before {
            Standing::AtWork => self.stand(Standing::Known),
            Standing::Stranger | Standing::Known if self.is_open_to_all => self.stand(Standing::Known),
            Standing::Refused => self.stand(Standing::Stranger),
            Standing::Stranger | Standing::Known => {}
        }
        self.wait_for(Expected::Next, Some(IDLE));
    }

    /// Who it is.
    pub(super) fn peer(&self) -> String {
        name(self.peer)
    }

    /// Resolves when the connection has to end: it took too long, or another one needs its place.
    pub(super) async fn over(&self) {
        let mut deadline = self.deadline.subscribe();
        loop {
            let at = *deadline.borrow_and_update();
            let late = async {
                match at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = late => return,
                () = self.leave.cancelled() => return,
                // The sender lives as long as this.
                _ = deadline.changed() => {}
            }
        }
    }

    fn stand(&self, standing: Standing) {
        *self.standing.lock() = (standing, Instant::now());
    }

    fn wait_for(&self, expected: Expected, within: Option<Duration>) {
        let mut now = self.expected.lock();
        *now = expected;
        self.deadline.send_replace(within.map(|within| Instant::now() + within));
    }
}

fn name(peer: Option<SocketAddr>) -> String {
    peer.map_or_else(|| "another process".to_owned(), |peer| peer.to_string())
}

/// Places for connections.
#[derive(Clone)]
pub(super) struct Places(Arc<Shared>);

struct Shared {
    most: usize,
    is_open_to_all: bool,
    taken: Mutex<BTreeMap<u64, Arc<CallerConnection>>>,
    given_back: Notify,
    crowded: Tally,
}

/// Place of one connection, given back when it is dropped: after the connection itself.
pub(super) struct Place {
    places: Arc<Shared>,
    number: u64,
    connection: Arc<CallerConnection>,
}

impl Places {
    /// So many places. `is_open_to_all`: no call needs a token.
    pub(super) fn new(most: usize, is_open_to_all: bool, crowded: fn(u64, &str)) -> Self {
        let (taken, given_back, crowded) = (Mutex::default(), Notify::new(), Tally::new(crowded));
        Self(Arc::new(Shared { most, is_open_to_all, taken, given_back, crowded }))
    }

    /// A place for a new connection. If there is none left, the connection leaves that has shown least for longest, and
    /// is waited for, so that there is never more than one too many. `None`: all are at good calls.
    pub(super) async fn take(&self, peer: Option<SocketAddr>) -> Option<Place> {
        loop {
            if let Some(place) = self.free(peer) {
                return Some(place);
            }
            let leaves = self.least();
            let closed = leaves.as_ref().map_or(peer, |connection| connection.peer);
            self.0.crowded.count(name(closed));
            leaves?.leave.cancel();
            self.0.given_back.notified().await;
        }
    }

    /// A place, if one is free.
    fn free(&self, peer: Option<SocketAddr>) -> Option<Place> {
        let mut taken = self.0.taken.lock();
        if taken.len() >= self.0.most {
            return None;
        }
        let number = taken.last_key_value().map_or(0, |(last, _)| last + 1);
        let connection = Arc::new(CallerConnection {
            peer,
            standing: Mutex::new((Standing::Stranger, Instant::now())),
            expected: Mutex::new(Expected::Nothing),
            deadline: watch::Sender::new(None),
            is_open_to_all: self.0.is_open_to_all,
            streams: AtomicBool::new(false),
            leave: CancellationToken::new(),
        });
        taken.insert(number, Arc::clone(&connection));
        Some(Place { places: Arc::clone(&self.0), number, connection })
    }

    /// The connection that leaves next.
    fn least(&self) -> Option<Arc<CallerConnection>> {
        let taken = self.0.taken.lock();
        let standings = taken.values().map(|connection| (*connection.standing.lock(), connection));
        let may_leave = standings.filter(|((standing, _), _)| *standing < Standing::AtWork);
        may_leave.min_by_key(|(standing, _)| *standing).map(|(_, connection)| Arc::clone(connection))
    }
}

impl Place {
    /// The connection that has it.
    pub(super) fn connection(&self) -> &Arc<CallerConnection> {
        &self.connection
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.lock().remove(&self.number);
        self.places.given_back.notify_one();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::time::{sleep, timeout};

    use super::*;

    fn places(most: usize, is_open_to_all: bool) -> Places {
        Places::new(most, is_open_to_all, |_, _| {})
    }

    /// Holds a place as a connection does, until it has to end.
    fn hold(place: Place) -> (Arc<CallerConnection>, tokio::task::JoinHandle<()>) {
        let connection = Arc::clone(place.connection());
        let held = Arc::clone(&connection);
        let task = tokio::spawn(async move {
            held.over().await;
            drop(place);
        });
        (connection, task)
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_shown_least_for_longest_leaves() {
        let places = places(5, false);
        let mut held = Vec::new();
        for _ in 0..5 {
            held.push(hold(places.take(None).await.unwrap()));
            sleep(Duration::from_millis(1)).await;
        }
        held[0].0.at_work();
        held[1].0.at_work();
        held[1].0.answered();
        held[4].0.refused();
        for leaves in [4, 2, 3] {
            let newest = places.take(None).await.unwrap();
            newest.connection().at_work();
            let gone: Vec<usize> = (0..5).filter(|place| held[*place].1.is_finished()).collect();
            assert!(gone.contains(&leaves), "{leaves}: {gone:?}");
            held.push(hold(newest));
        }
        drop(hold(places.take(None).await.unwrap()));
        assert!(held[1].1.is_finished() && !held[0].1.is_finished());
    }

    #[tokio::test(start_paused = true)]
    async fn no_place_is_left_where_all_are_at_work() {
        let places = places(2, false);
        let (first, second) = (places.take(None).await.unwrap(), places.take(None).await.unwrap());
        first.connection().at_work();
        second.connection().at_work();
        assert!(places.take(None).await.is_none());
        drop(first);
        assert!(places.take(None).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_waits_until_the_other_has_left() {
        let places = places(1, true);
        let slow = places.take(None).await.unwrap();
        assert!(timeout(Duration::from_secs(1), places.take(None)).await.is_err());
        drop(slow);
        assert!(places.take(None).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn each_wait_has_its_end() {
        let places = places(1, true);
        let place = places.take(None).await.unwrap();
        let connection = Arc::clone(place.connection());
        let ends_after = async || {
            let begun = Instant::now();
            let over = timeout(Duration::from_secs(3600), connection.over()).await;
            over.ok().map(|()| begun.elapsed().as_secs())
        };
        assert_eq!(ends_after().await, None, "a handshake has a limit of its own");
        connection.expect_first();
        connection.heard();
        assert_eq!(ends_after().await, Some(10));
        connection.asked();
        connection.heard();
        assert_eq!(ends_after().await, None, "what is being answered");
        connection.answered();
        assert_eq!(ends_after().await, Some(60));
        connection.answered();
        connection.heard();
        sleep(Duration::from_secs(4)).await;
        connection.heard();
        assert_eq!(ends_after().await, Some(6), "the whole of a head");
    }
}
