//! What was seen, for people and for other edges.

use jiff::Timestamp;

use super::seen::{EmbedderActivity, WidgetActivity};

/// Reader of what was seen, up to the last second.
pub trait ActivityReader: Send + Sync {
    /// Since when sightings are kept.
    fn since(&self) -> Timestamp;

    /// Activity of one widget; empty where nothing was seen.
    ///
    /// # Errors
    ///
    /// What is kept can't be read.
    fn widget(&self, id: &str) -> Result<WidgetActivity, ActivityError>;

    /// Widgets with activity, in the order of their ids, after `after`, at most `limit`.
    ///
    /// # Errors
    ///
    /// What is kept can't be read.
    fn page(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Box<str>, WidgetActivity)>, ActivityError>;

    /// The embedders that were refused most often, over all widgets, most often first, at most 50.
    fn most_refused(&self) -> Vec<RefusedEmbedder>;
}

/// Embedder that a widget has refused.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RefusedEmbedder {
    /// The widget's id.
    pub widget: Box<str>,
    /// The embedder.
    pub embedder: EmbedderActivity,
}

/// Failure to read what is kept.
#[derive(Clone, Debug, thiserror::Error)]
#[error("what was seen can't be read: {detail}")]
pub struct ActivityError {
    /// Why.
    pub detail: String,
}
