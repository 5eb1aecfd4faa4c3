//! Wakes of a connection: its task polls only what was woken. With one waker for everything, each piece that
//! a request passes to the connection would wake the running task, and all requests would be polled once more
//! for nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Wake, Waker};

use futures_util::task::AtomicWaker;

/// Maximum number of requests with their own waker.
pub const MOST: usize = 2 * WORD;

const WORD: usize = u64::BITS as usize;

/// The task is running, and sees new wakes itself.
const AT_WORK: u8 = 1;
const CONNECTION: u8 = 1 << 1;
const SOCKET: u8 = 1 << 2;
const LOW: u8 = 1 << 3;
const HIGH: u8 = 1 << 4;

/// Shared state of the wakers of one connection.
#[derive(Debug, Default)]
pub struct Wakes {
    task: AtomicWaker,
    flags: AtomicU8,
    requests: [AtomicU64; 2],
}

/// Target of a waker.
#[derive(Clone, Copy, Debug)]
pub enum Who {
    /// The connection has something to send, or can send again.
    Connection,
    /// The socket has something to read.
    Socket,
    /// The request with this number.
    Request(usize),
}

/// Woken parts of a connection, besides its requests.
#[derive(Clone, Copy, Debug)]
pub struct Woken {
    /// The connection was woken.
    pub connection: bool,
    /// The socket was woken.
    pub socket: bool,
}

#[derive(Debug)]
struct Bell {
    wakes: Arc<Wakes>,
    who: Who,
}

impl Wakes {
    /// A waker for one target.
    pub fn waker(self: &Arc<Self>, who: Who) -> Waker {
        Waker::from(Arc::new(Bell { wakes: Arc::clone(self), who }))
    }

    /// Begins a turn of the task. It is not woken until the turn has ended.
    pub fn begin(&self, task: &Waker) {
        // The waker comes first, so that a wake in between reaches the task.
        self.task.register(task);
        self.flags.fetch_or(AT_WORK, Ordering::AcqRel);
    }

    /// The numbers of the requests that were woken since the last call.
    pub fn take_requests(&self) -> impl Iterator<Item = usize> {
        // Flags before bits. A bit that is set in between sets its flag again, so it is found in the next
        // round. In the other order its flag would be cleared, and the wake lost.
        let flags = self.flags.fetch_and(!(LOW | HIGH), Ordering::AcqRel);
        let [low, high] = &self.requests;
        let low = if flags & LOW == 0 { 0 } else { low.swap(0, Ordering::AcqRel) };
        let high = if flags & HIGH == 0 { 0 } else { high.swap(0, Ordering::AcqRel) };
        let mut left = u128::from(high) << WORD | u128::from(low);
        std::iter::from_fn(move || {
            let number = left.trailing_zeros();
            left &= left.checked_sub(1)?;
            Some(number as usize)
        })
    }

    /// The other parts that were woken since the last call.
    pub fn take_connection(&self) -> Woken {
        let flags = self.flags.fetch_and(!(CONNECTION | SOCKET), Ordering::AcqRel);
        Woken { connection: flags & CONNECTION != 0, socket: flags & SOCKET != 0 }
    }

    /// Ends the turn. `false`: something was woken meanwhile, and the turn goes on.
    pub fn end(&self) -> bool {
        self.flags.compare_exchange(AT_WORK, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Ends the turn and schedules another one.
    pub fn pause(&self) {
        self.flags.fetch_and(!AT_WORK, Ordering::AcqRel);
        self.task.wake();
    }

    fn wake(&self, who: Who) {
        let flag = match who {
            Who::Connection => CONNECTION,
            Who::Socket => SOCKET,
            Who::Request(number) => {
                let (word, flag) = if number < WORD { (0, LOW) } else { (1, HIGH) };
                // Bits before flags, the reverse of `take_requests`.
                if let Some(word) = self.requests.get(word) {
                    word.fetch_or(1 << (number % WORD), Ordering::AcqRel);
                }
                flag
            }
        };
        // Any flag means that the task is running or already woken.
        if self.flags.fetch_or(flag, Ordering::AcqRel) == 0 {
            self.task.wake();
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wakes.wake(self.who);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wakes.wake(self.who);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn requests(wakes: &Wakes) -> Vec<usize> {
        wakes.take_requests().collect()
    }

    #[test]
    fn each_waker_tells_who_was_woken() {
        let wakes = Arc::new(Wakes::default());
        for number in [0, 1, 63, 64, MOST - 1] {
            wakes.waker(Who::Request(number)).wake();
            assert_eq!(requests(&wakes), [number]);
            assert!(requests(&wakes).is_empty());
        }
        for number in [MOST - 1, 5, 70, 5] {
            wakes.waker(Who::Request(number)).wake();
        }
        wakes.waker(Who::Socket).wake();
        assert_eq!(requests(&wakes), [5, 70, MOST - 1]);
        let woken = wakes.take_connection();
        assert!(woken.socket && !woken.connection);
        wakes.waker(Who::Connection).wake();
        let woken = wakes.take_connection();
        assert!(!woken.socket && woken.connection);
    }

    #[test]
    fn a_task_that_is_at_it_is_not_woken() {
        let (wakes, task) = (Arc::new(Wakes::default()), Arc::new(Task::default()));
        let (connection, request) = (wakes.waker(Who::Connection), wakes.waker(Who::Request(1)));
        let woken = || task.0.load(Ordering::Relaxed);
        wakes.begin(&Waker::from(Arc::clone(&task)));
        connection.wake_by_ref();
        assert!(!wakes.end(), "somebody was woken");
        wakes.take_connection();
        assert!(wakes.end());
        assert_eq!(woken(), 0);
        // Once for all that are woken until its next turn.
        request.wake_by_ref();
        connection.wake_by_ref();
        assert_eq!(woken(), 1);
        wakes.begin(&Waker::from(Arc::clone(&task)));
        assert_eq!(requests(&wakes), [1]);
        wakes.pause();
        assert_eq!(woken(), 2);
    }
}
