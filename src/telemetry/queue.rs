//! Queue of log lines before their writer. A line that finds no room is dropped and counted, so that no log holds the
//! edge up, whatever reads it.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::time::Instant;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};

/// Number of lines that may wait.
const LINES: usize = 4096;

/// Time for the waiting lines to be written when the process ends: with it, the process is gone within a second.
const FLUSH: Duration = Duration::from_millis(900);

/// Queue of lines. A thread of its own writes them.
#[derive(Clone, Debug)]
pub struct LogQueue {
    lines: NonBlocking,
    /// Number of lines that could not be written.
    lost: Arc<AtomicU64>,
}

/// Writes the waiting lines when it is dropped, if that does not take long.
#[derive(Debug)]
pub struct LogFlush(Vec<WorkerGuard>);

impl LogQueue {
    /// Starts the writing thread.
    pub fn start(out: impl Write + Send + 'static) -> (Self, LogFlush) {
        let lost = Arc::new(AtomicU64::new(0));
        let out = CountedLosses { out, lost: Arc::clone(&lost) };
        let (lines, guard) = NonBlockingBuilder::default().buffered_lines_limit(LINES).finish(out);
        (Self { lines, lost }, LogFlush(vec![guard]))
    }

    /// Queues one line, or drops it.
    pub(super) fn push(&self, line: &[u8]) {
        // Lines without room are counted there, and nothing else can fail.
        let _ = self.lines.clone().write_all(line);
    }

    /// The queue as a writer, of which each write is one line.
    pub(super) fn writer(&self) -> NonBlocking {
        self.lines.clone()
    }

    /// Number of lines that were dropped for want of room, or could not be written.
    pub fn dropped(&self) -> u64 {
        self.lines.error_counter().dropped_lines() as u64 + self.lost.load(Ordering::Relaxed)
    }
}

impl LogFlush {
    /// Both as one: they share the time.
    #[must_use]
    pub fn and(mut self, mut other: Self) -> Self {
        self.0.append(&mut other.0);
        self
    }
}

impl Drop for LogFlush {
    fn drop(&mut self) {
        // On threads that are left behind: the library's guard writes to standard output if the writer is stuck, and
        // that may be what is stuck.
        let (done, flushed) = mpsc::channel();
        let begin = |guard: WorkerGuard| {
            let done = done.clone();
            let flush = move || {
                drop(guard);
                // An error means that nobody waits any more.
                let _ = done.send(());
            };
            thread::Builder::new().name("flush".to_owned()).spawn(flush)
        };
        let begun = self.0.drain(..).filter_map(|guard| begin(guard).ok()).count();
        let until = Instant::now() + FLUSH;
        for _ in 0..begun {
            let left = until.saturating_duration_since(Instant::now());
            if flushed.recv_timeout(left).is_err() {
                // It takes too long.
                return;
            }
        }
    }
}

/// Writer that counts the lines which could not be written: a full disk, or a reader that has left.
struct CountedLosses<W> {
    out: W,
    lost: Arc<AtomicU64>,
}

impl<W: Write> Write for CountedLosses<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.out.write_all(line).and_then(|()| self.out.flush()).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::mpsc::Receiver;

    use parking_lot::Mutex;

    use super::*;

    /// A writer that nobody reads until it is let.
    struct Stuck(Mutex<Receiver<()>>, Arc<AtomicU64>);

    impl Write for Stuck {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let _ = self.0.lock().recv();
            self.1.fetch_add(1, Ordering::Relaxed);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_writer_holds_nobody_up_and_every_line_is_accounted_for() {
        let ((release, stuck), written) = (mpsc::channel(), Arc::new(AtomicU64::new(0)));
        let (queue, flush) = LogQueue::start(Stuck(Mutex::new(stuck), Arc::clone(&written)));
        let pushed = LINES + 1000;
        for _ in 0..pushed {
            queue.push(b"line\n");
        }
        assert!(queue.dropped() >= 999, "{}", queue.dropped());
        drop(release);
        drop(flush);
        assert_eq!(written.load(Ordering::Relaxed) + queue.dropped(), pushed as u64);
    }

    #[test]
    fn stuck_writers_do_not_keep_the_process_from_ending() {
        let stuck = || {
            let (release, stuck) = mpsc::channel();
            let (queue, flush) = LogQueue::start(Stuck(Mutex::new(stuck), Arc::default()));
            for _ in 0..LINES * 2 {
                queue.push(b"line\n");
            }
            (release, flush)
        };
        let ((_one, first), (_other, second)) = (stuck(), stuck());
        let since = Instant::now();
        drop(first.and(second));
        // Together, not one after the other.
        assert!(since.elapsed() < FLUSH * 3 / 2, "{:?}", since.elapsed());
    }

    #[test]
    fn lines_that_can_t_be_written_are_counted() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (queue, flush) = LogQueue::start(Full);
        queue.push(b"one\n");
        queue.push(b"two\n");
        drop(flush);
        assert_eq!(queue.dropped(), 2);
    }
}
