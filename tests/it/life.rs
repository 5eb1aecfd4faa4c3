//! Life of the process: what changes while it runs, and how another process takes over.

mod reload;
mod systemd;
pub mod upgrade;
