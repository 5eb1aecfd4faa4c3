//! Loss of a damaged store: what of it can't be read any more.

use std::fmt;

/// How many ids an error names; further ones are counted.
pub const IDS_NAMED: usize = 20;

/// Loss of a damaged store, found by reading whatever can still be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreLoss {
    /// How many widgets the store has, as far as it can tell.
    pub widgets: u64,
    /// How many of them can't be read: their documents, or the rules that were made from them.
    pub lost: u64,
    /// The first of their ids, sorted, [`IDS_NAMED`] at most. An id is unknown if it is in nothing that can be read.
    pub ids: Vec<Box<str>>,
    /// Whether something is lost that was remembered of deleted widgets.
    pub deletions: bool,
    /// Whether earlier documents are lost.
    pub history: bool,
}

impl fmt::Display for StoreLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { widgets, lost, ids, deletions, history } = self;
        match (lost, ids.as_slice()) {
            (0, _) if *widgets == 0 => f.write_str("nothing in it can be read")?,
            (0, _) if *deletions || *history => f.write_str("all its widgets can be read")?,
            (0, _) => {
                f.write_str("all its widgets can be read, but what the database notes for itself can't")?
            }
            (_, []) if lost == widgets => write!(f, "none of its {widgets} widgets can be read")?,
            (_, ids) => {
                write!(f, "{lost} of its {widgets} widgets can't be read{}", Ids { ids, lost: *lost })?
            }
        }
        match (deletions, history) {
            (true, true) => f.write_str("; some deletions and earlier documents are lost, too"),
            (true, false) => f.write_str("; some deletions are lost, too"),
            (false, true) => f.write_str("; some earlier documents are lost, too"),
            (false, false) => Ok(()),
        }
    }
}

/// Ids in a message.
struct Ids<'l> {
    ids: &'l [Box<str>],
    lost: u64,
}

impl fmt::Display for Ids<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = self.lost.saturating_sub(self.ids.len() as u64);
        match (self.ids.join(", "), more) {
            (ids, 0) => write!(f, ": {ids}"),
            (ids, _) if ids.is_empty() => f.write_str(", and their ids are not known"),
            (ids, more) => write!(f, ": {ids} and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_some_and_counts_the_others() {
        let loss = |widgets, lost, ids: &[&str], deletions, history| {
            let ids = ids.iter().map(|id| (*id).into()).collect();
            StoreLoss { widgets, lost, ids, deletions, history }.to_string()
        };
        for (told, says) in [
            (loss(9, 2, &["a", "b"], false, false), "2 of its 9 widgets can't be read: a, b"),
            (loss(90, 40, &["a", "b"], false, false), "40 of its 90 widgets can't be read: a, b and 38 more"),
            (loss(9, 9, &[], false, false), "none of its 9 widgets can be read"),
            (loss(9, 4, &[], false, false), "4 of its 9 widgets can't be read, and their ids are not known"),
            (loss(0, 0, &[], false, false), "nothing in it can be read"),
            (
                loss(9, 0, &[], false, false),
                "all its widgets can be read, but what the database notes for itself can't",
            ),
            (loss(9, 0, &[], true, false), "all its widgets can be read; some deletions are lost, too"),
            (
                loss(9, 1, &["a"], true, true),
                "1 of its 9 widgets can't be read: a; some deletions and earlier documents are lost, too",
            ),
        ] {
            assert_eq!(told, says);
        }
    }
}
