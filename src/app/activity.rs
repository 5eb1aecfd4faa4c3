//! Keeper of who embeds, by the settings.

use std::sync::Arc;

use crate::activity::keeper::ActivityKeeper;
use crate::config::Settings;
use crate::notifications::notifier::Notify;
use crate::rules::live::LiveRules;
use crate::telemetry::metrics::Metrics;

/// The keeper of who embeds.
pub(super) fn keeper(
    settings: &Settings,
    rules: &LiveRules,
    metrics: &Metrics,
    notices: Arc<dyn Notify>,
) -> Arc<ActivityKeeper> {
    let (path, bytes) = (&settings.activity.path, settings.activity.bytes);
    let keeper = ActivityKeeper::open(path, bytes, rules.clone(), metrics.activity.clone());
    Arc::new(keeper.telling(notices))
}
