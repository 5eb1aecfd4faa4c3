//! The single writer: everything that changes rules goes through here.
//!
//! The road of a change: judged against the book in force → the next book made → kept (written to the store,
//! recorded in the audit log) → swapped in → observers told → answered. Nothing of a batch is visible before the
//! swap and all of it after; whoever got an answer knows that it is durable and that every read that starts later
//! sees it. What can't be kept changes nothing. Writers who wait share one stroke; readers wait for nobody.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use self::queue::{Answer, Call, Failure, Queue};
use super::audit::AuditLog;
use super::book::{FingerprintKey, Prepared, RuleBook, prepare};
use super::change::{Absent, Actor, ApplyOptions, Change, ChangedWidget, Outcome};
use super::documents::{Documents, InMemory};
use super::error::{RuleFault, RulesError};
use super::live::LiveRules;
use super::source::SourceKind;
use super::status::{FAULTS_SHOWN, SourceStatus};
use super::storage::Storage;
use super::store::Store;
use crate::policy::widget::Widget;

mod queue;
mod writer;

/// Told of every swap and every refusal. Called by the writer, one at a time and in the order of the
/// generations, before the change is answered: be quick, hand long work on.
pub trait Observer: Send + Sync {
    /// Other rules are in force.
    fn swapped(&self, swap: &Swap<'_>);

    /// An update was refused; the rules in force stayed, whole.
    fn rejected(&self, source: SourceKind, error: &RulesError);
}

/// Other rules came into force.
#[derive(Clone, Copy, Debug)]
pub struct Swap<'a> {
    /// Where they came from.
    pub source: SourceKind,
    /// The book in force now, with its generation and its census.
    pub book: &'a RuleBook,
    /// The widgets whose rules are others now, by id; none of a store's book at start.
    pub changed: &'a [ChangedWidget],
    /// From taking up the change to having it in force.
    pub took: Duration,
}

/// The answer to a change: it is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The generation of the book in force, which holds the change.
    pub generation: u64,
    /// What became of each change, in their order.
    pub outcomes: Vec<Outcome>,
    /// The widgets whose rules are others now, by id; also those that a batch took out by not naming them.
    pub changed: Vec<ChangedWidget>,
}

impl Published {
    /// How many changes made a difference.
    pub fn applied(&self) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.is_change()).count()
    }

    /// How many found everything as they wanted it.
    pub fn unchanged(&self) -> usize {
        self.outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Unchanged { .. })).count()
    }

    /// How many came too late and were left out.
    pub fn skipped(&self) -> usize {
        self.outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Skipped { .. })).count()
    }
}

/// The writer's side of [`LiveRules`]: there is one for each of them, shared by reference.
///
/// Its calls block, for as long as the disk, the batch and the observers take: never on a thread that serves
/// requests.
pub struct Publisher {
    live: LiveRules,
    observers: Vec<Arc<dyn Observer>>,
    source: SourceKind,
    storage: Arc<dyn Storage>,
    audit: Option<Arc<dyn AuditLog>>,
    queue: Queue,
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
            storage: Arc::new(InMemory::default()),
            audit: None,
            queue: Queue::default(),
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

    /// Keeps everything in this store from now on, whose book comes in force.
    #[must_use]
    pub(in crate::rules) fn with_store(self, store: Arc<Store>, book: RuleBook) -> Self {
        let started = Instant::now();
        let book = Arc::new(book);
        self.live.swap(Arc::clone(&book));
        if book.generation() > 0 {
            self.announce(&Swap { source: self.source, book: &book, changed: &[], took: started.elapsed() });
        }
        lock(&self.status).accepted(Timestamp::now());
        Self { storage: store, ..self }
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
        lock(&self.status).clone()
    }

    /// Whether rules can be changed only where they come from.
    pub fn is_read_only(&self) -> bool {
        self.source == SourceKind::File
    }

