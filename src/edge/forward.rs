//! Forwarding: a server of the upstream is chosen, the request is sent and the answer is received, both at
//! the same time.
//!
//! In: an allowed request and its client. Out: the upstream's answer with its [`headers`] rewritten, or a failure with
//! its status.

pub mod exchange;
pub(super) mod failure;
pub mod headers;
pub mod upstream;
