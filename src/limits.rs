//! Limits: how much of its limits each widget has used. What a widget may use stands in its document
//! ([`embedgate_policy::limits`]).
//!
//! | part | does |
//! |---|---|
//! | `opening` | what a request opens: a session, and whether that counts as an open |
//! | `limiter` | counts what is opened, and refuses what is too much |
//! | `charge` | what one open has taken, given back when it comes to nothing or ends |
//! | `shares` | what part of a limit this edge may use, where a fleet shares it |
//! | `usage` | how much is used, for people |

pub mod charge;
pub mod limiter;
pub mod opening;
pub mod shares;
pub mod usage;
