//! Notifier: takes notices from wherever they come.

use std::sync::Arc;

use super::notice::Notice;

/// Taker of notices. It never holds anybody up: what it has no room for is dropped and counted.
pub trait Notify: Send + Sync {
    /// Takes a notice.
    fn tell(&self, notice: Notice);

    /// Whether anybody is told: whoever has to look something up for a notice may leave it.
    fn is_wanted(&self) -> bool;
}

/// Notifier that tells nobody, for an edge that is put together without an [`super::outbox::Outbox`].
#[derive(Debug, Default)]
pub struct Notifier {}

impl Notifier {
    /// A notifier that tells nobody.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }
}

impl Notify for Notifier {
    fn tell(&self, _: Notice) {}

    fn is_wanted(&self) -> bool {
        false
    }
}
