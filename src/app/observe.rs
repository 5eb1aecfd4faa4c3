//! Observers of the rules, and metrics of swaps and refusals.

use std::sync::Arc;

use super::notices::ChangeNotices;
use super::upgrade::Feed;
use crate::admin::SwapFeed;
use crate::edge::session::registry::SessionRegistry;
use crate::edge::setup::LiveSetup;
use crate::notifications::remembered::RememberedSessions;
use crate::rules::error::{RulesError, SaveError};
use crate::rules::publisher::{Observer, Swap};
use crate::rules::source::SourceKind;
use crate::telemetry::events::EventFeed;
use crate::telemetry::metrics::Metrics;
use embedgate_policy::widget::{Access, Environment};

/// All observers, in the order in which they are told.
pub(super) fn all(
    (sessions, remembered): (&Arc<SessionRegistry>, &Arc<RememberedSessions>),
    feed: &Arc<Feed>,
    setup: &LiveSetup,
    metrics: &Arc<Metrics>,
    events: &Arc<EventFeed>,
    changes: &Arc<ChangeNotices>,
) -> [Arc<dyn Observer>; 7] {
    [
        // First, so that nothing else delays the end of the sessions that a save denies.
        Arc::clone(sessions) as _,
        Arc::clone(remembered) as _,
        Arc::clone(feed) as _,
        Arc::new(setup.clone()),
        Arc::new(RuleMetrics::new(Arc::clone(metrics))),
        Arc::new(SwapFeed::new(Arc::clone(events))),
        Arc::clone(changes) as _,
    ]
}

/// Observer that keeps the metrics of the rules.
struct RuleMetrics(Arc<Metrics>);

impl RuleMetrics {
    fn new(metrics: Arc<Metrics>) -> Self {
        Self(metrics)
    }
}

impl Observer for RuleMetrics {
    fn swapped(&self, swap: &Swap<'_>) {
        let census = swap.book.census();
        self.0.rules_generation.set(gauge(swap.book.generation()));
        for environment in Environment::ALL {
            for access in Access::ALL {
                let labels = [environment.as_str(), access.as_str()];
                let widgets = census.widgets(environment, access);
                self.0.rules_widgets.with_label_values(&labels).set(gauge(widgets));
            }
            let unrestricted = census.unrestricted(environment);
            self.0.rules_unrestricted.with_label_values(&[environment.as_str()]).set(gauge(unrestricted));
        }
        let source = swap.source.as_str();
        self.0.rules_apply_duration.with_label_values(&[source]).observe(swap.took.as_secs_f64());
    }

    fn rejected(&self, source: SourceKind, error: &RulesError) {
        self.0.rules_rejected.with_label_values(&[source.as_str(), error.code()]).inc();
        if let RulesError::Save(SaveError::WideChange { road, .. }) = error {
            self.0.brake_refusals.held(road.as_str());
        }
    }
}

fn gauge(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}
