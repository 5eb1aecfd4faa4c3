//! Policy of embedgate: who embeds, what the owner allows, and the verdict.
//!
//! All functions are pure: no runtime, no proxy, no files, no clock (time is a parameter). So every rule can
//! be tested as a function. Data goes one way: header lines → [`origin::Embedder`]; document →
//! [`widget::Widget`] → [`compiled::WidgetRules`]; both → [`decision::decide`] → [`headers`] and [`csp`].

pub mod allowlist;
pub mod compiled;
pub mod csp;
pub mod decision;
pub mod entry;
pub mod explain;
pub mod headers;
pub mod json_position;
pub mod json_syntax;
pub mod limits;
pub mod lint;
pub mod origin;
pub mod report;
pub mod suffix;
pub mod ticket;
pub mod varint;
pub mod verdict;
pub mod widget;
