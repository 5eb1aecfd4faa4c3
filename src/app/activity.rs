//! Keeper of who embeds, by the settings.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::activity::keeper::ActivityKeeper;
use crate::config::Settings;
use crate::rules::live::LiveRules;
use crate::telemetry::metrics::Metrics;

/// The keeper of who embeds.
pub(super) fn keeper(settings: &Settings, rules: &LiveRules, metrics: &Metrics) -> Arc<ActivityKeeper> {
    let (path, bytes) = (&settings.activity.path, settings.activity.bytes);
    Arc::new(ActivityKeeper::open(path, bytes, rules.clone(), metrics.activity.clone()))
}

/// Keeps what was seen up to the end of the process.
pub(super) async fn keep_last(keeper: &Arc<ActivityKeeper>) {
    let keeper = Arc::clone(keeper);
    // A panic has been told by its hook.
    let _ = spawn_blocking(move || keeper.let_go()).await;
}
