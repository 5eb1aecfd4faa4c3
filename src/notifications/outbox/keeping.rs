//! Keeping: what was told is taken, written and queued. All that waits is written together.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::file::{Batch, FileChange, QueueCandidate};
use super::hours::HourlyBound;
use super::intake::{FileWork, NoticeIntake};
use super::{DeadLetter, Outbox, Queued, Waiting, Writing};
use crate::database::DatabaseError;
use crate::notifications::fact::QueueKind;
use crate::notifications::notice::Notice;
use crate::telemetry::events::{Event, Subject};

/// Time between two writes while nothing can be written.
const RETRY: Duration = Duration::from_secs(1);

/// Notice on its way to the queue.
struct Prepared {
    queued: Queued,
    remember: Option<i64>,
    /// What the event tells; `None`: it was told before.
    data: Option<serde_json::Value>,
}

impl Outbox {
    /// Writes whatever comes.
    pub(super) async fn keep(self: &Arc<Self>) {
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
    pub(super) fn write(&self) -> Option<Duration> {
        let mut writing = self.writing.lock();
        if self.file.is_lent() {
            self.intake.lock().refuse(&lent());
            return None;
        }
        // Where nothing is sent and nobody else uses the file, it is not made.
        let is_used = self.receiver.load().is_some() || !self.intake.lock().works.is_empty();
        let read = if is_used { self.read_kept(&mut writing) } else { Ok(()) };
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
            begun_anew: self.file.times_begun_anew(),
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
        waiting.dead.make_contiguous().sort_unstable_by_key(|dead| dead.place());
        self.note_pending(&waiting);
        drop(waiting);
        self.to_send.notify_one();
        Ok(())
    }

    /// Takes what has come, and writes it.
    fn write_in(&self, writing: &mut Writing) -> Result<(), DatabaseError> {
        let now = Timestamp::now();
        let NoticeIntake { notices, works, changes_beyond, .. } = mem::take(&mut *self.intake.lock());
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
        let arrived =
            prepared.into_iter().zip(new).filter_map(|(prepared, is_new)| is_new.then_some(prepared));
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
        let begun_anew = self.file.times_begun_anew();
        writing.writes_all |= begun_anew != mem::replace(&mut writing.begun_anew, begun_anew);
        let (unkept, buried): (Vec<Arc<Queued>>, Vec<Arc<DeadLetter>>) = {
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
        let candidate =
            |Prepared { queued, remember, .. }: &'p Prepared| QueueCandidate { queued, remember: *remember };
        let batch = Batch {
            candidates: candidates.map(candidate).collect(),
            unkept: unkept.iter().map(|queued| &**queued).collect(),
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

    /// Whether something of what waits is not written yet.
    pub(super) fn has_changes(&self) -> bool {
        let waiting = self.waiting.lock();
        let Waiting { gone, buried, forgotten, revived, .. } = &*waiting;
        !(gone.is_empty() && buried.is_empty() && forgotten.is_empty() && revived.is_empty())
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
        embedder: notice.revoked_embedder().map(Into::into),
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
    let embedder = queued.embedder.clone();
    let queued = Queued { number, id, kind, widget, embedder, queue, body, taken: now };
    Prepared { queued, remember: None, data: None }
}

/// The error: another process has the file.
fn lent() -> DatabaseError {
    DatabaseError { detail: "another process has taken over".to_owned() }
}
