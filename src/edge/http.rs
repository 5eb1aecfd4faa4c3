//! HTTP for both sides of the edge: header fields, heads, bodies, and their framing in HTTP/1.1 and HTTP/2.
//!
//! In: bytes and fields. Out: their meaning, or an error. It knows no routes, no widgets and no verdicts.

pub mod body;
pub(crate) mod fields;
pub mod http1;
pub(super) mod http2;
pub(super) mod limits;
pub mod message;
pub(super) mod trace_context;
