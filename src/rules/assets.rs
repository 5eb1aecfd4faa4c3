//! Cached assets, as far as rules are about them: the cache implements [`CachedAssets`], the control plane purges
//! through it.

/// Cache of assets on this edge.
pub trait CachedAssets: Send + Sync {
    /// Drops everything that is kept of a widget, and what is on its way is not kept any more. How many addresses
    /// there were.
    fn purge(&self, widget: &str) -> usize;
}
