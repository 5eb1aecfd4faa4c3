//! Open sessions: registry, revocation when the rules change, expiry of entries, and WebSocket tunnels.
//!
//! In: admitted sessions. Out: their end, by either side or by the rules.

mod ended;
pub mod entry;
mod expiry;
mod guard;
pub mod opening;
pub mod registry;
mod revocation;
mod staleness;
pub mod tunnel;
