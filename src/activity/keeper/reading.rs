//! What was kept, for readers.

use jiff::Timestamp;

use super::ActivityKeeper;
use crate::activity::reader::{ActivityError, ActivityReader, RefusedEmbedder};
use crate::activity::seen::WidgetActivity;

impl ActivityReader for ActivityKeeper {
    fn since(&self) -> Timestamp {
        let since = self.store.about(|about| Timestamp::from_second(about.since.into()).ok());
        since.ok().flatten().unwrap_or(self.begun)
    }

    fn widget(&self, id: &str) -> Result<WidgetActivity, ActivityError> {
        Ok(self.store.widget(id)?.map(|record| record.told()).unwrap_or_default())
    }

    fn page(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Box<str>, WidgetActivity)>, ActivityError> {
        let page = self.store.page(after, limit)?;
        Ok(page.into_iter().map(|(id, record)| (id, record.told())).collect())
    }

    fn most_refused(&self) -> Vec<RefusedEmbedder> {
        let book = self.rules.load_full();
        let told = self.store.about(|about| about.most_refused.told(|id| book.get(id).is_some()));
        told.unwrap_or_default()
    }
}
