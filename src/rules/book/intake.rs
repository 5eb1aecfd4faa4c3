//! A book as it was kept, on its way back in, by as many hands as there are: measured first, then taken in.

use super::record::Stored;
use super::table::{Filling, Sizes, Table};
use super::{Census, FingerprintKey, RuleBook, Tombstone};

/// What one hand measures.
pub(in crate::rules) struct Measure(Sizes);

impl Measure {
    /// One for each of so many hands, who share the widgets of one book.
    pub(in crate::rules) fn of(hands: usize) -> Vec<Self> {
        Sizes::of(hands).into_iter().map(Self).collect()
    }

    /// A widget whose record has this length.
    pub(in crate::rules) fn widget(&mut self, id: &str, length: usize) {
        self.0.measure(id.as_bytes(), length);
    }
}

/// What was measured, being taken in by any number of hands.
pub(in crate::rules) struct Intake(Filling);

impl Intake {
    pub(in crate::rules) fn new(measures: Vec<Measure>) -> Self {
        let sizes: Vec<Sizes> = measures.into_iter().map(|measure| measure.0).collect();
        Self(Filling::new(&sizes))
    }

    /// Takes in a widget by its record, and counts it in the hand's own census. `false` where it is none, or wasn't
    /// measured.
    #[must_use]
    pub(in crate::rules) fn widget(&self, id: &str, record: &[u8], census: &mut Census) -> bool {
        let Some(Stored { rules, .. }) = Stored::read(id, record) else { return false };
        census.add(rules.environment, rules.access);
        self.0.put(id.as_bytes(), record)
    }
}

impl RuleBook {
    /// The book of what was taken in.
    pub(in crate::rules) fn restore(
        key: FingerprintKey,
        generation: u64,
        intake: Intake,
        censuses: &[Census],
        deleted: &[(String, Tombstone)],
    ) -> Self {
        let mut census = Census::default();
        censuses.iter().for_each(|counted| census.join(counted));
        let graves: Vec<(&str, Vec<u8>)> =
            deleted.iter().map(|(id, tombstone)| (id.as_str(), tombstone.write())).collect();
        let mut deleted = Table::default();
        deleted.edit(graves.iter().map(|(id, bytes)| (id.as_bytes(), Some(bytes.as_slice()))).collect());
        Self { generation, widgets: intake.0.into_table(), deleted, census, key }
    }

    /// A book without widgets, under this key.
    pub(in crate::rules) fn empty(key: FingerprintKey) -> Self {
        Self { key, ..Self::default() }
    }
}
