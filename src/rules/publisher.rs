//! The single writer: everything that changes rules goes through here.
//!
//! The road of a change: judged against the book in force → the next book made → swapped in → observers told →
//! answered. Nothing of a batch is visible before the swap and all of it after; whoever got an answer knows that
//! every read that starts later sees it. Writers wait for each other, readers for nobody. A source that must
//! not lose what it answered writes it down between the making and the swap, where it can still say no.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::book::{Applied, Rejection, RuleBook};
use super::change::{Absent, ApplyOptions, Change, ChangedWidget, Outcome};
use super::error::{RuleFault, RulesError};
use super::live::LiveRules;
use super::source::SourceKind;
use super::status::{FAULTS_SHOWN, SourceStatus};
use crate::policy::widget::Widget;

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
    /// The widgets whose rules are others now, by id.
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
/// Its calls block, for as long as the batch is large and as observers take.
pub struct Publisher {
    live: LiveRules,
    observers: Vec<Arc<dyn Observer>>,
    source: SourceKind,
    writing: Mutex<()>,
    status: Mutex<SourceStatus>,
}

impl Publisher {
    /// The writer of `live`, whose rules come from the source of this kind and name (a path, a bucket).
    pub fn new(live: LiveRules, source: SourceKind, name: impl Into<String>) -> Self {
        let status = Mutex::new(SourceStatus::new(source, name));
        Self { live, observers: Vec::new(), source, writing: Mutex::new(()), status }
    }

    /// Adds somebody who is told of everything from the first swap on.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observers.push(observer);
        self
    }

    /// The rules it writes.
    pub fn live(&self) -> &LiveRules {
        &self.live
    }

    /// How the source is doing.
    pub fn status(&self) -> SourceStatus {
        lock(&self.status).clone()
    }

    /// Takes a batch, whole or not at all. On failure every change that can't be made, by its number.
    pub fn apply(&self, changes: &[Change], options: ApplyOptions) -> Result<Published, RulesError> {
        self.publish(changes, options).map_err(|rejections| self.refuse(rejections, |fault| fault))
    }

    /// Makes the book exactly these documents, for a source that holds the whole truth at any time. Widgets not
    /// among them are withdrawn ([`Absent::Withdraw`]). `locate` adds to a fault where the document of that
    /// number stands.
    pub fn replace_all(
        &self,
        documents: Vec<Widget>,
        locate: impl Fn(RuleFault) -> RuleFault,
    ) -> Result<Published, RulesError> {
        let changes: Vec<Change> = documents.into_iter().map(Change::Put).collect();
        let options = ApplyOptions { absent: Absent::Withdraw, ..ApplyOptions::default() };
        self.publish(&changes, options).map_err(|rejections| self.refuse(rejections, locate))
    }

    /// Records an update that failed before it came to be judged, such as a file that is no JSON.
    pub fn reject(&self, error: &RulesError) {
        lock(&self.status).refused(Timestamp::now(), error);
        let (source, code) = (self.source.as_str(), error.code());
        tracing::warn!(source, code, "rules refused; the last good ones stay in force");
        for line in error.summary(FAULTS_SHOWN).lines() {
            tracing::warn!(source, code, "{line}");
        }
        for observer in &self.observers {
            observer.rejected(self.source, error);
        }
    }

    fn publish(&self, changes: &[Change], options: ApplyOptions) -> Result<Published, Vec<Rejection>> {
        let started = Instant::now();
        // The lock guards no data: a writer that panicked has swapped or it hasn't.
        let _writing = lock(&self.writing);
        let Applied { book, outcomes, changed } = self.live.load_full().apply(changes, options)?;
        let generation = book.generation();
        if !changed.is_empty() {
            let book = Arc::new(book);
            self.live.swap(Arc::clone(&book));
            self.announce(&Swap {
                source: self.source,
                book: &book,
                changed: &changed,
                took: started.elapsed(),
            });
        }
        lock(&self.status).accepted(Timestamp::now());
        Ok(Published { generation, outcomes, changed })
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
        for observer in &self.observers {
            observer.swapped(swap);
        }
    }

    fn refuse(&self, rejections: Vec<Rejection>, locate: impl Fn(RuleFault) -> RuleFault) -> RulesError {
        let faults = rejections.into_iter().map(RuleFault::from).map(locate).collect();
        let error = RulesError::Invalid { faults };
        self.reject(&error);
        error
    }
}

/// No holder leaves half-made data behind, so a lock that saw a panic is as good as before.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
