//! File of the outbox: what is in it, and how it is written.

use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableError, WriteTransaction};

use super::hours::HourCounts;
use super::row::{self, ABOUT, DEAD, HOURS, OutboxAbout, QUEUED, TOLD, TOLD_UNTIL};
use super::{DeadLetter, Queued};
use crate::database::{DatabaseError, DatabaseFault, DatabaseFile, DatabaseKind};

/// Memory for pages of the file, in bytes. What waits is in memory anyway.
const CACHE: u64 = 2 << 20;

/// Ids of what was told that are remembered at most.
const REMEMBERED: u64 = 100_000;

/// Ids that are forgotten with one write at most.
const FORGOTTEN: usize = 200;

/// Change of somebody else's tables in the same file.
pub type FileChange = Box<dyn FnOnce(&WriteTransaction) -> Result<(), DatabaseFault> + Send>;

/// File of the outbox.
#[derive(Debug)]
pub(super) struct OutboxFile(DatabaseFile<OutboxAbout>);

/// What was kept.
#[derive(Debug, Default)]
pub(super) struct KeptNotifications {
    /// In the order of their numbers.
    pub(super) queued: Vec<Queued>,
    /// Likewise.
    pub(super) dead: Vec<DeadLetter>,
    pub(super) hours: Vec<(Box<str>, HourCounts)>,
    /// The first number that nothing has.
    pub(super) next: u64,
}

/// Candidate for the queue.
#[derive(Debug)]
pub(super) struct QueueCandidate<'a> {
    pub(super) queued: &'a Queued,
    /// It is left out if its id is remembered, and remembered until then, in seconds since 1970.
    pub(super) remember: Option<i64>,
}

/// What is written at once.
#[derive(Default)]
pub(super) struct Batch<'a> {
    pub(super) candidates: Vec<QueueCandidate<'a>>,
    /// What was queued before, and is not in the file.
    pub(super) unkept: Vec<&'a Queued>,
    /// Numbers that are queued no longer.
    pub(super) gone: Vec<u64>,
    pub(super) dead: Vec<&'a DeadLetter>,
    /// Numbers of dead letters that are kept no longer.
    pub(super) forgotten: Vec<u64>,
    pub(super) hours: Vec<(&'a str, Option<&'a HourCounts>)>,
    pub(super) others: Vec<FileChange>,
}

impl OutboxFile {
    /// The file at this path, which is opened when it is first used.
    pub(super) fn new(path: &Path) -> Self {
        Self(DatabaseFile::new(path, CACHE, DatabaseKind { content: "notifications", begin: about }))
    }

    /// Reads what is kept.
    pub(super) fn read(&self) -> Result<KeptNotifications, DatabaseError> {
        self.with(|database| {
            let reading = database.begin_read()?;
            let mut kept = KeptNotifications::default();
            for row in reading.open_table(QUEUED)?.iter()? {
                let (number, row) = row?;
                kept.next = kept.next.max(number.value() + 1);
                kept.queued.extend(row::queued(number.value(), row.value()));
            }
            for row in reading.open_table(DEAD)?.iter()? {
                let (number, row) = row?;
                kept.next = kept.next.max(number.value() + 1);
                kept.dead.extend(row::dead(number.value(), row.value()));
            }
            for row in reading.open_table(HOURS)?.iter()? {
                let (name, row) = row?;
                kept.hours.extend(row::hour(row.value()).map(|hour| (name.value().into(), hour)));
            }
            Ok(kept)
        })
    }

    /// Writes a batch, whole or not at all. Once it is done, it survives a loss of power. Returns of each candidate whether
    /// it is queued now. `now`: in seconds since 1970.
    pub(super) fn write(&self, batch: Batch<'_>, now: i64) -> Result<Vec<bool>, DatabaseError> {
        self.with(|database| {
            let transaction = database.begin_write()?;
            let new = batch.write_in(&transaction, now)?;
            transaction.commit()?;
            Ok(new)
        })
    }

