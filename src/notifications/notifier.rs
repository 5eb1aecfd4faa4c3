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

/// Notifier of this edge.
#[derive(Debug, Default)]
pub struct Notifier {}

impl Notifier {
    /// A notifier that sends nothing.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }
}

impl Notify for Notifier {
    fn tell(&self, _notice: Notice) {}

    fn is_wanted(&self) -> bool {
        false
    }
}
