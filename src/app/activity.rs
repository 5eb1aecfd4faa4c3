//! Keeper of who embeds, by the settings.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::activity::keeper::ActivityKeeper;
use crate::config::Settings;
use crate::rules::live::LiveRules;
use crate::telemetry::metrics::Metrics;

/// The keeper of who embeds.
pub(super) fn keeper(settings: &Settings, rules: &LiveRules, metrics: &Metrics) -> Arc<ActivityKeeper> {
    let (path, bytes) = (&settings.activity.path, settings.activity.bytes);
    Arc::new(ActivityKeeper::open(path, bytes, rules.clone(), metrics.activity.clone()))
}

/// Time for the file to be let go of. One that is being repaired takes longer.
const LET_GO: Duration = Duration::from_secs(1);

/// The file of who embeds, on its way out of this process.
#[derive(Default)]
pub(super) struct Departure(JoinSet<()>);

impl Departure {
    /// Keeps what was seen so far, and lets the file go. Returns whether that was done in time; if not, it goes on.
    pub(super) async fn begin(&mut self, keeper: &Arc<ActivityKeeper>) -> bool {
        let Self(leaving) = self;
        let keeper = Arc::clone(keeper);
        leaving.spawn_blocking(move || keeper.let_go());
        // A panic has been told by its hook.
        timeout(LET_GO, leaving.join_next()).await.is_ok()
    }

    /// Takes the file back once it has been let go of.
    pub(super) fn undo(self, keeper: &Arc<ActivityKeeper>) {
        let Self(mut leaving) = self;
        let keeper = Arc::clone(keeper);
        tokio::spawn(async move {
            while leaving.join_next().await.is_some() {}
            keeper.take_back();
        });
    }
}

/// Keeps what was seen up to the end of the process.
pub(super) async fn keep_last(keeper: &Arc<ActivityKeeper>) {
    if !Departure::default().begin(keeper).await {
        tracing::warn!("activity.path: what was seen last of embedders could not be written in time");
    }
}
