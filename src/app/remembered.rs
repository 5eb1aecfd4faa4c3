//! Sessions that have left the edge, by the settings.

use std::net::IpAddr;
use std::sync::Arc;

use crate::config::Settings;
use crate::edge::setup::LiveSetup;
use crate::limits::limiter::Limiter;
use crate::limits::opening::Opening;
use crate::notifications::outbox::Outbox;
use crate::notifications::remembered::{Occupies, Place, RememberedSessions};
use crate::rules::live::LiveRules;
use crate::telemetry::metrics::Metrics;
use embedgate_policy::limits::Limits;

/// Counter of open sessions, for those that have left the edge.
struct SessionCounter(Arc<Limiter>);

impl Occupies for SessionCounter {
    fn occupy(&self, widget: &str, limits: &Limits, embedder: &str, address: Option<IpAddr>) -> Place {
        let opening = Opening {
            widget,
            limits,
            embedder,
            address,
            is_open: false,
            is_session: true,
            may_wait: false,
        };
        let mut charge = self.0.occupy(&opening);
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
