//! Agenda of expiring entries: when the sessions of which widgets have to be judged again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Maximum time between two looks at the wall clock, by which entries expire and which can be changed.
const CLOCK: Duration = Duration::from_secs(1);

/// Agenda of widgets with open sessions and an expiring entry, each once, by the next expiry.
#[derive(Debug, Default)]
pub struct Expiries {
    agenda: Mutex<BTreeSet<(Timestamp, Arc<str>)>>,
    sooner: Notify,
}

impl Expiries {
    /// Moves a widget from `before` to `next`.
    pub fn replace(&self, widget: &Arc<str>, before: Option<Timestamp>, next: Option<Timestamp>) {
        if before.is_none() && next.is_none() {
            return;
        }
        let mut agenda = self.agenda.lock();
        if let Some(before) = before {
            agenda.remove(&(before, Arc::clone(widget)));
        }
        if let Some(next) = next {
            agenda.insert((next, Arc::clone(widget)));
            self.sooner.notify_one();
        }
    }

    /// Waits until at least one widget is due, and takes all due ones.
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
        let mut agenda = self.agenda.lock();
        let mut due = Vec::new();
        while let Some((at, _)) = agenda.first()
            && *at <= now
        {
            due.extend(agenda.pop_first().map(|(_, widget)| widget));
        }
        (due, agenda.first().map(|(at, _)| *at))
    }

    /// Number of widgets on the agenda.
    #[cfg(test)]
    pub fn planned(&self) -> usize {
        self.agenda.lock().len()
    }
}
