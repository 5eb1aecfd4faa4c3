//! What measuring takes: an edge and rules, processes, clients, an upstream. Shared by the programs that measure.

#![allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::panic,
    clippy::print_stdout,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a measurement that can't go on fails where it stands"
)]

pub mod client;
pub mod count;
pub mod edge;
pub mod ground;
pub mod opens;
#[path = "../../tests/it/support/ports.rs"]
pub mod ports;
pub mod process;
pub mod rows;
pub mod rules;
pub mod table;
pub mod upstream;
