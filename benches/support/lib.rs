//! An edge and rules to measure with: shared by the programs that count and time.

#![allow(
    missing_docs,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a measurement that can't go on fails where it stands"
)]

pub mod edge;
pub mod rules;
