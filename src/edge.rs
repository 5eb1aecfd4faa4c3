//! Edge: the data plane, from connections to answers. It turns the bytes of connections into facts that
//! [`embedgate_policy`] judges, and verdicts into bytes. It does not judge itself.
//!
//! | module | in | out |
//! |---|---|---|
//! | [`connection`] | connections from listeners | requests, each behind a [`pipeline::downstream::Downstream`] |
//! | [`http`] | bytes, fields | heads, bodies and lists as HTTP defines them, for both sides of the edge |
//! | [`admission`] | a request | a refusal, a reply, or the terms on which it is allowed |
//! | [`pipeline`] | a request and its client | the answer, by the steps that every request takes |
//! | [`forward`] | an allowed request | the upstream's answer, with the headers of both directions rewritten |
//! | [`cache`] | answers that all visitors may share | answers from memory |
//! | [`session`] | open sessions and WebSockets | their end, by the rules or by their limits |
//! | [`setup`] | settings | everything from them that requests are served by |
//!
//! The crate's root describes the path of a request.

pub mod admission;
pub mod cache;
pub mod connection;
pub mod descriptors;
pub(crate) mod error;
pub mod forward;
pub mod http;
mod patience;
pub mod pipeline;
pub mod session;
pub mod setup;
mod stream;
