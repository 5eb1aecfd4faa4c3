//! Outbox: notifications on their way to whoever runs the widgets, kept until they have arrived.
//!
//! # What holds
//!
//! - A notice counts as taken once it is on the disk. Those that wait at the same time are written together, at once. Where the
//!   disk takes nothing, they wait in memory, and are sent from there.
//! - Within a widget and queue, notifications arrive in the order in which they were taken. `session.revoked` has a queue of
//!   its own, and so have tests.
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
use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{Notify as Wake, oneshot};
use tokio::time::{Instant, sleep};

use self::file::{Batch, Candidate, OutboxFile};
use self::hours::HourlyBound;
use self::intake::{FileWork, Intake};
use self::lanes::Lanes;
use super::fact::{QueueKind, WebhookId};
use super::notice::Notice;
use super::notifier::Notify;
use super::receiver::WebhookReceiver;
use crate::database::{DatabaseError, DatabaseFault, Lendable};
use crate::telemetry::events::{Event, EventFeed, Subject};
use crate::telemetry::metrics::{NotificationMetrics, NotificationOutcome};

mod backoff;
mod file;
mod hours;
mod intake;
mod lanes;
mod row;
mod sending;
mod state;

pub use file::FileChange;
pub use state::{DeadLetters, FailingNotification, NotSent, OutboxState, ShownLetter};

/// Notifications that wait at most, and bytes of them.
const MOST: usize = 10_000;
const MOST_BYTES: usize = 64 << 20;

/// Dead letters that are kept at most, and bytes of them.
const MOST_DEAD: usize = 1_000;
const MOST_DEAD_BYTES: usize = 16 << 20;

/// Time between two writes while nothing can be written.
const RETRY: Duration = Duration::from_secs(1);

/// Writes before the file is let go of: of what is there then, and of what came meanwhile.
const LAST_WRITES: usize = 2;

/// Outbox of this edge.
#[derive(Debug)]
pub struct Outbox {
    file: OutboxFile,
    receiver: ArcSwapOption<WebhookReceiver>,
    intake: Mutex<Intake>,
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
    /// The last write has failed: the next one writes everything.
    writes_all: bool,
    /// What could not be written yet.
    gone: Vec<u64>,
    forgotten: Vec<u64>,
}

/// What waits, and what was given up.
#[derive(Debug, Default)]
struct Waiting {
    lanes: Lanes,
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

/// Notice on its way to the queue.
struct Prepared {
    queued: Queued,
    remember: Option<i64>,
    /// What the event tells; `None`: it was told before.
    data: Option<serde_json::Value>,
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

