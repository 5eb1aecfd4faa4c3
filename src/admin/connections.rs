//! Open connections of one listener: how many there may be, and which of them leaves when another one comes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::sockets::network;
use crate::telemetry::tally::Tally;

/// Time limit for the whole head of a request, from its first byte, and for the first one of a connection.
const HEAD: Duration = Duration::from_secs(10);

/// Time limit for the next request.
const IDLE: Duration = Duration::from_secs(60);

/// What a connection has shown. When there is no room, one of the lowest leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// Its call was refused, and waits for the answer.
    Refused,
    /// It has shown nothing yet.
    Stranger,
    /// It has shown a certificate, or made a good call.
    Known,
    /// It is at a call where any is a good one.
    Asking,
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
    /// The answer to be taken: it is complete, but has not been sent to its end.
    Taking,
}

/// How it is with a connection.
struct Condition {
    standing: Standing,
    /// Since when.
    since: Instant,
    expected: Expected,
    /// Its share of the calls of those who may only read, while it is at one.
    reading: Option<OwnedSemaphorePermit>,
}

impl Condition {
    fn stand(&mut self, standing: Standing) {
        (self.standing, self.since) = (standing, Instant::now());
    }

    /// The call is over.
    fn end_call(&mut self) {
        self.reading = None;
        match self.standing {
            Standing::AtWork => self.stand(Standing::Known),
            Standing::Refused | Standing::Asking => self.stand(Standing::Stranger),
            Standing::Stranger | Standing::Known => {}
        }
    }
}

