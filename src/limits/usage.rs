//! How much of its limits a widget has used, for people.

pub use embedgate_policy::limits::LimitUsage;
use embedgate_policy::limits::Limits;

/// Reader of how much is used.
pub trait LimitReader: Send + Sync {
    /// How much of these limits a widget has used. `embedder`: of whom it is asked, else of whoever has used most.
    fn usage(&self, widget: &str, limits: &Limits, embedder: Option<&str>) -> Vec<LimitUsage>;
}
