//! A book as it was kept, on its way back in, by as many hands as there are.

use super::record::Stored;
use super::table::Bins;
use super::{Census, FingerprintKey, RuleBook, Tombstone};

/// What one hand takes in. Its records differ from those of the others in their ids.
pub(in crate::rules) struct Intake {
    widgets: Bins,
    deleted: Bins,
    census: Census,
}

impl Intake {
    /// One for each of so many threads.
    pub(in crate::rules) fn of(threads: usize) -> Vec<Self> {
        let bins = Bins::of(threads).into_iter().zip(Bins::of(threads));
        bins.map(|(widgets, deleted)| Self { widgets, deleted, census: Census::default() }).collect()
    }

    /// Takes in a widget by its record. `false` where it is none.
    #[must_use]
    pub(in crate::rules) fn widget(&mut self, id: &str, record: &[u8]) -> bool {
        let Some(Stored { rules, .. }) = Stored::read(id, record) else { return false };
        self.census.add(rules.environment, rules.access);
        self.widgets.put(id.as_bytes(), record);
        true
    }

    /// Takes in what is remembered of a deleted widget.
    pub(in crate::rules) fn deleted(&mut self, id: &str, tombstone: Tombstone) {
        self.deleted.put(id.as_bytes(), &tombstone.write());
    }
}

impl RuleBook {
    /// The book of what was taken in.
    pub(in crate::rules) fn restore(key: FingerprintKey, generation: u64, intakes: Vec<Intake>) -> Self {
        let (mut widgets, mut deleted, mut census) = (Vec::new(), Vec::new(), Census::default());
        for intake in intakes {
            widgets.push(intake.widgets);
            deleted.push(intake.deleted);
            census.join(&intake.census);
        }
        let (widgets, deleted) = (Bins::into_table(widgets), Bins::into_table(deleted));
        Self { generation, widgets, deleted, census, key }
    }
}