/// Connection of a caller.
pub(super) struct CallerConnection {
    peer: Option<SocketAddr>,
    condition: Mutex<Condition>,
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
        self.wait_for(&mut self.condition.lock(), Expected::First, Some(HEAD));
    }

    /// The caller has shown a certificate.
    pub(super) fn certified(&self) {
        self.condition.lock().stand(Standing::Known);
    }

    /// Bytes have come.
    pub(super) fn heard(&self) {
        let mut condition = self.condition.lock();
        if condition.expected == Expected::Next {
            self.wait_for(&mut condition, Expected::Rest, Some(HEAD));
        }
    }

    /// A request has come.
    pub(super) fn asked(&self) {
        let mut condition = self.condition.lock();
        // The answer of the call before may still be on its way.
        condition.end_call();
        if self.is_open_to_all {
            condition.stand(Standing::Asking);
        }
        self.wait_for(&mut condition, Expected::Nothing, None);
    }

    /// The call is a good one. `reading`: its share of the calls of those who may only read, if it is one.
    pub(super) fn at_work(&self, reading: Option<OwnedSemaphorePermit>) {
        let mut condition = self.condition.lock();
        condition.reading = reading;
        condition.stand(Standing::AtWork);
    }

    /// The call is refused for its token.
    pub(super) fn refused(&self) {
        self.condition.lock().stand(Standing::Refused);
    }

    /// The answer is a stream, or is not.
    pub(super) fn set_streams(&self, streams: bool) {
        self.streams.store(streams, Ordering::Relaxed);
    }

    /// Whether it has shown a certificate or made a good call.
    pub(super) fn is_known(&self) -> bool {
        matches!(self.condition.lock().standing, Standing::Known | Standing::AtWork)
    }

    /// Whether the answer is a stream.
    pub(super) fn streams(&self) -> bool {
        self.streams.load(Ordering::Relaxed)
    }

    /// The answer is complete. The call is over once all of it is sent: the other side may be slow to take it.
    pub(super) fn answered(&self) {
        self.wait_for(&mut self.condition.lock(), Expected::Taking, None);
    }

    /// Nothing is left to be sent.
    pub(super) fn flushed(&self) {
        let mut condition = self.condition.lock();
        if condition.expected == Expected::Taking {
            condition.end_call();
            self.wait_for(&mut condition, Expected::Next, Some(IDLE));
        }
    }

    /// The address that it is counted for.
    fn network(&self) -> Option<IpAddr> {
        self.peer.map(|peer| network(peer.ip()))
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

    fn wait_for(&self, condition: &mut Condition, expected: Expected, within: Option<Duration>) {
        condition.expected = expected;
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
pub(super) struct ConnectionPlace {
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

    /// A place for a new connection. If there is none left, another one leaves, and is waited for, so that there is never
    /// more than one too many. `None`: all are at good calls.
    pub(super) async fn take(&self, peer: Option<SocketAddr>) -> Option<ConnectionPlace> {
        loop {
            if let Some(place) = self.free(peer) {
                return Some(place);
            }
            let Some(leaves) = self.least() else {
                self.0.crowded.count(name(peer));
                return None;
            };
            if !leaves.leave.is_cancelled() {
                self.0.crowded.count(name(leaves.peer));
                leaves.leave.cancel();
            }
            self.0.given_back.notified().await;
        }
    }

    /// A place, if one is free.
    fn free(&self, peer: Option<SocketAddr>) -> Option<ConnectionPlace> {
        let mut taken = self.0.taken.lock();
        if taken.len() >= self.0.most {
            return None;
        }
        let number = taken.last_key_value().map_or(0, |(last, _)| last + 1);
        let connection = Arc::new(CallerConnection {
            peer,
            condition: Mutex::new(Condition {
                standing: Standing::Stranger,
                since: Instant::now(),
                expected: Expected::Nothing,
                reading: None,
            }),
            deadline: watch::Sender::new(None),
            is_open_to_all: self.0.is_open_to_all,
            streams: AtomicBool::new(false),
            leave: CancellationToken::new(),
        });
        taken.insert(number, Arc::clone(&connection));
        Some(ConnectionPlace { places: Arc::clone(&self.0), number, connection })
    }

    /// The connection that leaves next. Of those that have shown least, it is one of the address that has the most of them,
    /// so that whoever opens many at once closes its own; of these, the one that is so for longest.
    fn least(&self) -> Option<Arc<CallerConnection>> {
        let taken = self.0.taken.lock();
        let mut lowest = (Standing::AtWork, Vec::new());
        for connection in taken.values() {
            let (standing, since) = {
                let condition = connection.condition.lock();
                (condition.standing, condition.since)
            };
            if standing < lowest.0 {
                lowest = (standing, Vec::new());
            }
            if standing == lowest.0 && standing < Standing::AtWork {
                lowest.1.push((connection.network(), since, connection));
            }
        }
        let mut of_network: HashMap<Option<IpAddr>, usize> = HashMap::new();
        for (network, ..) in &lowest.1 {
            *of_network.entry(*network).or_default() += 1;
        }
        let leaves =
            lowest.1.iter().min_by_key(|(network, since, _)| (Reverse(of_network.get(network)), *since));
        leaves.map(|(.., connection)| Arc::clone(connection))
    }
}

impl ConnectionPlace {
    /// The connection that has it.
    pub(super) fn connection(&self) -> &Arc<CallerConnection> {
        &self.connection
    }
}

impl Drop for ConnectionPlace {
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
    fn hold(place: ConnectionPlace) -> (Arc<CallerConnection>, tokio::task::JoinHandle<()>) {
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
        held[0].0.at_work(None);
        held[1].0.at_work(None);
        held[1].0.answered();
        held[1].0.flushed();
        held[4].0.refused();
        for leaves in [4, 2, 3] {
            let newest = places.take(None).await.unwrap();
            newest.connection().at_work(None);
            let gone: Vec<usize> = (0..5).filter(|place| held[*place].1.is_finished()).collect();
            assert!(gone.contains(&leaves), "{leaves}: {gone:?}");
            held.push(hold(newest));
        }
        drop(hold(places.take(None).await.unwrap()));
        assert!(held[1].1.is_finished() && !held[0].1.is_finished());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_opens_many_closes_its_own() {
        for (many, few) in
            [("192.0.2.1", "192.0.2.2"), ("2001:db8::", "192.0.2.1"), ("::ffff:192.0.2.1", "::1")]
        {
            for is_open_to_all in [false, true] {
                let (many, few): (IpAddr, IpAddr) = (many.parse().unwrap(), few.parse().unwrap());
                let places = places(8, is_open_to_all);
                let operator = hold(places.take(Some(SocketAddr::new(few, 1))).await.unwrap());
                for number in 0..1000_u16 {
                    sleep(Duration::from_millis(1)).await;
                    // Many addresses of one network are one.
                    let peer = match many {
                        IpAddr::V6(many) if many.to_ipv4_mapped().is_none() => {
                            IpAddr::V6((many.to_bits() + u128::from(number)).into())
                        }
                        many => many,
                    };
                    let _ = hold(places.take(Some(SocketAddr::new(peer, number))).await.unwrap());
                }
                assert!(!operator.1.is_finished(), "{many} keeps {few} out");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn where_any_call_is_good_the_longest_idle_leaves() {
        let places = places(4, true);
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(hold(places.take(None).await.unwrap()));
            sleep(Duration::from_millis(1)).await;
        }
        // One asks again and again, and one is at a call.
        held[0].0.asked();
        held[1].0.asked();
        held[1].0.answered();
        for leaves in [2, 3] {
            held[0].0.asked();
            held[0].0.answered();
            held[0].0.flushed();
            held.push(hold(places.take(None).await.unwrap()));
            let gone: Vec<usize> = (0..held.len()).filter(|place| held[*place].1.is_finished()).collect();
            assert_eq!(gone, (2..=leaves).collect::<Vec<_>>());
            sleep(Duration::from_millis(1)).await;
        }
        // One that has asked is no better than one that came later.
        held.push(hold(places.take(None).await.unwrap()));
        sleep(Duration::from_millis(1)).await;
        held.push(hold(places.take(None).await.unwrap()));
        assert!(held[4].1.is_finished() && held[0].1.is_finished() && !held[1].1.is_finished());
        for (connection, _) in held.iter().skip(2) {
            connection.asked();
        }
        assert!(places.take(None).await.is_some(), "all are at calls");
        assert!(held[1].1.is_finished(), "the one that is at it for longest");
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_of_reading_ends_with_the_call() {
        let shares = Arc::new(tokio::sync::Semaphore::new(1));
        let places = places(2, false);
        let place = places.take(None).await.unwrap();
        let connection = place.connection();
        let share = || Arc::clone(&shares).try_acquire_owned();
        for is_pipelined in [false, true] {
            connection.asked();
            connection.at_work(Some(share().unwrap()));
            connection.flushed();
            connection.answered();
            assert!(share().is_err(), "its answer is on its way");
            if is_pipelined {
                connection.asked();
            } else {
                connection.flushed();
            }
            assert!(share().is_ok() && connection.is_known());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_place_is_left_where_all_are_at_work() {
        let places = places(2, false);
        let (first, second) = (places.take(None).await.unwrap(), places.take(None).await.unwrap());
        first.connection().at_work(None);
        second.connection().at_work(None);
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
        assert_eq!(ends_after().await, None, "what is being taken");
        connection.flushed();
        assert_eq!(ends_after().await, Some(60));
        connection.asked();
        connection.answered();
        connection.flushed();
        connection.heard();
        sleep(Duration::from_secs(4)).await;
        connection.heard();
        assert_eq!(ends_after().await, Some(6), "the whole of a head");
    }
}
