//! Admission of requests: checks, routing, judging, and the answers of the edge's own.
//!
//! In: a request's head and its peer. Out: the [`terms`] on which it is allowed, or a [`reply`].

pub mod client;
pub mod decision_id;
pub mod fetch_metadata;
pub mod judge;
pub(crate) mod redirect;
pub mod reply;
pub mod reports;
pub mod request;
pub mod route;
pub mod terms;
pub mod tickets;
