//! The agenda of expiring entries: which widgets' sessions are to be judged again, and when.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;

/// Entries expire by the wall clock, which can be set: it is looked at this often.
const CLOCK: Duration = Duration::from_secs(1);

/// Each widget that has open sessions and an entry to expire, once, by the next such instant.
#[derive(Debug, Default)]
pub struct Expiries {
    agenda: Mutex<BTreeSet<(Timestamp, Arc<str>)>>,
    sooner: Notify,
}

impl Expiries {
    /// Puts a widget at `next` in the place of `before`.
    pub fn replace(&self, widget: &Arc<str>, before: Option<Timestamp>, next: Option<Timestamp>) {
        if before.is_none() && next.is_none() {
            return;
        }
        let mut agenda = self.agenda.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = before {
            agenda.remove(&(before, Arc::clone(widget)));
        }
        if let Some(next) = next {
            agenda.insert((next, Arc::clone(widget)));
            self.sooner.notify_one();
        }
    }

    /// Waits until at least one widget is due, and takes all that are.
    pub async fn due(&self) -> Vec<Arc<str>> {
        loop {
            let now = Timestamp::now();
            let (due, next) = self.take(now);
            if !due.is_empty() {
                return due;
            }
            let wait = next.and_then(|next| Duration::try_from(next.duration_since(now)).ok());
            tokio::select! {
                () = self.sooner.notified() => {}
                () = tokio::time::sleep(wait.unwrap_or(CLOCK).min(CLOCK)), if next.is_some() => {}
            }
        }
    }

    fn take(&self, now: Timestamp) -> (Vec<Arc<str>>, Option<Timestamp>) {
        let mut agenda = self.agenda.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        while let Some((at, _)) = agenda.first()
            && *at <= now
        {
            due.extend(agenda.pop_first().map(|(_, widget)| widget));
        }
        (due, agenda.first().map(|(at, _)| *at))
    }

    /// How many widgets are on the agenda.
    #[cfg(test)]
    pub fn planned(&self) -> usize {
        self.agenda.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