    /// Sends to this receiver from now on; `None`: nothing is queued and nothing is sent.
    pub fn set_receiver(&self, receiver: Option<Arc<WebhookReceiver>>) {
        self.receiver.store(receiver);
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
    /// The file can't be written, or another process has it. The change is not made then, as far as is known. The notices
    /// are taken all the same, in memory, unless another process has the file.
    pub fn commit(
        &self,
        notices: Vec<Notice>,
        change: FileChange,
    ) -> impl Future<Output = Result<(), DatabaseError>> + Send + use<> {
        let (done, answer) = oneshot::channel();
        self.intake.lock().works.push(FileWork { notices, change, done });
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

    /// Keeps and sends notifications. Runs for ever.
    pub async fn run(self: Arc<Self>) {
        tokio::join!(self.keep(), self.send());
    }

    /// Writes whatever comes.
    async fn keep(self: &Arc<Self>) {
        loop {
            let outbox = Arc::clone(self);
            // A panic has been told by its hook.
            let next = tokio::task::spawn_blocking(move || outbox.write()).await.unwrap_or(Some(RETRY));
            let again = async {
                match next {
                    Some(next) => sleep(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.to_write.notified() => {}
                () = again => {}
            }
        }
    }

    /// Writes what is there. Returns after which time there is something to write without being told.
    fn write(&self) -> Option<Duration> {
        let mut writing = self.writing.lock();
        if self.file.is_lent() {
            self.intake.lock().refuse(&lent());
            return None;
        }
        let read = self.read_kept(&mut writing);
        if let Err(error) = &read {
            self.intake.lock().refuse_works(error);
        }
        let written = read.and_then(|()| self.write_in(&mut writing));
        let was_failing = self.failing.swap(written.is_err(), Ordering::Relaxed);
        match &written {
            Ok(()) if was_failing => tracing::info!("notifications are kept again"),
            Err(error) if !was_failing => {
                let until = match writing.is_read {
                    true => "until then, notifications wait in memory alone, and a restart would lose them",
                    false => "until then, no notification is sent",
                };
                tracing::warn!("notify.path: {error}; {until}; it is tried again each second");
            }
            _ => {}
        }
        if written.is_err() {
            return Some(RETRY);
        }
        let left = writing.hours.ends()?.as_duration() - Timestamp::now().as_duration();
        Some(Duration::try_from(left).unwrap_or_default())
    }

    /// Reads what is kept, once.
    fn read_kept(&self, writing: &mut Writing) -> Result<(), DatabaseError> {
        if writing.is_read {
            return Ok(());
        }
        let kept = self.file.read()?;
        *writing = Writing {
            is_read: true,
            next: kept.next.max(1),
            hours: HourlyBound::restored(kept.hours.into_iter()),
            ..Writing::default()
        };
        let mut waiting = self.waiting.lock();
        *waiting = Waiting::default();
        let now = Instant::now();
        kept.queued.into_iter().for_each(|queued| waiting.lanes.push(Arc::new(queued), now));
        for dead in kept.dead {
            waiting.dead_bytes += dead.queued.bytes();
            waiting.dead.push_back(Arc::new(dead));
        }
        self.note_pending(&waiting);
        drop(waiting);
        self.to_send.notify_one();
        Ok(())
    }

    /// Takes what has come, and writes it.
    fn write_in(&self, writing: &mut Writing) -> Result<(), DatabaseError> {
        let now = Timestamp::now();
        let Intake { notices, works, changes_beyond, .. } = mem::take(&mut *self.intake.lock());
        let mut told = writing.hours.summaries(now);
        writing.hours.add_changes(changes_beyond, now);
        told.extend(notices.into_iter().filter(|notice| writing.hours.tells(notice, now)));
        let (mut others, mut answers) = (Vec::new(), Vec::new());
        for FileWork { notices, change, done } in works {
            told.extend(notices);
            others.push(change);
            answers.push(done);
        }
        let is_sent = self.receiver.load().is_some();
        let revived = mem::take(&mut self.waiting.lock().revived);
        let next = &mut writing.next;
        let revived = revived.iter().map(|queued| revive(queued, next, now)).collect::<Vec<_>>();
        let new = told.iter().filter_map(|notice| prepare(notice, next, now));
        let prepared: Vec<Prepared> = revived.into_iter().chain(new).collect();
        let new = self.write_batch(writing, &prepared, others, is_sent, now);
        let answer = new.as_ref().map(|_| ()).map_err(DatabaseError::clone);
        for done in answers {
            // Whoever doesn't wait for the answer has left.
            let _ = done.send(answer.clone());
        }
        // Where nothing can be written, they wait in memory.
        let all = || vec![true; prepared.len()];
        let new = new.unwrap_or_else(|_| all());
        let arrived = prepared.into_iter().zip(new).filter_map(|(prepared, is_new)| is_new.then_some(prepared));
        self.arrived(arrived.collect(), is_sent);
        answer
    }

    /// Writes, whole or not at all. Returns of each notice whether it is new.
    fn write_batch<'p>(
        &self,
        writing: &mut Writing,
        prepared: &'p [Prepared],
        others: Vec<FileChange>,
        is_sent: bool,
        now: Timestamp,
    ) -> Result<Vec<bool>, DatabaseError> {
        let (unkept, buried) = {
            let mut waiting = self.waiting.lock();
            writing.gone.append(&mut waiting.gone);
            writing.forgotten.append(&mut waiting.forgotten);
            let buried = mem::take(&mut waiting.buried);
            match writing.writes_all {
                true => (waiting.lanes.all().cloned().collect(), waiting.dead.iter().cloned().collect()),
                false => (Vec::new(), buried),
            }
        };
        let candidates = prepared.iter().filter(|_| is_sent);
        let candidate = |Prepared { queued, remember, .. }: &'p Prepared| Candidate { queued, remember: *remember };
        let batch = Batch {
            candidates: candidates.map(candidate).collect(),
            unkept: unkept.iter().map(|queued: &Arc<Queued>| &**queued).collect(),
            gone: writing.gone.clone(),
            dead: buried.iter().map(|dead| &**dead).collect(),
            forgotten: writing.forgotten.clone(),
            // Without a receiver, only this process counts.
            hours: match is_sent && writing.hours.has_changed() || writing.writes_all {
                true => writing.hours.changes(writing.writes_all).collect(),
                false => Vec::new(),
            },
            others,
        };
        let written = match batch.is_empty() {
            true => Ok(Vec::new()),
            false => self.file.write(batch, now.as_second()),
        };
        writing.writes_all = written.is_err();
        if written.is_ok() {
            (writing.gone, writing.forgotten) = (Vec::new(), Vec::new());
            writing.hours.kept();
        }
        // Without a receiver, nothing is remembered.
        written.map(|new| if is_sent { new } else { vec![true; prepared.len()] })
    }

    /// Tells what is new, and queues it.
    fn arrived(&self, prepared: Vec<Prepared>, is_sent: bool) {
        let now = Instant::now();
        for Prepared { queued, data, .. } in prepared {
            if let Some(data) = data {
                let widget = queued.widget.as_deref();
                let (time, id) = (queued.taken, queued.id.to_string());
                let event = Event::Notification { time, id, r#type: &queued.kind, widget, data: &data };
                self.events.tell(Subject::Widget(widget.unwrap_or_default().into()), &event);
            }
            if is_sent {
                self.waiting.lock().lanes.push(Arc::new(queued), now);
            }
        }
        if is_sent {
            self.hold_bounds();
            self.to_send.notify_one();
        }
    }

    /// Makes dead letters of the oldest where too many wait.
    fn hold_bounds(&self) {
        let mut waiting = self.waiting.lock();
        let mut given_up = 0_usize;
        while waiting.lanes.len() > MOST || waiting.lanes.bytes() > MOST_BYTES {
            let Some((queued, tries)) = waiting.lanes.evict(Instant::now()) else { break };
            self.bury(&mut waiting, queued, tries, "too many waited, and it was the oldest".into());
            given_up += 1;
        }
        self.note_pending(&waiting);
        if given_up > 0 {
            drop(waiting);
            tracing::warn!(notifications = given_up, "too many notifications wait, so the oldest are dead letters now");
            self.to_write.notify_one();
        }
    }

    /// Makes a dead letter of a notification that has left its lane.
    fn bury(&self, waiting: &mut Waiting, queued: Arc<Queued>, tries: u32, error: Box<str>) {
        self.metrics.count(&queued.kind, NotificationOutcome::Dead);
        waiting.gone.push(queued.number);
        waiting.dead_bytes += queued.bytes();
        let letter = Arc::new(DeadLetter { queued, died: Timestamp::now(), tries, error });
        waiting.buried.push(Arc::clone(&letter));
        waiting.dead.push_back(letter);
        while waiting.dead.len() > MOST_DEAD || waiting.dead_bytes > MOST_DEAD_BYTES {
            let Some(oldest) = waiting.dead.pop_front() else { break };
            waiting.dead_bytes -= oldest.queued.bytes();
            waiting.forgotten.push(oldest.queued.number);
            self.metrics.count(&oldest.queued.kind, NotificationOutcome::Dropped);
        }
    }

    fn note_pending(&self, waiting: &Waiting) {
        self.metrics.set_pending(waiting.lanes.len());
    }
}

/// Prepares a notice for the queue.
fn prepare(notice: &Notice, next: &mut u64, now: Timestamp) -> Option<Prepared> {
    // Text, numbers and times can always be written as JSON.
    let mut told = serde_json::to_value(notice).ok()?;
    let data = told.get_mut("data").map(mem::take)?;
    let timestamp = notice.happened().unwrap_or(now);
    let body = serde_json::json!({ "type": notice.kind(), "timestamp": timestamp, "data": data });
    let number = *next;
    *next += 1;
    let queued = Queued {
        number,
        id: notice.id(),
        kind: notice.kind().into(),
        widget: notice.widget().map(Into::into),
        queue: QueueKind::of(notice.kind()),
        body: body.to_string().into(),
        taken: now,
    };
    Some(Prepared { queued, remember: notice.remembered_until(now), data: Some(data) })
}

/// Prepares a dead letter for the queue again, where it has its time once more.
fn revive(queued: &Queued, next: &mut u64, now: Timestamp) -> Prepared {
    let number = *next;
    *next += 1;
    let Queued { id, queue, .. } = *queued;
    let (kind, widget, body) = (queued.kind.clone(), queued.widget.clone(), queued.body.clone());
    let queued = Queued { number, id, kind, widget, queue, body, taken: now };
    Prepared { queued, remember: None, data: None }
}

/// The error: another process has the file.
fn lent() -> DatabaseError {
    DatabaseError { detail: "another process has taken over".to_owned() }
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
            if self.intake.lock().is_empty() && !self.has_changes() {
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

impl Outbox {
    fn has_changes(&self) -> bool {
        let waiting = self.waiting.lock();
        let Waiting { gone, buried, forgotten, revived, .. } = &*waiting;
        !(gone.is_empty() && buried.is_empty() && forgotten.is_empty() && revived.is_empty())
    }
}

#[cfg(test)]
mod tests;
