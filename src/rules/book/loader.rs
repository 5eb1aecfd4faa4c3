//! Parallel load of a stored book: every thread first measures the records that it reads, then copies them in.

use super::census::Census;
use super::record::WidgetRecord;
use super::rule_book::RuleBook;
use super::table::RecordTable;
use super::table::builder::{LeafSizes, TableBuilder};
use crate::rules::fingerprint::FingerprintKey;
use crate::rules::tombstone::Tombstone;

/// Sizes of the records that one thread has read, for [`BookLoader::new`].
pub(in crate::rules) struct BookSizes(LeafSizes);

impl BookSizes {
    /// One for each thread; the threads share the widgets of one book.
    pub(in crate::rules) fn of(threads: usize) -> Vec<Self> {
        LeafSizes::of(threads).into_iter().map(Self).collect()
    }

    /// Adds a widget whose record has this length.
    pub(in crate::rules) fn add(&mut self, id: &str, length: usize) {
        self.0.add(id.as_bytes(), length);
    }
}

/// Loader of a stored book, shared by any number of threads.
pub(in crate::rules) struct BookLoader(TableBuilder);

impl BookLoader {
    pub(in crate::rules) fn new(sizes: Vec<BookSizes>) -> Self {
        let sizes: Vec<LeafSizes> = sizes.into_iter().map(|sizes| sizes.0).collect();
        Self(TableBuilder::new(&sizes))
    }

    /// Copies a widget's record in, and counts the widget in the thread's own census. `false` where the bytes are no
    /// record, or one that wasn't measured.
    #[must_use]
    pub(in crate::rules) fn load(&self, id: &str, record: &[u8], census: &mut Census) -> bool {
        let Some(WidgetRecord { rules, .. }) = WidgetRecord::read(id, record) else { return false };
        census.add(rules.environment, rules.access);
        self.0.put(id.as_bytes(), record)
    }
}

impl RuleBook {
    /// The book of everything that was loaded.
    pub(in crate::rules) fn restore(
        key: FingerprintKey,
        generation: u64,
        loader: BookLoader,
        censuses: &[Census],
        deleted: &[(String, Tombstone)],
    ) -> Self {
        let mut census = Census::default();
        censuses.iter().for_each(|counted| census.join(counted));
        let graves: Vec<(&str, Vec<u8>)> =
            deleted.iter().map(|(id, tombstone)| (id.as_str(), tombstone.write())).collect();
        let mut deleted = RecordTable::default();
        deleted.edit(graves.iter().map(|(id, bytes)| (id.as_bytes(), Some(bytes.as_slice()))).collect());
        Self { generation, widgets: loader.0.into_table(), deleted, census, key }
    }

    /// A book without widgets, under this key.
    pub(in crate::rules) fn empty(key: FingerprintKey) -> Self {
        Self { key, ..Self::default() }
    }
}
