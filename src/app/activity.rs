//! Keeper of who embeds, by the settings.

use std::sync::Arc;

use crate::activity::keeper::ActivityKeeper;
use crate::config::Settings;
use crate::rules::live::LiveRules;
use crate::telemetry::metrics::Metrics;

/// The keeper of who embeds.
pub(super) fn keeper(settings: &Settings, rules: &LiveRules, metrics: &Metrics) -> Arc<ActivityKeeper> {
    let (path, bytes) = (&settings.activity.path, settings.activity.bytes);
    Arc::new(ActivityKeeper::open(path, bytes, rules.clone(), metrics.activity.clone()))
}
