//! Stored documents, for people and writers; requests never read them.

use std::sync::{Arc, LazyLock};

use super::error::StoreError;
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::Widget;

/// Stored documents, canonical and with their revisions. What was answered is there.
pub trait Documents: Send + Sync {
    /// One widget's document.
    ///
    /// # Errors
    ///
    /// Where the store can't be read.
    fn get(&self, id: &str) -> Result<Option<Widget>, StoreError>;

    /// In the order of ids (of their bytes), after `after`, at most `limit`.
    ///
    /// # Errors
    ///
    /// Where the store can't be read.
    fn page(&self, after: Option<&str>, limit: usize) -> Result<Vec<Widget>, StoreError>;
}

/// Stored document: canonical JSON without its revision.
pub(in crate::rules) type Json = Arc<[u8]>;

/// The JSON under which a document is kept.
#[expect(clippy::expect_used, reason = "every key is a string and no field's Serialize fails")]
pub(in crate::rules) fn canonical(widget: &mut Widget) -> Json {
    let revision = widget.revision.take();
    let mut json = Vec::with_capacity(512);
    serde_json::to_writer(&mut json, widget).expect("a widget is plain JSON");
    widget.revision = revision;
    json.into()
}

/// Public suffix list that knows no suffix of more than one label.
static FEWEST: LazyLock<Option<PublicSuffixes>> = LazyLock::new(|| {
    let section =
        |name: &str| format!("// ===BEGIN {name} DOMAINS===\ninvalid\n// ===END {name} DOMAINS===\n");
    PublicSuffixes::parse(&[section("ICANN"), section("PRIVATE")].concat()).ok()
});

/// A document from its JSON. It was accepted once, so what has become a public suffix since is no fault.
pub(in crate::rules) fn restore(
    json: &[u8],
    revision: u64,
    suffixes: &PublicSuffixes,
) -> Result<Widget, StoreError> {
    let parsed = Widget::parse(json, suffixes).or_else(|faults| match &*FEWEST {
        Some(fewest) => Widget::parse(json, fewest),
        None => Err(faults),
    });
    match parsed {
        Ok(widget) => Ok(Widget { revision: Some(revision), ..widget }),
        Err(faults) => Err(StoreError::BadDocument {
            source: match faults.into_iter().next() {
                Some(fault) => Arc::new(fault),
                None => Arc::from(Box::from("")),
            },
        }),
    }
}
