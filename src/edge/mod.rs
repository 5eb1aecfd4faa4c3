//! The second floor: requests. Everything here turns what connections bring into what [`crate::policy`] judges, and its
//! verdicts into bytes; the judging itself is not done here.
//!
//! The way of a request is told in the crate's root; each of its steps is a room of this floor.

pub mod body;
pub mod cache;
pub mod client;
pub mod connection;
pub mod deadline;
pub mod decision_id;

pub mod downstream;
pub mod error;
pub mod exchange;
pub mod failure;
pub mod fields;
pub mod forward;
pub mod http1;
pub mod http2;
pub mod judge;
pub mod limits;
pub mod message;
pub mod pipeline;
pub mod redirect;
pub mod reply;
pub mod request;
pub mod route;
pub mod service;
pub mod sessions;
pub mod tickets;
pub mod tls;
pub mod tunnel;
pub mod upstream;
pub mod visit;
