//! Single writer of the rules: every change goes through here.
//!
//! A change is judged against the book in force, the next book is made, kept (written to the store, recorded in the
//! audit log) and swapped in, observers are told, and then the caller has its answer. Nothing of a batch is visible
//! before the swap and all of it after; whoever got an answer knows that it is durable and that every read that
//! starts later sees it. What can't be kept changes nothing, with one exception: a kill switch is in force all the same
//! (`stops`). Callers who wait share one commit (group commit); readers wait for nobody.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16};

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::time::Instant;

pub use self::handed_over::{FollowedChanges, limit_of_older};
pub use self::observer::{Observer, Swap};
pub use self::published::{NotKept, Published};
use self::queue::{CallFailure, Queue, Request, Work};
use self::shared::Sharing;
pub use self::trial::BatchTrial;
use super::audit::AuditLog;
use super::book::{PreparedChange, RuleBook, prepare};
use super::brake::BrakeShare;
use super::change::{Absent, Actor, ApplyOptions, Change, Precondition};
use super::documents::Documents;
use super::edit::Edit;
use super::error::{RuleFault, RulesError, SaveError};
use super::fingerprint::FingerprintKey;
use super::live::LiveRules;
use super::source::kind::SourceKind;
use super::status::{FAULTS_SHOWN, SourceStatus};
use super::storage::Storage;
use super::storage::memory::InMemory;
use super::storage::stops::StorageWithStops;
use embedgate_policy::widget::{Widget, WidgetId};

mod backup;
mod editing;
mod group;
mod handed_over;
mod new_store;
mod obeying;
mod observer;
mod published;
mod queue;
mod shared;
mod sharing;
mod stops;
mod trial;
mod writer;

/// Single writer of [`LiveRules`]: there is one for each of them, shared by reference.
///
/// Its calls block, for as long as the disk, the batch and the observers take: never on a thread that serves
/// requests.
pub struct Publisher {
    live: LiveRules,
    observers: Vec<Arc<dyn Observer>>,
    source: SourceKind,
    read_only: bool,
    storage: StorageWithStops,
    audit: Option<Arc<dyn AuditLog>>,
    /// Another process records changes.
    handed_over: AtomicBool,
    queue: Queue,
    /// What a fleet shares.
    sharing: Sharing,
    /// The share of all widgets that one change may touch, in hundredths of a percent.
    brake: AtomicU16,
    /// Held while observers are told.
    telling: Mutex<()>,
    status: Mutex<SourceStatus>,
}

impl Publisher {
    /// The writer of `live`, whose rules come from the source of this kind and name (a path, a bucket), and are
    /// kept there.
    pub fn new(live: LiveRules, source: SourceKind, name: impl Into<String>) -> Self {
        Self {
            live,
            observers: Vec::new(),
            source,
            read_only: false,
            storage: StorageWithStops::new(Arc::new(InMemory::default())),
            audit: None,
            handed_over: AtomicBool::new(false),
            queue: Queue::default(),
            sharing: Sharing::default(),
            brake: AtomicU16::new(BrakeShare::default().hundredths()),
            telling: Mutex::new(()),
            status: Mutex::new(SourceStatus::new(source, name)),
        }
    }

