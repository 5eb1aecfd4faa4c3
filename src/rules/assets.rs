//! Assets that are kept in memory, as far as rules are about them: whoever keeps them implements [`CachedAssets`],
//! whoever is asked to drop a widget's calls it.

/// The assets that this edge keeps.
pub trait CachedAssets: Send + Sync {
    /// Drops everything that is kept of a widget, and what is on its way is not kept any more. How many addresses
    /// there were.
    fn purge(&self, widget: &str) -> usize;
}
