//! Upgrade to a new process, without a gap: the running one starts the program that is now at its path, and hands over
//! its listening sockets and the store.
//!
//! ```text
//! old                                       new
//! starts the program     ------------->     reads the configuration, prepares everything, looks up upstreams
//!                        <-- TakeOver --    over `edge.upgrade_socket`
//!                        -- Listeners ->    with the sockets
//!                        <- WantsStore -
//! calls wait; closes the store
//!                        - StoreIsFree >    opens the store, puts the rules in force, goes on with the old process's
//!                                           counts of limits and with people at the operator's page, accepts
//!                                           connections
//!                        <-- Serving ---
//!                        --- Yours ---->    answers calls, and is the edge
//! stops accepting, passes calls on
//!                        <--- Swap -----    all rules, if they are from another place, and each change of the rules
//!                        <-- Policy ----    the policy, and each change of it
//! judges its sessions    -- Followed -->    and only then the change is answered
//! opens, ends sessions   -- Counted --->    counts them
//! ```
//!
//! Up to `Yours`, whatever goes wrong leaves the old process in charge: it ends the new one and takes the store back.
//! After it, the old one serves what it has open, for at most `edge.upgrade_drain`. If the new one goes away before
//! that, no rules reach the old one any more, and it ends its sessions.

mod feed;
mod link;
mod message;
mod new;
mod old;
mod program;
mod relief;
mod request;
mod socket;

pub(super) use feed::{FOLLOW, Feed, HeardOut};
pub(super) use link::Link;
pub(super) use new::Predecessor;
pub(super) use old::{HandOver, RunningFollower};
pub(super) use program::{Program, hang_up};
pub(super) use relief::{Relief, Unfollowed};
pub use request::{RequestFault, Upgraded, request};
pub(super) use socket::{Desk, UpgradeSocket};

/// Runs work that may take long on a thread of its own: those of the runtime may all be waiting for it.
pub(super) async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<T> {
    let (done, result) = tokio::sync::oneshot::channel();
    // An error means that nobody waits for the result.
    std::thread::Builder::new().name("upgrade".to_owned()).spawn(move || drop(done.send(work())))?;
    result.await.map_err(std::io::Error::other)
}
