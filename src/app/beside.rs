//! What an edge keeps beside the rules, each in a file of its own: who embeds, what is used of limits, notifications, and
//! sessions that have left it.

use std::sync::Arc;

use super::notices::ChangeNotices;
use super::{activity, limits, notifications, remembered};
use crate::activity::keeper::ActivityKeeper;
use crate::config::Settings;
use crate::database::Lendable;
use crate::edge::setup::LiveSetup;
use crate::limits::days::LimitDays;
use crate::limits::handover::{LimitLedger, PassedCounts};
use crate::limits::limiter::Limiter;
use crate::notifications::notifier::Notify;
use crate::notifications::outbox::Outbox;
use crate::notifications::receiver::WebhookReceiver;
use crate::notifications::remembered::RememberedSessions;
use crate::rules::live::LiveRules;
use crate::telemetry::events::EventFeed;
use crate::telemetry::metrics::Metrics;

/// What an edge keeps beside the rules.
pub(super) struct KeptBeside {
    pub(super) activity: Arc<ActivityKeeper>,
    pub(super) limiter: Arc<Limiter>,
    days: Arc<LimitDays>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) remembered: Arc<RememberedSessions>,
    /// What tells of changes and of what expires.
    pub(super) changes: Arc<ChangeNotices>,
}

impl KeptBeside {
    /// Begins with what is kept. `counts`: what the process before this one has counted of limits; the ledger takes more
    /// of them.
    pub(super) async fn begin(
        settings: &Settings,
        (rules, setup): (&LiveRules, &LiveSetup),
        receiver: Option<Arc<WebhookReceiver>>,
        counts: Option<PassedCounts>,
        events: &Arc<EventFeed>,
        metrics: &Metrics,
    ) -> (Self, LimitLedger) {
        let outbox = notifications::outbox(settings, receiver, events, metrics);
        let notices = Arc::clone(&outbox) as Arc<dyn Notify>;
        let used = limits::begin(settings, metrics, Arc::clone(&notices), counts).await;
        let limits::UsedLimits { limiter, days, ledger } = used;
        let changes = ChangeNotices::new(Arc::clone(&notices));
        let activity = activity::keeper(settings, rules, metrics, notices);
        let remembered = remembered::sessions(settings, (rules, setup), &outbox, &limiter, metrics);
        (Self { activity, limiter, days, outbox, remembered, changes }, ledger)
    }

    /// Keeps what comes from now on.
    pub(super) fn run(&self) {
        tokio::spawn(Arc::clone(&self.activity).run());
        tokio::spawn(Arc::clone(&self.days).run());
        tokio::spawn(Arc::clone(&self.outbox).run());
        tokio::spawn(Arc::clone(&self.remembered).run());
    }

    /// Their files, which another process may have after this one.
    pub(super) fn lent(self) -> Vec<Arc<dyn Lendable>> {
        let Self { activity, days, outbox, remembered, limiter: _, changes: _ } = self;
        vec![activity, days, Arc::new(NotifyFile { remembered, outbox })]
    }
}

/// The file of notifications, and of sessions that have left the edge.
struct NotifyFile {
    remembered: Arc<RememberedSessions>,
    outbox: Arc<Outbox>,
}

impl Lendable for NotifyFile {
    /// The sessions first: what is named before that is kept by the outbox, and what comes later is passed on.
    fn let_go(&self) {
        self.remembered.let_go();
        self.outbox.let_go();
    }

    fn take_back(&self) {
        self.outbox.take_back();
        self.remembered.take_back();
    }
}
