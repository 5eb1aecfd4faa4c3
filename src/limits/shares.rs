//! Shares of limits that the edges of a fleet divide among them.

use std::fmt;
use std::pin::Pin;

use embedgate_policy::limits::LimitKind;

/// Budget that edges share: that of a widget, or of one of its embedders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget<'a> {
    /// The widget's id.
    pub widget: &'a str,
    /// The embedder; `None` for the widget as a whole.
    pub embedder: Option<&'a str>,
    /// What is counted.
    pub kind: LimitKind,
}

/// Wait for a larger share. It resolves once it has come, or none can be had now; within a quarter of a second.
pub struct ShareWait(pub Pin<Box<dyn Future<Output = ()> + Send>>);

/// Shares of this edge.
pub trait Shares: Send + Sync {
    /// How much of a limit this edge may use now. `used`: how much it uses already. Answered from memory.
    fn share(&self, budget: &Budget<'_>, limit: u32, used: u32) -> u32;

    /// Asks for a larger share, since all of it is used. `None`: there is none to be had now.
    fn more(&self, budget: &Budget<'_>, limit: u32, used: u32) -> Option<ShareWait>;
}

impl fmt::Debug for ShareWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShareWait")
    }
}
