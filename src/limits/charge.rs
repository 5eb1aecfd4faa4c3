//! What one open has taken of its widget's limits.

/// Charge of one open. Dropped before it is [kept](Self::keep), it gives everything back; kept, its opens stay counted, and
/// its session ends when it is dropped.
#[derive(Debug, Default)]
pub struct Charge {
    is_kept: bool,
}

impl Charge {
    /// Keeps the opens counted: the request goes on.
    pub fn keep(&mut self) {
        self.is_kept = true;
    }
}
