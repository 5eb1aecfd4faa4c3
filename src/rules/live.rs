//! Read handle of the rules in force.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::book::RuleBook;

/// Guard of a book, borrowed for the length of one decision. It keeps its book alive and unchanged; holding many of
/// them for long makes [`LiveRules::load`] dearer, so whoever keeps a book takes [`LiveRules::load_full`].
pub type BookGuard = Guard<Arc<RuleBook>>;

/// Read handle of the newest rule book, for any number of readers, who never wait: neither for each other nor for a
/// writer.
///
/// Clones are cheap and see the same book. A read that starts after [`super::publisher::Publisher`] has answered
/// a change sees that change.
#[derive(Clone, Debug, Default)]
pub struct LiveRules {
    current: Arc<ArcSwap<RuleBook>>,
}

impl LiveRules {
    /// A handle on an empty book, generation 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// The book in force now. Once per decision: two loads may see two books.
    #[inline]
    pub fn load(&self) -> BookGuard {
        self.current.load()
    }

    /// The book in force now, to keep for as long as wanted.
    pub fn load_full(&self) -> Arc<RuleBook> {
        self.current.load_full()
    }

    /// Only the publisher swaps, and only one at a time.
    pub(super) fn swap(&self, book: Arc<RuleBook>) {
        self.current.store(book);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use crate::rules::change::{ApplyOptions, Change};
    use crate::rules::fixtures::widget;

    #[test]
    fn clones_see_the_swap_and_guards_keep_their_book() {
        let live = LiveRules::new();
        let reader = live.clone();
        let before = reader.load();
        let applied =
            live.load().apply(&[Change::put(widget(r#"{"id":"a"}"#))], ApplyOptions::default()).unwrap();
        live.swap(Arc::new(applied.book));

        assert_eq!((before.generation(), before.get("a").is_some()), (0, false));
        let after = reader.load();
        assert_eq!((after.generation(), after.get("a").is_some()), (1, true));
    }
}
