//! The ground floor: who embeds, what the owner allows, and what follows from it.
//!
//! Pure: no runtime, no proxy, no files, no clock (time is a parameter), so that every rule can be tested as a
//! function. Data goes one way: header lines → [`origin::Embedder`]; document → [`widget::Widget`] →
//! [`decision::WidgetRules`]; both → [`decision::decide`] → [`headers`] and [`csp`].

pub mod allowlist;
pub mod csp;
pub mod decision;
pub mod entry;
pub mod explain;
pub mod headers;
pub mod json_position;
pub mod lint;
pub mod origin;
pub mod suffix;
pub mod ticket;
pub(crate) mod varint;
pub mod widget;
