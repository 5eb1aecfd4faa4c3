//! Stored documents, for people and writers; requests never read them.

use std::sync::{Arc, LazyLock};

use jiff::Timestamp;

use super::error::StoreError;
use embedgate_policy::entry::{Entry, EntryError};
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::{DocumentFault, Widget, WidgetId};

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

    /// The ids in the same order, without reading the documents.
    ///
    /// # Errors
    ///
    /// Where the store can't be read.
    fn ids(&self, after: Option<&str>, limit: usize) -> Result<Vec<WidgetId>, StoreError>;

    /// The last documents of a widget, newest first, with the one in force; also of a deleted widget. Empty for one that
    /// nothing is known of.
    ///
    /// # Errors
    ///
    /// Where the store can't be read.
    fn history(&self, id: &str) -> Result<Vec<HistoryEntry>, StoreError>;
}

/// Entry of a widget's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The revision.
    pub revision: u64,
    /// When it was saved; `None` where an older version saved it.
    pub at: Option<Timestamp>,
    /// Who saved it, as the audit log calls them; `None` where an older version saved it.
    pub actor: Option<Box<str>>,
    /// What the widget was from then on.
    pub state: HistoryState,
}

/// State of a widget at a revision of its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryState {
    /// It had this document.
    Document(Widget),
    /// It was deleted.
    Deleted,
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

/// An entry as people write it, where the public suffix list only knows the top of the tree: what has become a public
/// suffix since it was listed can still be named, to renew or to remove it. [`Edit`](super::edit::Edit)s judge by the
/// whole list what is new.
///
/// # Errors
///
/// Those of [`Entry::parse`] by the whole list.
pub fn listed_before(text: &str, suffixes: &PublicSuffixes) -> Result<Entry, EntryError> {
    Entry::parse(text, suffixes).or_else(|error| match &*FEWEST {
        Some(fewest) => Entry::parse(text, fewest).map_err(|_| error),
        None => Err(error),
    })
}

/// A document whose entries were all listed before, or else are judged elsewhere.
pub(in crate::rules) fn parse_listed(
    json: &[u8],
    suffixes: &PublicSuffixes,
) -> Result<Widget, Vec<DocumentFault>> {
    Widget::parse_of_any_size(json, suffixes).or_else(|faults| match &*FEWEST {
        Some(fewest) => Widget::parse_of_any_size(json, fewest),
        None => Err(faults),
    })
}

/// A document from its JSON. It was accepted once, so what has become a public suffix since is no fault.
pub(in crate::rules) fn restore(
    json: &[u8],
    revision: u64,
    suffixes: &PublicSuffixes,
) -> Result<Widget, StoreError> {
    match parse_listed(json, suffixes) {
        Ok(widget) => Ok(Widget { revision: Some(revision), ..widget }),
        Err(faults) => Err(StoreError::BadDocument {
            source: match faults.into_iter().next() {
                Some(fault) => Arc::new(fault),
                None => Arc::from(Box::from("")),
            },
        }),
    }
}
