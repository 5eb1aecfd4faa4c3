//! State of the outbox, for people: what waits, what fails, and what was given up.

use std::fmt;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::lanes::Failing;
use super::{DeadLetter, Outbox};
use crate::notifications::fact::WebhookId;
use crate::notifications::notice::Notice;
use crate::telemetry::metrics::NotificationTotals;

/// Notifications that fail, of which the state names at most so many.
const FAILING: usize = 100;

/// State of the outbox.
#[derive(Debug, Serialize, ToSchema)]
pub struct OutboxState {
    /// Where notifications are sent, without the path, which may be a secret; `null`: nowhere (`notify.url`).
    #[schema(example = "https://hooks.example.com")]
    pub receiver: Option<String>,
    /// How many wait to arrive.
    pub pending: usize,
    /// When the oldest of them was taken.
    pub oldest: Option<Timestamp>,
    /// When one has arrived last, since this edge was started.
    pub last_arrival: Option<Timestamp>,
    /// What waits is on the disk. If not, a restart would lose it; the log says why.
    pub durable: bool,
    /// Since this edge was started.
    pub totals: NotificationTotals,
    /// Those that have failed and will be tried again: of each widget and queue the first, oldest first, 100 at most.
    pub failing: Vec<FailingNotification>,
}

/// Notification that has failed and will be tried again.
#[derive(Debug, Serialize, ToSchema)]
pub struct FailingNotification {
    /// Its `webhook-id`.
    #[schema(example = "msg_2c26b46b68ffc68ff99b453c1d304134")]
    pub id: String,
    /// Its kind.
    #[schema(example = "limit.reached")]
    pub r#type: String,
    /// The widget; `null`: it is about none.
    pub widget: Option<String>,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// How often it was tried.
    pub tries: u32,
    /// Why the last try has failed.
    pub error: String,
    /// When that was.
    pub failed_at: Timestamp,
    /// When it will be tried again, at the latest.
    pub next_try: Timestamp,
}

/// Notification that was given up.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetter)]
pub struct ShownLetter {
    /// Its `webhook-id`.
    #[schema(example = "msg_2c26b46b68ffc68ff99b453c1d304134")]
    pub id: String,
    /// Its kind.
    #[schema(example = "limit.reached")]
    pub r#type: String,
    /// The widget; `null`: it is about none.
    pub widget: Option<String>,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// How often it was tried.
    pub tries: u32,
    /// Why it was given up.
    pub error: String,
    /// When that was.
    pub died_at: Timestamp,
}

/// Page of dead letters.
#[derive(Debug)]
pub struct DeadLetters {
    /// Last ones first.
    pub letters: Vec<ShownLetter>,
    /// The place of the last one, if there are more.
    pub next: Option<LetterPlace>,
}

/// Place of a dead letter among the others, whether it is still there or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LetterPlace {
    /// When it was given up, in seconds since 1970.
    died: u64,
    number: u64,
}

impl LetterPlace {
    /// Reads a place; `None`: it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (died, number) = text.split_once('.')?;
        let read = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?;
        Some(Self { died: read(died)?, number: read(number)? })
    }
}

impl fmt::Display for LetterPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { died, number } = self;
        write!(f, "{died}.{number}")
    }
}

impl DeadLetter {
    /// Its place among the others.
    pub(super) fn place(&self) -> LetterPlace {
        let died = u64::try_from(self.died.as_second()).unwrap_or_default();
        LetterPlace { died, number: self.queued.number }
    }
}

/// Reason why nothing is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// There is no receiver.
    #[error(
        "`notify.url` is not set, so notifications are sent nowhere: set it, and reload the configuration"
    )]
    NoReceiver,
    /// Another process of this edge has taken over.
    #[error("another process of this edge has taken over while this was asked: ask again")]
    TakenOver,
    /// There is no dead letter with this id.
    #[error("there is no dead letter with this id; GET /v1/notifications lists those that are kept")]
    NoLetter,
}

