//! Bounds on what clients may take: connections, time, memory.

mod admin;
mod bodies;
mod connections;
mod http2;
