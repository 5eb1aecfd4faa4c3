//! Rows of the outbox's file: MessagePack, each struct as a map with short keys. So a version reads the rows of a later one:
//! it skips keys that it doesn't know.

use std::borrow::Cow;

use jiff::Timestamp;
use redb::TableDefinition;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::hours::HourCounts;
use super::{DeadLetter, Queued};
use crate::database::DatabaseFault;
use crate::notifications::fact::{QueueKind, WebhookId};

/// One row: [`OutboxAbout`].
pub(super) const ABOUT: TableDefinition<'static, (), &[u8]> = TableDefinition::new("about");

/// Notifications that have not arrived, by number: [`QueuedRow`].
pub(super) const QUEUED: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("queued");

/// Dead letters, by number: [`DeadRow`].
pub(super) const DEAD: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("dead");

/// Counts of this hour, by widget: [`HourCounts`].
pub(super) const HOURS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("hours");

/// Ids of what was told, and until when they are remembered, in seconds since 1970.
pub(super) const TOLD: TableDefinition<'static, u128, i64> = TableDefinition::new("told");

/// The same by time.
pub(super) const TOLD_UNTIL: TableDefinition<'static, (i64, u128), ()> = TableDefinition::new("told_until");

/// Grows when rows come to mean something that an older version would get wrong.
const FORMAT: u32 = 1;

/// What the file says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct OutboxAbout {
    format: u32,
}

impl OutboxAbout {
    pub(super) const NEW: Self = Self { format: FORMAT };

    /// Reads the row.
    pub(super) fn read(row: &[u8]) -> Result<Self, DatabaseFault> {
        let about: Self = read(row)?;
        match about.format {
            FORMAT => Ok(about),
            found => Err(DatabaseFault::Damaged(format!(
                "it is of format {found}, and this version reads format {FORMAT}"
            ))),
        }
    }
}

/// Row of a notification.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct QueuedRow<'a> {
    /// The id, as text.
    i: Box<str>,
    /// The kind.
    k: Box<str>,
    /// The widget.
    w: Option<Box<str>>,
    /// The embedder of a revocation.
    #[serde(skip_serializing_if = "Option::is_none")]
    m: Option<Box<str>>,
    /// The body.
    b: Cow<'a, str>,
    /// When it was taken, in seconds since 1970.
    t: i64,
}

/// Row of a dead letter.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct DeadRow<'a> {
    q: QueuedRow<'a>,
    /// When it was given up, in seconds since 1970.
    d: i64,
    /// How often it was tried.
    n: u32,
    /// Why.
    e: Cow<'a, str>,
}

impl<'a> QueuedRow<'a> {
    fn of(queued: &'a Queued) -> Self {
        Self {
            i: queued.id.to_string().into(),
            k: queued.kind.clone(),
            w: queued.widget.clone(),
            m: queued.embedder.clone(),
            b: (&*queued.body).into(),
            t: queued.taken.as_second(),
        }
    }

    fn queued(self, number: u64) -> Option<Queued> {
        Some(Queued {
            number,
            id: WebhookId::parse(&self.i)?,
            queue: QueueKind::of(&self.k),
            kind: self.k,
            widget: self.w,
            embedder: self.m,
            body: self.b.into(),
            taken: Timestamp::from_second(self.t).ok()?,
        })
    }
}

/// The row of a notification.
pub(super) fn of_queued(queued: &Queued) -> Result<Vec<u8>, DatabaseFault> {
    write(&QueuedRow::of(queued))
}

/// The notification of a row; `None` where the row is none.
pub(super) fn queued(number: u64, row: &[u8]) -> Option<Queued> {
    noted(read::<QueuedRow<'_>>(row).ok().and_then(|row| row.queued(number)))
}

/// The row of a dead letter.
pub(super) fn of_dead(dead: &DeadLetter) -> Result<Vec<u8>, DatabaseFault> {
    write(&DeadRow {
        q: QueuedRow::of(&dead.queued),
        d: dead.died.as_second(),
        n: dead.tries,
        e: (&*dead.error).into(),
    })
}

/// The dead letter of a row; `None` where the row is none.
pub(super) fn dead(number: u64, row: &[u8]) -> Option<DeadLetter> {
    let read = read::<DeadRow<'_>>(row).ok().and_then(|row| {
        let DeadRow { q, d, n, e } = row;
        let (queued, died) = (q.queued(number)?.into(), Timestamp::from_second(d).ok()?);
        Some(DeadLetter { queued, died, tries: n, error: e.into() })
    });
    noted(read)
}

/// The counts of a row; `None` where the row is none.
pub(super) fn hour(row: &[u8]) -> Option<HourCounts> {
    noted(read(row).ok())
}

fn noted<T>(read: Option<T>) -> Option<T> {
    if read.is_none() {
        tracing::warn!("notify.path: a row can't be read, and is left out");
    }
    read
}

/// Reads a row.
fn read<T: DeserializeOwned>(row: &[u8]) -> Result<T, DatabaseFault> {
    rmp_serde::from_slice(row).map_err(|error| DatabaseFault::Damaged(error.to_string()))
}

/// The row of a value.
pub(super) fn write(value: &impl Serialize) -> Result<Vec<u8>, DatabaseFault> {
    // Into memory, and of types that it can write all of.
    rmp_serde::to_vec_named(value).map_err(|error| DatabaseFault::Failed(error.to_string()))
}
