//! Age of the rules that a fleet shares: this edge follows when it last knew that it had everything, and has the process
//! before it know, too.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::reload::Reloader;
use super::upgrade::{FOLLOW, Feed, on_thread};
use crate::edge::setup::LiveSetup;
use crate::rules::fleet::{Fleet, FleetLink};

/// Contact of this edge with the source of its rules.
pub(super) struct Contact {
    /// `None`: the rules are this edge's alone.
    link: Option<watch::Receiver<FleetLink>>,
    seen: Option<Timestamp>,
}

impl Contact {
    /// What is known of it at the start, for the first request to be judged by.
    pub(super) fn at_start(fleet: Option<&dyn Fleet>, setup: &LiveSetup) -> Self {
        let Some(mut link) = fleet.map(Fleet::link) else { return Self { link: None, seen: None } };
        let (seen, announced) = contact(&link.borrow_and_update());
        setup.keep_contact(seen, announced);
        Self { link: Some(link), seen }
    }

    /// Follows it from now on, and ends sessions when there was none for too long.
    pub(super) fn watch(self, reloader: &Reloader) {
        let Reloader { setup, sessions, feed, .. } = reloader;
        tokio::spawn(self.follow(setup.clone(), Arc::clone(feed)));
        let (setup, sessions) = (setup.clone(), Arc::clone(sessions));
        // Also without a fleet: the process that takes over may be part of one.
        tokio::spawn(
            async move { sessions.watch_staleness(setup.stale_at(), || setup.forget_contact()).await },
        );
    }

    async fn follow(self, setup: LiveSetup, feed: Arc<Feed>) {
        let Self { link: Some(mut link), mut seen } = self else { return };
        while link.changed().await.is_ok() {
            let (current_at, announced) = contact(&link.borrow_and_update());
            // Whatever else has changed is no contact, and what is not known any more is no news.
            if current_at == seen || current_at.is_none() {
                continue;
            }
            seen = current_at;
            if setup.keep_contact(current_at, announced) && feed.is_followed() {
                let (setup, feed) = (setup.clone(), Arc::clone(&feed));
                // An error means that the system refuses a thread; the next contact tells the old process.
                let _ = on_thread(move || feed.policy(setup.policy(), FOLLOW)).await;
            }
        }
    }
}

fn contact(link: &FleetLink) -> (Option<Timestamp>, Option<Duration>) {
    (link.current_at, link.announced_limit)
}

#[cfg(test)]
mod tests;
