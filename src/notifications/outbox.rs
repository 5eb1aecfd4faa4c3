//! Outbox: notifications on their way to whoever runs the widgets, kept until they have arrived.
//!
//! # What holds
//!
//! - A notice counts as taken once it is on the disk. Those that wait at the same time are written together, at once. Where the
//!   disk takes nothing, they wait in memory, and are sent from there.
//! - Within a widget and queue, notifications arrive in the order in which they were taken. `session.revoked` has a queue of
//!   its own, in order within a widget and embedder, and so have tests.
//! - Each arrives at least once, over a restart, too, and always with the same id. The file forgets it after it has arrived.
//! - An id that was told is remembered for a day, that of something that expires until a day after that; what comes again
//!   meanwhile is not told again. `session.revoked` and tests always are.
//! - Nobody who tells is held up.
//!
//! # Bounds
//!
//! | what | at most | beyond it |
//! |---|---|---|
//! | notices that are not written yet | 4,096, and 8 MiB | dropped; changes of rules are counted in the next `rules.summary` |
//! | changes of the file that wait, such as of sessions that have left the edge | 4,096 | refused at once |
//! | `session.revoked` among what waits | 5,000, and 32 MiB | left with [`super::remembered`] until there is room |
//! | notifications that wait, in memory and on disk | 10,000, and 64 MiB | the oldest becomes a dead letter, `session.revoked` last |
//! | dead letters | 1,000, and 16 MiB | the oldest is dropped |
//! | ids that are remembered, on disk alone | 100,000 | those that would be forgotten first |
//! | `embedder.first_denied` and `embedder.first_seen` of a widget in an hour | 20 | counted in one `embedder.summary` at its end |
//! | `rules.changed` in an hour | 200 | counted in one `rules.summary` at its end |
//!
//! # Two processes
//!
//! In an upgrade the file goes to the new process with everything that waits. What the old process is told after that is
//! dropped: the new one judges by the same rules, and tells. What the old one alone would know, such as the first denial of
//! an embedder on a connection that it still serves, is not told.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{Notify as Wake, oneshot};
use tokio::time::Instant;

use self::file::OutboxFile;
use self::hours::HourlyBound;
use self::intake::{FileWork, NoticeIntake};
use self::lanes::Lanes;
use super::fact::{QueueKind, WebhookId};
use super::notice::Notice;
use super::notifier::Notify;
use super::receiver::WebhookReceiver;
use crate::database::{DatabaseError, DatabaseFault, Lendable};
use crate::telemetry::events::EventFeed;
use crate::telemetry::metrics::{NotificationMetrics, NotificationOutcome};

mod backoff;
mod bounds;
mod file;
mod hours;
mod intake;
mod keeping;
mod lanes;
mod row;
mod sending;
mod state;

pub use file::FileChange;
pub use state::{DeadLetters, FailingNotification, LetterPlace, NotSent, OutboxState, ShownLetter};

/// Writes before the file is let go of: of what is there then, and of what came meanwhile.
const LAST_WRITES: usize = 2;

/// Outbox of this edge.
#[derive(Debug)]
pub struct Outbox {
    file: OutboxFile,
    receiver: ArcSwapOption<WebhookReceiver>,
    intake: Mutex<NoticeIntake>,
    /// Held while the file is read or written.
    writing: Mutex<Writing>,
    waiting: Mutex<Waiting>,
    /// There is something to write.
    to_write: Wake,
    /// There is something to send.
    to_send: Wake,
    /// The last write has failed.
    failing: AtomicBool,
    events: Arc<EventFeed>,
    metrics: NotificationMetrics,
}

/// What only whoever writes needs.
#[derive(Debug, Default)]
struct Writing {
    /// What is kept has been read.
    is_read: bool,
    /// Number of the next notification.
    next: u64,
    hours: HourlyBound,
    /// The last write has failed, or the file was begun anew: the next one writes everything.
    writes_all: bool,
    /// How often it was begun anew.
    begun_anew: u64,
    /// What could not be written yet.
    gone: Vec<u64>,
    forgotten: Vec<u64>,
}

/// What waits, and what was given up.
#[derive(Debug, Default)]
struct Waiting {
    lanes: Lanes,
    /// In the order of their places.
    dead: VecDeque<Arc<DeadLetter>>,
    dead_bytes: usize,
    /// Numbers of notifications that have left their lanes, of which the file doesn't know yet.
    gone: Vec<u64>,
    /// Dead letters of which it doesn't know yet.
    buried: Vec<Arc<DeadLetter>>,
    /// Numbers of those that it may forget.
    forgotten: Vec<u64>,
    /// Dead letters that are to be tried again.
    revived: Vec<Arc<Queued>>,
    last_arrival: Option<Timestamp>,
}

