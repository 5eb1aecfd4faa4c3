//! Everything that needs more than a function: the real binary on real sockets, real files, a real browser.

mod support;

mod admin;
mod browser;
mod cli;
mod house;
mod requests;
mod rules_file;
mod strict;
mod tls;
mod upstreams;
mod verdicts;
