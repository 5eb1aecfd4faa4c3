//! Connections of clients: listeners, TLS, and the two protocols HTTP/1.1 and HTTP/2, which read requests and
//! write answers.
//!
//! In: connections. Out: requests, each behind a [`Downstream`](super::pipeline::downstream::Downstream), given to the
//! [`pipeline`](super::pipeline).

mod census;
pub(super) mod closing;
mod http1;
mod http2;
pub mod listeners;
mod proxy_protocol;
pub mod service;
pub mod tls;
