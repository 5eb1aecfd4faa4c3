//! What is used of widgets' limits, by the settings.

use std::sync::Arc;

use crate::config::Settings;
use crate::limits::days::LimitDays;
use crate::limits::handover::{LimitLedger, PassedCounts};
use crate::limits::limiter::Limiter;
use crate::notifications::notifier::Notify;
use crate::telemetry::metrics::Metrics;

/// What is used of widgets' limits.
pub(super) struct UsedLimits {
    pub(super) limiter: Arc<Limiter>,
    /// What is kept of it.
    pub(super) days: Arc<LimitDays>,
    /// What the process before this one has told of it.
    pub(super) ledger: LimitLedger,
}

/// Begins with what is used already: with the counts of the process before this one, or with what is on disk.
pub(super) async fn begin(
    settings: &Settings,
    metrics: &Metrics,
    notices: Arc<dyn Notify>,
    counts: Option<PassedCounts>,
) -> UsedLimits {
    let limiter = Limiter::new(notices, metrics.limits.clone());
    // Else the file is read once that can be done.
    let has_kept_day = counts.as_ref().is_some_and(PassedCounts::has_kept_day);
    let days = LimitDays::open(&settings.limits.path, Arc::clone(&limiter), has_kept_day);
    let ledger = match counts {
        Some(counts) => limiter.take_over(counts),
        None => {
            days.begin().await;
            LimitLedger::new(Arc::clone(&limiter))
        }
    };
    UsedLimits { limiter, days, ledger }
}
