//! Notices of what changes and of what expires: rules that are others now, entries and certificates that expire soon.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use self::told::ToldExpiries;
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

mod told;

/// Time between two looks at whether there is something to do.
const LOOK: Duration = Duration::from_secs(1);

/// Time between two looks at the certificates, whose files may change.
const CERTIFICATES: Duration = Duration::from_secs(60);

/// Time between two walks through all widgets.
const WALK: Duration = Duration::from_secs(24 * 60 * 60);

/// Widgets of one change whose entries are looked at while the change is answered. With more, a walk does that.
const AT_ONCE: usize = 1000;

/// Entries that one walk tells at most. The others wait for the next one.
const OF_ONE_WALK: usize = 5000;

/// Entries that it tells at a time, and the time between.
const AT_A_TIME: usize = 100;
const BETWEEN: Duration = Duration::from_millis(100);

/// Source of notices of what changes and of what expires.
///
/// What expires is told once while this process runs, and again by the next one, with the same id.
pub(super) struct ChangeNotices {
    notices: Arc<dyn Notify>,
    told: ToldExpiries,
    /// Entries have come in force that nobody has looked at.
    is_walk_due: AtomicBool,
}

impl ChangeNotices {
    /// One that tells this notifier.
    pub(super) fn new(notices: Arc<dyn Notify>) -> Arc<Self> {
        Arc::new(Self { notices, told: ToldExpiries::default(), is_walk_due: AtomicBool::new(true) })
    }

    /// Watches what expires, while anybody is told. Runs for ever.
    pub(super) async fn watch(self: Arc<Self>, rules: LiveRules, certificates: Vec<Arc<dyn Expiring>>) {
        let (mut walked, mut looked) = (None, None);
        loop {
            if !self.notices.is_wanted() {
                self.is_walk_due.store(true, Ordering::Relaxed);
                looked = None;
            } else {
                if is_over(looked, CERTIFICATES) {
                    looked = Some(Instant::now());
                    self.tell_certificates(&certificates, Timestamp::now());
                }
                // Before the first rules, there is nothing to walk through.
                let book = rules.load_full();
                if book.generation() > 0
                    && (self.is_walk_due.swap(false, Ordering::Relaxed) || is_over(walked, WALK))
                {
                    walked = Some(Instant::now());
                    let source = Arc::clone(&self);
                    let found = spawn_blocking(move || source.walk(&book, Timestamp::now())).await;
                    // A panic has been told by its hook.
                    self.tell_slowly(found.unwrap_or_default()).await;
                }
            }
            sleep(LOOK).await;
        }
    }

    /// Tells the certificates that expire soon.
    fn tell_certificates(&self, certificates: &[Arc<dyn Expiring>], now: Timestamp) {
        for expiry in certificates.iter().flat_map(|certificates| certificates.expiries()) {
            let Ok(expires_at) = Timestamp::from_second(expiry.at) else { continue };
            let certificate = expiry.file.display().to_string();
            if expires_at <= soon(now) && self.told.note(&("", &certificate), expires_at, now) {
                self.notices.tell(Notice::CertificateExpiring { certificate, expires_at });
            }
        }
    }

    /// The entries of all widgets that expire soon and were not told, as far as one walk tells them.
    fn walk(&self, book: &RuleBook, now: Timestamp) -> Vec<Notice> {
        book.widgets().flat_map(|rules| self.expiring(rules, now)).take(OF_ONE_WALK).collect()
    }

    /// The entries of one widget that expire soon and were not told.
    fn expiring(&self, rules: WidgetRules<'_>, now: Timestamp) -> impl Iterator<Item = Notice> {
        rules.allowlist.expiring(now, soon(now)).filter_map(move |(entry, expires_at)| {
            let (widget, entry) = (rules.id.to_owned(), entry.to_string());
            let is_new = self.told.note(&(rules.id, &entry), expires_at, now);
            is_new.then_some(Notice::EntryExpiring { widget, entry, expires_at })
        })
    }

    /// Tells what may be much, so that there is room for what others tell.
    async fn tell_slowly(&self, notices: Vec<Notice>) {
        let mut notices = notices.into_iter().peekable();
        while notices.peek().is_some() {
            notices.by_ref().take(AT_A_TIME).for_each(|notice| self.notices.tell(notice));
            sleep(BETWEEN).await;
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
        if !self.notices.is_wanted() || is_first || is_wide {
            self.is_walk_due.store(true, Ordering::Relaxed);
        }
        if !self.notices.is_wanted() || is_first {
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
                self.expiring(rules, at).for_each(|notice| self.notices.tell(notice));
            }
        }
    }

    fn rejected(&self, _source: SourceKind, _error: &RulesError) {}
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
