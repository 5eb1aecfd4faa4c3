//! Tickets at the edge: how a request presents one, and the file of the keys.

pub mod key_file;
pub mod presented;
