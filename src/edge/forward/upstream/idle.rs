//! Idle connections to one server, kept for later requests. Pingora's pool starts a task for each of them
//! each time, to see when it closes. Here one task checks all of them from time to time, and each is checked
//! again before use.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use crate::edge::stream::Stream;

/// Time between two checks for closed connections.
const SWEEP: Duration = Duration::from_secs(10);

/// Idle connections, the most recently used one at the back.
#[derive(Debug)]
pub struct Idle {
    most: usize,
    limit: Option<Duration>,
    connections: Mutex<VecDeque<Kept>>,
    swept: AtomicBool,
}

#[derive(Debug)]
struct Kept {
    stream: Stream,
    since: Instant,
}

impl Idle {
    /// A pool of at most `most` connections, each kept for at most `limit`.
    pub fn new(most: usize, limit: Option<Duration>) -> Self {
        Self { most, limit, connections: Mutex::default(), swept: AtomicBool::new(false) }
    }

    /// The most recently used connection, if it is still usable.
    pub fn take(&self) -> Option<Stream> {
        loop {
            let mut kept = self.connections.lock().pop_back()?;
            if self.is_good(&mut kept) {
                return Some(kept.stream);
            }
        }
    }

    /// Keeps a connection. If there are too many, the least recently used one ends.
    pub fn put(self: &Arc<Self>, stream: Stream) {
        let mut kept = Kept { stream, since: Instant::now() };
        if !is_open(&mut kept.stream) {
            return;
        }
        let mut connections = self.connections.lock();
        let surplus = if connections.len() < self.most { None } else { connections.pop_front() };
        connections.push_back(kept);
        drop(connections);
        drop(surplus);
        if !self.swept.load(Ordering::Acquire) && !self.swept.swap(true, Ordering::AcqRel) {
            tokio::spawn(Arc::clone(self).sweep());
        }
    }

    /// Ends connections that are closed or idle for too long, until none is left.
    async fn sweep(self: Arc<Self>) {
        let pause = self.limit.map_or(SWEEP, |limit| (limit / 2).clamp(Duration::from_millis(10), SWEEP));
        loop {
            tokio::time::sleep(pause).await;
            let mut connections = self.connections.lock();
            connections.retain_mut(|kept| self.is_good(kept));
            if connections.is_empty() {
                // Under the lock: the next `put` starts the next sweep.
                self.swept.store(false, Ordering::Release);
                return;
            }
        }
    }

    /// Whether a connection is neither closed nor idle for too long.
    fn is_good(&self, kept: &mut Kept) -> bool {
        self.limit.is_none_or(|limit| kept.since.elapsed() < limit) && is_open(&mut kept.stream)
    }
}

/// Whether a connection is open and silent. A server that sends something without a request is not trusted.
fn is_open(stream: &mut Stream) -> bool {
    let mut byte = [0];
    // Unconstrained: without this, a task that has used up its budget would see every connection as silent.
    tokio::task::unconstrained(stream.read(&mut byte)).now_or_never().is_none()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::io::AsyncWriteExt;

    use super::*;

    fn pair() -> (Stream, tokio::io::DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(64);
        (Stream::Connected(Box::new(ours)), theirs)
    }

    #[tokio::test]
    async fn the_last_one_used_is_the_first_to_be_used_again() {
        let idle = Arc::new(Idle::new(2, None));
        let mut theirs = Vec::new();
        for name in [b"1", b"2", b"3"] {
            let (mut stream, mut other) = pair();
            stream.write_all(name).await.unwrap();
            assert_eq!(other.read_u8().await.unwrap(), name[0]);
            idle.put(stream);
            theirs.push(other);
        }
        for (n, expected) in [(2, b'c'), (1, b'b')] {
            idle.take().unwrap().write_all(&[expected]).await.unwrap();
            assert_eq!(theirs[n].read_u8().await.unwrap(), expected);
        }
        assert!(idle.take().is_none(), "one too many was let go");
        assert!(theirs[0].read_u8().await.is_err());
    }

    #[tokio::test]
    async fn what_is_closed_late_or_speaks_unasked_is_not_used() {
        let idle = Arc::new(Idle::new(9, None));
        let (closed, other) = pair();
        idle.put(closed);
        drop(other);
        let (speaks, mut other) = pair();
        idle.put(speaks);
        other.write_all(b"x").await.unwrap();
        assert!(idle.take().is_none());

        let late = Arc::new(Idle::new(9, Some(Duration::from_millis(20))));
        let (stream, mut other) = pair();
        late.put(stream);
        // Nobody asks for it: the sweep ends it.
        assert!(other.read_u8().await.is_err());
        assert!(late.connections.lock().is_empty());
        let (stream, _other) = pair();
        late.put(stream);
        assert!(late.take().is_some(), "a second sweep begins where the first has ended");
    }
}
