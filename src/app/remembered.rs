//! Sessions that have left the edge, by the settings.

use std::sync::Arc;

use crate::config::Settings;
use crate::edge::setup::LiveSetup;
use crate::limits::limiter::Limiter;
use crate::limits::opening::Opening;
use crate::notifications::outbox::Outbox;
use crate::notifications::remembered::{Occupies, RememberedSessions, Seat, TakenSeat};
use crate::rules::live::LiveRules;
use crate::telemetry::metrics::Metrics;

/// Counter of open sessions, for those that have left the edge.
struct SessionCounter(Arc<Limiter>);

impl Occupies for SessionCounter {
    fn occupy(&self, seat: &Seat<'_>) -> TakenSeat {
        let &Seat { widget, limits, embedder, is_listed, address } = seat;
        let mut charge = self.0.occupy(&Opening {
            widget,
            limits,
            embedder,
            is_listed: &|| is_listed,
            address,
            is_open: false,
            is_session: true,
            may_wait: false,
        });
        charge.keep();
        Box::new(charge)
    }
}

/// The sessions that have left the edge.
pub(super) fn sessions(
    settings: &Settings,
    (rules, setup): (&LiveRules, &LiveSetup),
    outbox: &Arc<Outbox>,
    limiter: &Arc<Limiter>,
    metrics: &Metrics,
) -> Arc<RememberedSessions> {
    let (policy, places) = (Arc::clone(setup.policy()), Arc::new(SessionCounter(Arc::clone(limiter))));
    let (metrics, kept_for) = (metrics.remembered.clone(), settings.tickets.renewable_for);
    RememberedSessions::new(rules.clone(), policy, Arc::clone(outbox) as _, places, metrics, kept_for)
}
