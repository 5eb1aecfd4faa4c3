//! Shares of limits that the edges of a fleet divide among them.
//!
//! The edges keep a document of each budget that somebody uses: how much of the limit each edge holds. What nobody holds is
//! free. An edge uses no more than it holds, and writes a document only as it has read it, so the shares never add up to
//! more than the limit. Two rules keep that true whatever is slow, lost or killed in between:
//!
//! - A share rises here after it is written, and falls here before it is written; never below what is used.
//! - What an edge holds is good for as long as its lease. One that was cut off for longer lets nothing through by its shares
//!   until it has written them again, and others take a share away only when its lease is known to be over and what was
//!   used of it can count no more.
//!
//! Beside its share, each edge may use one of each limit: no site is shut out of one edge because others hold everything.
//! That is the error, at most the number of edges less one.
//!
//! | part | is |
//! |---|---|
//! | `document` | what the edges write |
//! | `leases` | the leases of the edges, and which shares are nobody's any more |
//! | `budget` | one budget here: what may be used, and what is to be written about it |
//! | `chunk` | how much is taken at once |
//! | `table` | all budgets here, in bounded memory |
//! | `ledger` | what is due of them, and the lease of this edge. It does nothing by itself |
//! | `keeper` | does what the ledger says |

use std::fmt;
use std::pin::Pin;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use embedgate_policy::limits::LimitKind;

mod budget;
mod chunk;
mod document;
pub mod keeper;
mod leases;
mod ledger;
mod table;

#[cfg(test)]
mod simulation;

/// Embedders of a fleet with a count of their own, on one edge, beside those that an entry names exactly. Each may have a budget of
/// each kind, with a document that all edges read, so there are fewer than on an edge that stands alone.
pub(super) const NEWCOMERS: usize = 16_384;

/// Budget that edges share: that of a widget, or of one of its embedders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget<'a> {
    /// The widget's id.
    pub widget: &'a str,
    /// The embedder; `None` for the widget as a whole.
    pub embedder: Option<&'a str>,
    /// What is counted.
    pub kind: LimitKind,
    /// Whether it is of an embedder that no entry names exactly: for those, there is only so much room.
    pub is_newcomer: bool,
}

/// Wait for a larger share. It resolves once it has come, or none can be had now; within a quarter of a second.
pub struct ShareWait(pub Pin<Box<dyn Future<Output = ()> + Send>>);

/// Shares of this edge.
#[async_trait]
pub trait Shares: Send + Sync {
    /// How much of a limit this edge may use now. Whoever asks has counted one more already, and takes it back where `used`, how
    /// much was counted before it, is not less. So of a share that falls meanwhile, nothing is used twice. Where `used` is less,
    /// the one more counts as let through from now on. `day`: of the count, in days since 1970. Answered from memory.
    fn share(&self, budget: &Budget<'_>, limit: u32, used: u32, day: u32) -> u32;

    /// Asks for a larger share, since all of it is used. `None`: there is none to be had now.
    fn more(&self, budget: &Budget<'_>, limit: u32, used: u32, day: u32) -> Option<ShareWait>;

    /// Gives back what is not used, as far as that can be done within a second: this edge is about to stop, and opens nothing more.
    async fn give_back(&self) {}

    /// Who holds the shares, for the process that goes on in the place of this one. `None`: nobody yet.
    fn holder(&self) -> Option<SucceededHolder> {
        None
    }
}

/// Holder of shares in whose place another process goes on, with its counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SucceededHolder {
    /// The process, as its lease names it.
    process: String,
    /// Whether it might use one open a minute beside its share: nothing that a process before it has used counts any more.
    has_one: bool,
}

/// Reader of how much of a budget this edge uses.
pub trait BudgetUse: Send + Sync {
    /// How much is used now.
    fn used(&self, budget: &Budget<'_>) -> u32;

    /// The day that is counted, in days since 1970. It goes on where the clock of the system is set back.
    fn today(&self) -> u32;
}

impl fmt::Debug for ShareWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShareWait")
    }
}
