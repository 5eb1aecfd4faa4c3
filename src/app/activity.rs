//! Keeper of who embeds, by the settings.

use std::sync::Arc;

use super::AppError;
use crate::activity::keeper::ActivityKeeper;
use crate::config::Settings;
use crate::rules::live::LiveRules;

/// Opens what is kept of embedders.
pub(super) fn open(settings: &Settings, rules: &LiveRules) -> Result<Arc<ActivityKeeper>, AppError> {
    let keeper = ActivityKeeper::open(&settings.activity.path, settings.activity.bytes, rules.clone())?;
    Ok(Arc::new(keeper))
}
