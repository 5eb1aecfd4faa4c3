//! Notices of what changes and of what expires: rules that are others now, entries and certificates that expire soon.
//!
//! What expires soon is told each day, and entries also with each change of their widget: whoever takes notices drops what
//! it was told before.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use crate::certificates::Expiring;
use crate::notifications::notice::Notice;
use crate::notifications::notifier::Notify;
use crate::rules::book::RuleBook;
use crate::rules::error::RulesError;
use crate::rules::live::LiveRules;
use crate::rules::publisher::{Observer, Swap};
use crate::rules::source::SourceKind;
use embedgate_policy::compiled::WidgetRules;
use embedgate_policy::lint::EXPIRY_NOTICE;

/// Time between two looks at whether there is something to do.
const LOOK: Duration = Duration::from_secs(1);

/// Time between two looks at the certificates, whose files may change.
const CERTIFICATES: Duration = Duration::from_secs(60);

/// Time after which everything that expires soon is told again.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Widgets of one change whose entries are looked at while the change is answered. With more, a walk does that.
const AT_ONCE: usize = 1000;

/// Entries that a walk finds at a time, about.
const PAGE: usize = 1000;

/// Time after each of its pages, so that there is room for what others tell.
const AFTER_PAGE: Duration = Duration::from_secs(1);

/// Source of notices of what changes and of what expires.
pub(super) struct ChangeNotices {
    notices: Arc<dyn Notify>,
    /// Entries have come in force that nobody has looked at.
    is_walk_due: AtomicBool,
}

impl ChangeNotices {
    /// One that tells this notifier.
    pub(super) fn new(notices: Arc<dyn Notify>) -> Arc<Self> {
        Arc::new(Self { notices, is_walk_due: AtomicBool::new(true) })
    }

    /// Watches what expires, while anybody is told. Runs for ever.
    pub(super) async fn watch(self: Arc<Self>, rules: LiveRules, certificates: Vec<Arc<dyn Expiring>>) {
        let (mut day, mut looked) = (None, None);
        let mut told = HashSet::new();
        loop {
            if self.notices.is_wanted() {
                if is_over(day, DAY) {
                    (day, looked) = (Some(Instant::now()), None);
                    told.clear();
                    self.is_walk_due.store(true, Ordering::Relaxed);
                }
                if is_over(looked, CERTIFICATES) {
                    looked = Some(Instant::now());
                    self.tell_certificates(&certificates, &mut told, Timestamp::now());
                }
                // Before the first rules, there is nothing to walk through.
                let book = rules.load_full();
                if book.generation() > 0 && self.is_walk_due.swap(false, Ordering::Relaxed) {
                    self.walk(book).await;
                }
            } else {
                self.is_walk_due.store(true, Ordering::Relaxed);
            }
            sleep(LOOK).await;
        }
    }

    /// Tells the certificates that expire soon and were not told.
    fn tell_certificates(
        &self,
        certificates: &[Arc<dyn Expiring>],
        told: &mut HashSet<(String, Timestamp)>,
        now: Timestamp,
    ) {
        for expiry in certificates.iter().flat_map(|certificates| certificates.expiries()) {
            let Ok(expires_at) = Timestamp::from_second(expiry.at) else { continue };
            let certificate = expiry.file.display().to_string();
            if expires_at <= soon(now) && told.insert((certificate.clone(), expires_at)) {
                self.notices.tell(Notice::CertificateExpiring { certificate, expires_at });
            }
        }
    }

    /// Tells the entries of all widgets that expire soon.
    async fn walk(&self, book: Arc<RuleBook>) {
        let mut next = Some(0);
        while let Some(from) = next {
            let book = Arc::clone(&book);
            let found = spawn_blocking(move || page(&book, from, Timestamp::now())).await;
            // A panic has been told by its hook.
            let Ok((found, after)) = found else { return };
            found.into_iter().for_each(|notice| self.notices.tell(notice));
            next = after;
            if next.is_some() {
                sleep(AFTER_PAGE).await;
            }
        }
    }
}

impl Observer for ChangeNotices {
    fn swapped(&self, swap: &Swap<'_>) {
        // What another process has changed, that process tells.
        if swap.followed.is_some() {
            return;
        }
        let (is_first, is_wide) = (is_first_load(swap), swap.changed.len() > AT_ONCE);
        if is_first || is_wide {
            self.is_walk_due.store(true, Ordering::Relaxed);
        }
        if is_first || !self.notices.is_wanted() {
            return;
        }
        let at = Timestamp::now();
        for (changed, actor) in swap.changes() {
            self.notices.tell(Notice::RulesChanged {
                widget: changed.id.to_string(),
                revision: changed.after,
                actor: actor.map(str::to_owned),
                at,
            });
            if let Some(rules) = swap.book.get(changed.id.as_str()).filter(|_| !is_wide) {
                expiring(rules, at).for_each(|notice| self.notices.tell(notice));
            }
        }
    }

    fn rejected(&self, _source: SourceKind, _error: &RulesError) {}
}

/// Entries that expire soon, from this widget on in the book's own order, and the widget to go on with if there are more.
fn page(book: &RuleBook, from: usize, now: Timestamp) -> (Vec<Notice>, Option<usize>) {
    let mut found = Vec::new();
    for (at, rules) in book.widgets().enumerate().skip(from) {
        if found.len() >= PAGE {
            return (found, Some(at));
        }
        found.extend(expiring(rules, now));
    }
    (found, None)
}

/// The entries of one widget that expire soon.
fn expiring(rules: WidgetRules<'_>, now: Timestamp) -> impl Iterator<Item = Notice> {
    let expiring = rules.allowlist.expiring(now, soon(now));
    expiring.map(move |(entry, expires_at)| Notice::EntryExpiring {
        widget: rules.id.to_owned(),
        entry: entry.to_string(),
        expires_at,
    })
}

/// Whether these are the first rules of all, as their source has them: nothing has changed.
fn is_first_load(swap: &Swap<'_>) -> bool {
    let is_of_source = |actor: Option<&str>| actor.is_none_or(|actor| actor.starts_with("source:"));
    swap.book.generation() == 1 && swap.changes().all(|(_, actor)| is_of_source(actor))
}

/// Until when an expiry is soon.
fn soon(now: Timestamp) -> Timestamp {
    now.checked_add(EXPIRY_NOTICE).unwrap_or(Timestamp::MAX)
}

fn is_over(since: Option<Instant>, time: Duration) -> bool {
    since.is_none_or(|since| since.elapsed() >= time)
}

#[cfg(test)]
mod tests;