    /// Adds somebody who is told of everything from the first swap on.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observers.push(observer);
        self
    }

    /// Records every change from the first on; what can't be recorded is not saved.
    #[must_use]
    pub fn with_audit(self, audit: Arc<dyn AuditLog>) -> Self {
        Self { audit: Some(audit), ..self }
    }

    /// Refuses every change but those of the source itself ([`Publisher::replace_all`]).
    #[must_use]
    pub fn read_only(self) -> Self {
        Self { read_only: true, ..self }
    }

    /// Keeps everything in this storage from now on, whose book comes in force.
    #[must_use]
    pub(in crate::rules) fn with_storage(self, storage: Arc<dyn Storage>, book: RuleBook) -> Self {
        let started = Instant::now();
        let book = Arc::new(book);
        self.live.swap(Arc::clone(&book));
        if book.generation() > 0 {
            self.announce(&Swap {
                source: self.source,
                book: &book,
                changed: &[],
                actors: &[],
                followed: None,
                took: started.elapsed(),
            });
        }
        self.status.lock().accepted(Timestamp::now());
        self.sharing.begin(storage.share());
        Self { storage: StorageWithStops::new(storage), ..self }
    }

    /// The rules it writes.
    pub fn live(&self) -> &LiveRules {
        &self.live
    }

    /// The whole documents of those rules.
    pub fn documents(&self) -> &dyn Documents {
        self.storage.documents()
    }

    /// How the source is doing.
    pub fn status(&self) -> SourceStatus {
        self.status.lock().clone()
    }

    /// Whether rules can be changed only where they come from.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Applies a batch, whole or not at all. When it returns, the batch is durable and in force.
    ///
    /// # Errors
    ///
    /// Every change that is refused, by its number ([`SaveError::Invalid`]); [`SaveError::Storage`] and
    /// [`SaveError::AuditUnavailable`] where the batch could not be kept, [`SaveError::ReadOnly`] where rules come from
    /// files, [`SaveError::WideChange`] where the batch has to be confirmed. Nothing of it is in force then.
    pub fn apply(
        &self,
        changes: Vec<Change>,
        options: ApplyOptions,
        actor: Actor,
    ) -> Result<Published, SaveError> {
        self.apply_confirmed(changes, options, None, actor)
    }

    /// [`Publisher::apply`] with the number of widgets that a wide change may touch at most, as its writer confirms it.
    ///
    /// # Errors
    ///
    /// Those of [`Publisher::apply`].
    pub fn apply_confirmed(
        &self,
        changes: Vec<Change>,
        options: ApplyOptions,
        confirmed: Option<usize>,
        actor: Actor,
    ) -> Result<Published, SaveError> {
        self.apply_prepared(prepare(changes, self.key()), options, confirmed, actor)
    }

    /// [`Publisher::apply_confirmed`] for changes that were prepared with [`Publisher::key`].
    pub(in crate::rules) fn apply_prepared(
        &self,
        changes: Vec<PreparedChange>,
        options: ApplyOptions,
        confirmed: Option<usize>,
        actor: Actor,
    ) -> Result<Published, SaveError> {
        self.writable()?;
        self.publish(changes, options, confirmed, actor, |fault| fault)
    }

    /// Makes one change of what is stored, in the writer, so that nothing comes in between. When it returns, the change is
    /// in force, and durable unless [`Published::durable`] says otherwise.
    ///
    /// # Errors
    ///
    /// Those of [`Publisher::apply`], and the faults of the edit: `unknown_widget`, `unknown_revision`,
    /// `would_restrict_widget`, `would_open_widget`, `precondition_failed`, and those of documents.
    pub fn edit(
        &self,
        id: WidgetId,
        edit: Edit,
        only_if: Precondition,
        actor: Actor,
    ) -> Result<Published, SaveError> {
        self.writable()?;
        self.call(Request::Edit { id, edit, only_if, actor }, |fault| fault)
    }

    fn writable(&self) -> Result<(), SaveError> {
        if self.is_read_only() { Err(SaveError::ReadOnly { source_kind: self.source }) } else { Ok(()) }
    }

    /// The key of the book's fingerprints.
    pub(in crate::rules) fn key(&self) -> FingerprintKey {
        self.live.load().key()
    }

    /// Makes the book exactly these documents, for a source that holds the whole truth at any time. Widgets not
    /// among them are withdrawn ([`Absent::Withdraw`]). `locate` adds to a fault where the document of that
    /// number stands.
    ///
    /// # Errors
    ///
    /// Every document that is refused ([`SaveError::Invalid`]), or why the documents could not be kept.
    pub fn replace_all(
        &self,
        documents: Vec<Widget>,
        locate: impl Fn(RuleFault) -> RuleFault,
    ) -> Result<Published, SaveError> {
        self.replace_confirmed(documents, None, Actor::Source(self.source), locate)
    }

    /// [`Publisher::replace_all`] with the number of widgets that a wide change may touch at most, as this actor confirms
    /// it.
    ///
    /// # Errors
    ///
    /// Those of [`Publisher::replace_all`].
    pub fn replace_confirmed(
        &self,
        documents: Vec<Widget>,
        confirmed: Option<usize>,
        actor: Actor,
        locate: impl Fn(RuleFault) -> RuleFault,
    ) -> Result<Published, SaveError> {
        let changes: Vec<Change> = documents.into_iter().map(Change::put).collect();
        let options = ApplyOptions { absent: Absent::Withdraw, ..ApplyOptions::default() };
        self.publish(prepare(changes, self.key()), options, confirmed, actor, locate)
    }

    /// Records an update that failed before it came to be judged, such as a file that is no JSON.
    pub fn reject(&self, error: &RulesError) {
        self.status.lock().refused(Timestamp::now(), error);
        let (source, code) = (self.source.as_str(), error.code());
        tracing::warn!(source, code, "rules refused; the last good ones stay in force");
        for line in error.summary(FAULTS_SHOWN).lines() {
            tracing::warn!(source, code, "{line}");
        }
        self.tell(|observer| observer.rejected(self.source, error));
    }

    fn publish(
        &self,
        changes: Vec<PreparedChange>,
        options: ApplyOptions,
        confirmed: Option<usize>,
        actor: Actor,
        locate: impl Fn(RuleFault) -> RuleFault,
    ) -> Result<Published, SaveError> {
        self.call(Request::Changes { changes, options, confirmed, actor }, locate)
    }

    fn call(
        &self,
        request: Request,
        locate: impl Fn(RuleFault) -> RuleFault,
    ) -> Result<Published, SaveError> {
        let answer = match self.sharing.bucket() {
            Some(bucket) => self.share(bucket, request),
            None => self.run(Work::Request(request)),
        };
        let failure = match answer {
            Ok(published) => return Ok(published),
            Err(failure) => failure,
        };
        let error = match failure {
            // Nothing is wrong with the change.
            CallFailure::NotSaved(SaveError::HandedOver) => return Err(SaveError::HandedOver),
            CallFailure::NotSaved(error) => error,
            CallFailure::Rejected(rejections) => {
                let faults = rejections.into_iter().map(RuleFault::from).map(locate);
                SaveError::Invalid(faults.collect())
            }
        };
        self.reject(&RulesError::Save(error.clone()));
        Err(error)
    }

    fn run(&self, work: Work) -> Result<Published, CallFailure> {
        self.queue.run(work, |group| self.write(group))
    }

    fn announce(&self, swap: &Swap<'_>) {
        tracing::info!(
            source = self.source.as_str(),
            generation = swap.book.generation(),
            widgets = swap.book.len(),
            changed = swap.changed.len(),
            took_us = u64::try_from(swap.took.as_micros()).unwrap_or(u64::MAX),
            "rules in force"
        );
        self.tell(|observer| observer.swapped(swap));
    }

    /// Whoever panics is left behind: the change is in force, and the others are to hear of it.
    fn tell(&self, say: impl Fn(&dyn Observer)) {
        let _one_at_a_time = self.telling.lock();
        for observer in &self.observers {
            if catch_unwind(AssertUnwindSafe(|| say(&**observer))).is_err() {
                tracing::error!("an observer of the rules panicked; the rules are in force all the same");
            }
        }
    }
}

#[cfg(test)]
mod tests;
