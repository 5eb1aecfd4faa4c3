//! The call by which a session ends before its time.

use std::future::poll_fn;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::task::AtomicWaker;

/// Made once a session, called at most once, waited for in one place at a time.
#[derive(Debug, Default)]
pub struct Revocation {
    at: OnceLock<Instant>,
    waker: AtomicWaker,
}

impl Revocation {
    /// Calls the session back. `at`: when the rules that deny it came into force. `false`: it was called before.
    pub(super) fn revoke(&self, at: Instant) -> bool {
        let first = self.at.set(at).is_ok();
        self.waker.wake();
        first
    }

    /// Since when the session has to end; `None` while it may go on.
    pub fn revoked_at(&self) -> Option<Instant> {
        self.at.get().copied()
    }

    /// Ready once the session has to end.
    pub fn poll(&self, context: &mut Context<'_>) -> Poll<Instant> {
        if let Some(at) = self.revoked_at() {
            return Poll::Ready(at);
        }
        self.waker.register(context.waker());
        // It may have been called while the waker was on its way in.
        self.revoked_at().map_or(Poll::Pending, Poll::Ready)
    }

    /// Resolves once the session has to end.
    pub async fn revoked(&self) -> Instant {
        poll_fn(|context| self.poll(context)).await
    }
}
