//! Everything that needs more than a function: the real binary on real sockets, real files, a real browser.

#![allow(
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test that can't go on fails where it stands"
)]

mod support;

mod activity;
mod admin;
mod admin_api;
mod allocations;
mod bounds;
mod brake;
mod browser;
mod cache;
mod checklist;
mod cli;
mod clients;
mod denials;
mod fleet;
mod grades;
mod guide;
mod house;
mod integrations;
mod life;
mod limits;
mod logs;
mod metrics;
mod mistakes;
mod notifications;
mod page;
mod receivers;
mod remembered;
mod reports;
mod requests;
mod revocation;
mod rules_file;
mod stale;
mod store;
mod strict;
mod tickets;
mod tls;
mod upstreams;
mod verdicts;
mod websocket;
mod wire;
