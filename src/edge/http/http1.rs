//! HTTP/1.1 on the wire (RFC 9112): heads and bodies, read and written.

pub(in crate::edge) mod body;
pub mod head;
pub(in crate::edge) mod outbox;
pub(in crate::edge) mod read;
pub(in crate::edge) mod write;
