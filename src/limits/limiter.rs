//! Counter of opens and sessions.

use std::sync::Arc;

use super::charge::Charge;
use super::opening::{Opened, Opening};
use super::usage::{LimitReader, LimitUsage};
use crate::notifications::notifier::Notify;
use embedgate_policy::limits::Limits;

/// Counter of what the embedders of each widget with limits have opened.
pub struct Limiter {
    /// Who is told that a limit was reached.
    notices: Arc<dyn Notify>,
}

impl Limiter {
    /// A limiter that has counted nothing. `notices`: who is told that a limit was reached.
    pub fn new(notices: Arc<dyn Notify>) -> Arc<Self> {
        Arc::new(Self { notices })
    }

    /// Charges an open, or says which limit it passes. What is refused is charged nothing.
    pub fn open(self: &Arc<Self>, _opening: &Opening<'_>) -> Opened {
        let _ = &self.notices;
        Opened::Admitted { charge: Charge::default(), beyond: None }
    }

    /// Charges a session that is there already, whatever the limits say: one that was open before its widget had limits, or
    /// one that has left the edge.
    pub fn occupy(self: &Arc<Self>, _opening: &Opening<'_>) -> Charge {
        Charge::default()
    }
}

impl LimitReader for Limiter {
    fn usage(&self, _widget: &str, _limits: &Limits, _embedder: Option<&str>) -> Vec<LimitUsage> {
        Vec::new()
    }
}

impl std::fmt::Debug for Limiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limiter").finish_non_exhaustive()
    }
}