    /// Takes a batch, whole or not at all. When it returns the batch is durable and in force; on failure, nothing
    /// of it is: every change that can't be made, by its number, or why it could not be kept
    /// ([`RulesError::StorageFull`], [`RulesError::StorageFailed`], [`RulesError::AuditUnavailable`]).
    /// [`RulesError::ReadOnly`] where rules come from files, [`RulesError::WideChange`] where it has to be confirmed.
    pub fn apply(
        &self,
        changes: Vec<Change>,
        options: ApplyOptions,
        actor: Actor,
    ) -> Result<Published, RulesError> {
        self.apply_prepared(prepare(changes, self.key()), options, actor)
    }

    /// The same, where its writer has said how many widgets a wide change may touch ([`brake`](super::brake)).
    pub fn apply_confirmed(
        &self,
        changes: Vec<Change>,
        options: ApplyOptions,
        confirmed: Option<usize>,
        actor: Actor,
    ) -> Result<Published, RulesError> {
        self.writable()?;
        self.publish(prepare(changes, self.key()), options, confirmed, actor, |fault| fault)
    }

    /// The same, prepared with this key.
    pub(in crate::rules) fn apply_prepared(
        &self,
        changes: Vec<Prepared>,
        options: ApplyOptions,
        actor: Actor,
    ) -> Result<Published, RulesError> {
        self.writable()?;
        self.publish(changes, options, None, actor, |fault| fault)
    }

    fn writable(&self) -> Result<(), RulesError> {
        if self.is_read_only() { Err(RulesError::ReadOnly { source_kind: self.source }) } else { Ok(()) }
    }

    /// The key of the book's fingerprints.
    pub(in crate::rules) fn key(&self) -> FingerprintKey {
        self.live.load().key()
    }

    /// Makes the book exactly these documents, for a source that holds the whole truth at any time. Widgets not
    /// among them are withdrawn ([`Absent::Withdraw`]). `locate` adds to a fault where the document of that
    /// number stands.
    pub fn replace_all(
        &self,
        documents: Vec<Widget>,
        locate: impl Fn(RuleFault) -> RuleFault,
    ) -> Result<Published, RulesError> {
        let changes: Vec<Change> = documents.into_iter().map(Change::put).collect();
        let options = ApplyOptions { absent: Absent::Withdraw, ..ApplyOptions::default() };
        self.publish(prepare(changes, self.key()), options, None, Actor::Source(self.source), locate)
    }

    /// Records an update that failed before it came to be judged, such as a file that is no JSON.
    pub fn reject(&self, error: &RulesError) {
        lock(&self.status).refused(Timestamp::now(), error);
        let (source, code) = (self.source.as_str(), error.code());
        tracing::warn!(source, code, "rules refused; the last good ones stay in force");
        for line in error.summary(FAULTS_SHOWN).lines() {
            tracing::warn!(source, code, "{line}");
        }
        self.tell(|observer| observer.rejected(self.source, error));
    }

    fn publish(
        &self,
        changes: Vec<Prepared>,
        options: ApplyOptions,
        confirmed: Option<usize>,
        actor: Actor,
        locate: impl Fn(RuleFault) -> RuleFault,
    ) -> Result<Published, RulesError> {
        let call = Call { changes, options, confirmed, actor, answer: Arc::new(Answer::default()) };
        let failure = match self.queue.run(call, |group| self.write(group)) {
            Ok(published) => return Ok(published),
            Err(failure) => failure,
        };
        let error = match failure {
            Failure::NotKept(error) => error,
            Failure::Held(wide) => RulesError::WideChange(wide),
            Failure::Rejected(rejections) => {
                let faults = rejections.into_iter().map(RuleFault::from).map(locate).collect();
                RulesError::Invalid { faults }
            }
        };
        self.reject(&error);
        Err(error)
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
        let _one_at_a_time = lock(&self.telling);
        for observer in &self.observers {
            if catch_unwind(AssertUnwindSafe(|| say(&**observer))).is_err() {
                tracing::error!("an observer of the rules panicked; the rules are in force all the same");
            }
        }
    }
}

/// No holder leaves half-made data behind, so a lock that saw a panic is as good as before.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
