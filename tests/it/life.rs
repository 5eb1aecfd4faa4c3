//! Life of the process: what changes while it runs.

mod reload;