impl Outbox {
    /// The state.
    pub fn state(&self) -> OutboxState {
        let waiting = self.waiting.lock();
        OutboxState {
            receiver: self.receiver().map(|receiver| receiver.origin()),
            pending: waiting.lanes.len(),
            oldest: waiting.lanes.oldest(),
            last_arrival: waiting.last_arrival,
            durable: !self.failing.load(std::sync::atomic::Ordering::Relaxed),
            totals: self.metrics.totals(),
            failing: waiting.lanes.failing(FAILING).iter().map(FailingNotification::of).collect(),
        }
    }

    /// Dead letters, the last ones first, after this place.
    pub fn dead_letters(&self, after: Option<LetterPlace>, limit: usize) -> DeadLetters {
        let waiting = self.waiting.lock();
        let end = after
            .map_or(waiting.dead.len(), |after| waiting.dead.partition_point(|dead| dead.place() < after));
        let letters = waiting.dead.range(..end).rev();
        let page: Vec<ShownLetter> = letters.take(limit).map(|letter| ShownLetter::of(letter)).collect();
        let begin = end - page.len();
        let last = waiting.dead.get(begin).filter(|_| begin > 0 && !page.is_empty());
        DeadLetters { next: last.map(|last| last.place()), letters: page }
    }

    /// Tries a dead letter again.
    ///
    /// # Errors
    ///
    /// There is no such one, or no receiver, or another process has taken over.
    pub fn retry(&self, id: &str) -> Result<(), NotSent> {
        if self.receiver.load().is_none() {
            return Err(NotSent::NoReceiver);
        }
        if self.file.is_lent() {
            return Err(NotSent::TakenOver);
        }
        let id = WebhookId::parse(id).ok_or(NotSent::NoLetter)?;
        let mut waiting = self.waiting.lock();
        let place = waiting.dead.iter().position(|letter| letter.queued.id == id);
        let letter = place.and_then(|place| waiting.dead.remove(place)).ok_or(NotSent::NoLetter)?;
        waiting.dead_bytes -= letter.queued.bytes();
        waiting.forgotten.push(letter.queued.number);
        waiting.revived.push(Arc::clone(&letter.queued));
        drop(waiting);
        self.to_write.notify_one();
        Ok(())
    }

    /// Takes a notice that somebody has asked for, and returns its id.
    ///
    /// # Errors
    ///
    /// There is no receiver, or another process has taken over.
    pub async fn test(&self) -> Result<String, NotSent> {
        if self.receiver.load().is_none() {
            return Err(NotSent::NoReceiver);
        }
        let notice = Notice::Test { at: Timestamp::now() };
        let id = notice.id().to_string();
        match self.commit(vec![notice], Box::new(|_| Ok(()))).await {
            Err(_) if self.file.is_lent() => Err(NotSent::TakenOver),
            // If it can't be kept, it is sent all the same.
            Ok(()) | Err(_) => Ok(id),
        }
    }
}

impl FailingNotification {
    fn of(Failing { queued, tries, failure, next_try }: &Failing) -> Self {
        let left = next_try.saturating_duration_since(Instant::now());
        let left = SignedDuration::try_from(left).unwrap_or_default();
        Self {
            id: queued.id.to_string(),
            r#type: queued.kind.to_string(),
            widget: queued.widget.as_deref().map(str::to_owned),
            taken_at: queued.taken,
            tries: *tries,
            error: failure.error.to_string(),
            failed_at: failure.at,
            next_try: Timestamp::now().saturating_add(left).unwrap_or(Timestamp::MAX),
        }
    }
}

impl ShownLetter {
    fn of(DeadLetter { queued, died, tries, error }: &DeadLetter) -> Self {
        Self {
            id: queued.id.to_string(),
            r#type: queued.kind.to_string(),
            widget: queued.widget.as_deref().map(str::to_owned),
            taken_at: queued.taken,
            tries: *tries,
            error: error.to_string(),
            died_at: *died,
        }
    }
}
