//! Revocation: the call that ends a session early.

use std::future::poll_fn;
use std::sync::OnceLock;
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use embedgate_policy::verdict::Reason;

/// Cancellation handle of one session: called at most once, and awaited in one place at a time.
#[derive(Debug, Default)]
pub struct Revocation {
    called: OnceLock<(Instant, Reason)>,
    waker: AtomicWaker,
}

impl Revocation {
    /// Revokes the session for this reason. `at`: when the rules that deny it came into force. `false`: it was
    /// already revoked.
    pub(super) fn revoke(&self, at: Instant, reason: Reason) -> bool {
        let first = self.called.set((at, reason)).is_ok();
        self.waker.wake();
        first
    }

    /// The time of the revocation; `None` while the session may go on.
    pub fn revoked_at(&self) -> Option<Instant> {
        self.called.get().map(|(at, _)| *at)
    }

    /// The reason of the revocation; `None` while the session may go on.
    pub fn reason(&self) -> Option<Reason> {
        self.called.get().map(|(_, reason)| *reason)
    }

    /// Ready once the session is revoked.
    pub fn poll(&self, context: &mut Context<'_>) -> Poll<Instant> {
        if let Some(at) = self.revoked_at() {
            return Poll::Ready(at);
        }
        self.waker.register(context.waker());
        // The revocation may have come while the waker was registered.
        self.revoked_at().map_or(Poll::Pending, Poll::Ready)
    }

    /// Resolves once the session is revoked.
    pub async fn revoked(&self) -> Instant {
        poll_fn(|context| self.poll(context)).await
    }
}
