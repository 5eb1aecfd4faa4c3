//! Connections: the listeners that accept a client's, and the stream that every one is read from and written to.

pub mod listeners;
pub mod stream;
