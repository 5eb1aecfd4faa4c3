//! Keeper: takes sightings out of the recorder, adds them up, and keeps them.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::reader::{ActivityError, ActivityReader, RefusedEmbedder};
use super::recorder::ActivityRecorder;
use super::seen::WidgetActivity;
use crate::rules::live::LiveRules;

/// Keeper of what was seen.
pub struct ActivityKeeper {
    recorder: Arc<ActivityRecorder>,
}

/// Sightings that may wait to be added up.
const ROOM: usize = 16 * 1024;

impl ActivityKeeper {
    /// Opens what is kept in this file, or makes it. `bytes`: the most memory. `rules`: where entries are looked up.
    ///
    /// # Errors
    ///
    /// The file can't be read or made.
    pub fn open(_path: &Path, _bytes: u64, _rules: LiveRules) -> Result<Self, ActivityError> {
        Ok(Self { recorder: Arc::new(ActivityRecorder::new(ROOM)) })
    }

    /// The recorder whose sightings it takes.
    pub fn recorder(&self) -> &Arc<ActivityRecorder> {
        &self.recorder
    }

    /// Takes sightings and keeps them each second. Runs for ever.
    pub async fn run(self: Arc<Self>) {
        std::future::pending().await
    }
}

impl ActivityReader for ActivityKeeper {
    fn since(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn widget(&self, _id: &str) -> Result<WidgetActivity, ActivityError> {
        Ok(WidgetActivity::default())
    }

    fn page(
        &self,
        _after: Option<&str>,
        _limit: usize,
    ) -> Result<Vec<(Box<str>, WidgetActivity)>, ActivityError> {
        Ok(Vec::new())
    }

    fn most_refused(&self) -> Vec<RefusedEmbedder> {
        Vec::new()
    }
}
