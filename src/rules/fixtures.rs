//! What several tests of this floor build on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use parking_lot::Mutex;

use super::change::{Change, ChangedWidget};
use super::error::RulesError;
use super::publisher::{Observer, Swap};
use super::source::SourceKind;
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::{Widget, WidgetId};

/// A document that is in order.
pub(crate) fn widget(json: &str) -> Widget {
    Widget::parse(json.as_bytes(), PublicSuffixes::shipped()).expect(json)
}

/// A list in which `example.org` has become a public suffix.
pub(crate) fn newer_suffixes() -> PublicSuffixes {
    PublicSuffixes::parse(
        "// ===BEGIN ICANN DOMAINS===\norg\nexample.org\n// ===END ICANN DOMAINS===\n\
         // ===BEGIN PRIVATE DOMAINS===\nexample.net\n// ===END PRIVATE DOMAINS===\n",
    )
    .unwrap()
}

/// One document with these entries and whatever else, such as `"access":"open"`.
pub(crate) fn put(id: &str, entries: &[&str], more: &str) -> Change {
    let entries = serde_json::to_string(entries).unwrap();
    let comma = if more.is_empty() { "" } else { "," };
    Change::put(widget(&format!(r#"{{"id":"{id}","allowed_domains":{entries}{comma}{more}}}"#)))
}

pub(crate) fn delete(id: &str, revision: Option<u64>) -> Change {
    Change::delete(WidgetId::parse(id).unwrap(), revision)
}

/// Remembers what it was told.
#[derive(Default)]
pub(crate) struct Notebook {
    pub(crate) swaps: Mutex<Vec<(u64, Vec<ChangedWidget>)>>,
    pub(crate) rejected: Mutex<Vec<(&'static str, String)>>,
}

impl Notebook {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn rejections(&self) -> Vec<(&'static str, String)> {
        self.rejected.lock().clone()
    }

    pub(crate) fn generations(&self) -> Vec<u64> {
        self.swaps.lock().iter().map(|(generation, _)| *generation).collect()
    }
}

impl Observer for Notebook {
    fn swapped(&self, swap: &Swap<'_>) {
        self.swaps.lock().push((swap.book.generation(), swap.changed.to_vec()));
    }

    fn rejected(&self, _source: SourceKind, error: &RulesError) {
        self.rejected.lock().push((error.code(), error.to_string()));
    }
}