    /// Works with the database.
    pub(super) fn with<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, DatabaseFault>,
    ) -> Result<T, DatabaseError> {
        self.0.with(work)
    }

    /// Closes the file, so that another process can open it.
    pub(super) fn let_go(&self) {
        self.0.let_go();
    }

    /// Goes on with the file after it was let go of.
    pub(super) fn take_back(&self) {
        self.0.take_back();
    }

    /// How often it was begun anew in place of a damaged one.
    pub(super) fn times_begun_anew(&self) -> u64 {
        self.0.times_begun_anew()
    }

    /// Whether another process may have it now.
    pub(super) fn is_lent(&self) -> bool {
        self.0.is_lent()
    }
}

impl Batch<'_> {
    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        let Self { candidates, unkept, gone, dead, forgotten, hours, others } = self;
        candidates.is_empty()
            && unkept.is_empty()
            && gone.is_empty()
            && dead.is_empty()
            && forgotten.is_empty()
            && hours.is_empty()
            && others.is_empty()
    }

    fn write_in(self, transaction: &WriteTransaction, now: i64) -> Result<Vec<bool>, DatabaseFault> {
        let new = {
            let mut queued = transaction.open_table(QUEUED)?;
            let mut told = transaction.open_table(TOLD)?;
            let mut told_until = transaction.open_table(TOLD_UNTIL)?;
            let mut new = Vec::with_capacity(self.candidates.len());
            for QueueCandidate { queued: candidate, remember } in &self.candidates {
                let id = candidate.id.0;
                let known = match remember {
                    Some(_) => told.get(id)?.map(|known| known.value()),
                    None => None,
                };
                let is_new = known.is_none_or(|known| known <= now);
                if let (true, Some(until)) = (is_new, remember) {
                    if let Some(known) = known {
                        told_until.remove((known, id))?;
                    }
                    told.insert(id, until)?;
                    told_until.insert((*until, id), ())?;
                }
                if is_new {
                    queued.insert(candidate.number, &*row::of_queued(candidate)?)?;
                }
                new.push(is_new);
            }
            for candidate in &self.unkept {
                queued.insert(candidate.number, &*row::of_queued(candidate)?)?;
            }
            for number in &self.gone {
                queued.remove(number)?;
            }
            for _ in 0..FORGOTTEN {
                let Some(first) = told_until.first()?.map(|(key, _)| key.value()) else { break };
                if first.0 > now && told.len()? <= REMEMBERED {
                    break;
                }
                told_until.remove(first)?;
                told.remove(first.1)?;
            }
            new
        };
        let mut dead = transaction.open_table(DEAD)?;
        for letter in &self.dead {
            dead.insert(letter.queued.number, &*row::of_dead(letter)?)?;
        }
        for number in &self.forgotten {
            dead.remove(number)?;
        }
        drop(dead);
        let mut hours = transaction.open_table(HOURS)?;
        for (name, hour) in &self.hours {
            match hour {
                Some(hour) => drop(hours.insert(*name, &*row::write(hour)?)?),
                None => drop(hours.remove(*name)?),
            }
        }
        drop(hours);
        self.others.into_iter().try_for_each(|change| change(transaction))?;
        Ok(new)
    }
}

/// What the file says of itself. One with nothing in it is begun.
fn about(database: &Database) -> Result<OutboxAbout, DatabaseFault> {
    let reading = database.begin_read()?;
    match reading.open_table(ABOUT) {
        Ok(table) => {
            let row = table.get(())?;
            let row = row.ok_or_else(|| DatabaseFault::Damaged("it does not say what it is".to_owned()))?;
            OutboxAbout::read(row.value())
        }
        Err(TableError::TableDoesNotExist(_)) if reading.list_tables()?.next().is_none() => {
            let transaction = database.begin_write()?;
            transaction.open_table(ABOUT)?.insert((), &*row::write(&OutboxAbout::NEW)?)?;
            // Whoever reads finds them.
            Batch::default().write_in(&transaction, 0)?;
            transaction.commit()?;
            Ok(OutboxAbout::NEW)
        }
        Err(TableError::TableDoesNotExist(_)) => {
            Err(DatabaseFault::Damaged("it is a database, but not of notifications".to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}