/// Notification that was taken.
#[derive(Debug, PartialEq, Eq)]
struct Queued {
    /// Its place in the order in which they were taken.
    number: u64,
    id: WebhookId,
    kind: Box<str>,
    widget: Option<Box<str>>,
    /// The embedder of a revocation.
    embedder: Option<Box<str>>,
    queue: QueueKind,
    /// The webhook's body, as JSON.
    body: Box<str>,
    taken: Timestamp,
}

/// Notification that was given up.
#[derive(Debug, PartialEq, Eq)]
struct DeadLetter {
    queued: Arc<Queued>,
    died: Timestamp,
    tries: u32,
    error: Box<str>,
}

impl Queued {
    fn bytes(&self) -> usize {
        self.body.len() + self.kind.len() + self.widget.as_deref().map_or(0, str::len)
    }
}

impl Outbox {
    /// An outbox in this file, which is opened, or made, when it is first used.
    pub fn new(path: &Path, events: Arc<EventFeed>, metrics: NotificationMetrics) -> Arc<Self> {
        Arc::new(Self {
            file: OutboxFile::new(path),
            receiver: ArcSwapOption::empty(),
            intake: Mutex::default(),
            writing: Mutex::default(),
            waiting: Mutex::default(),
            to_write: Wake::new(),
            to_send: Wake::new(),
            failing: AtomicBool::new(false),
            events,
            metrics,
        })
    }

    /// Sends to this receiver from now on, at once whatever waits; `None`: nothing is queued and nothing is sent.
    pub fn set_receiver(&self, receiver: Option<Arc<WebhookReceiver>>) {
        self.receiver.store(receiver);
        self.waiting.lock().lanes.retry_all(Instant::now());
        self.to_write.notify_one();
        self.to_send.notify_one();
    }

    /// The receiver in force.
    pub fn receiver(&self) -> Option<Arc<WebhookReceiver>> {
        self.receiver.load_full()
    }

    /// Takes notices durably, and in the same transaction makes a change of other tables of the same file, which
    /// [`Outbox::read`] reads: whoever keeps something there can put a notice in its place. It is done with the next write,
    /// whether the answer is waited for or not.
    ///
    /// # Errors
    ///
    /// The file can't be written, another process has it, or too many changes wait for it. The change is not made then, as
    /// far as is known. The notices are taken all the same, in memory, unless another process has the file.
    pub fn commit(
        &self,
        notices: Vec<Notice>,
        change: FileChange,
    ) -> impl Future<Output = Result<(), DatabaseError>> + Send + use<> {
        let (done, answer) = oneshot::channel();
        self.intake.lock().take_work(FileWork { notices, change, done });
        self.to_write.notify_one();
        async move {
            let ended = || DatabaseError { detail: "the process ends".to_owned() };
            answer.await.unwrap_or_else(|_| Err(ended()))
        }
    }

    /// Reads other tables of the same file.
    ///
    /// # Errors
    ///
    /// The file can't be read, or another process has it.
    pub fn read<T>(
        &self,
        work: impl FnOnce(&redb::Database) -> Result<T, DatabaseFault>,
    ) -> Result<T, DatabaseError> {
        self.file.with(work)
    }

    /// How often the file was begun anew in place of a damaged one.
    pub fn times_begun_anew(&self) -> u64 {
        self.file.times_begun_anew()
    }

    /// Keeps and sends notifications. Runs for ever.
    pub async fn run(self: Arc<Self>) {
        tokio::join!(self.keep(), self.send());
    }
}

impl Notify for Outbox {
    fn tell(&self, notice: Notice) {
        let kind = notice.kind();
        if !self.intake.lock().take(notice) {
            self.metrics.count(kind, NotificationOutcome::Dropped);
        }
        self.to_write.notify_one();
    }

    fn is_wanted(&self) -> bool {
        // Without a receiver, the events tell. After another process has taken over, that one does.
        !self.file.is_lent()
    }
}

impl Lendable for Outbox {
    fn let_go(&self) {
        for _ in 0..LAST_WRITES {
            // What could not be written before may find room now.
            let is_behind = self.has_changes() || self.writing.lock().writes_all;
            if self.intake.lock().is_empty() && !is_behind {
                break;
            }
            self.write();
        }
        // Nobody writes meanwhile.
        let mut writing = self.writing.lock();
        let mut waiting = self.waiting.lock();
        if writing.writes_all {
            tracing::error!(
                notifications = waiting.lanes.len(),
                "notify.path: notifications that wait could not be kept"
            );
        }
        *writing = Writing::default();
        *waiting = Waiting::default();
        drop(waiting);
        self.file.let_go();
    }

    fn take_back(&self) {
        self.file.take_back();
        self.to_write.notify_one();
    }
}

#[cfg(test)]
mod tests;
