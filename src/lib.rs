//! embedgate: an edge reverse proxy in front of the asset and session endpoints of embeddable chat and voice
//! widgets. It lets each widget load only on the sites that its owner allows.
//!
//! # The house
//!
//! | floor | room | what is in it |
//! |---|---|---|
//! | ground | [`policy`] | who embeds, what the owner allows, what follows: pure functions, no clock, no files |
//! | first | [`rules`] | the rules in force, their one writer, and the ways in which they arrive |
//! | second | [`edge`] | requests, on the pingora proxy; the only place that names it but for the root |
//! | side wing | [`admin`] | the control plane: rules over HTTP, verdicts explained, health and metrics |
//! | root | [`app`] | puts everything together; the one place that knows everyone |
//! | leaves | [`config`], [`telemetry`] | settings read once; what the edge says about itself |
//! | | [`certificates`], [`files`] | PEM files; files that are read again, and those that hold secrets |
//! | door | [`cli`] | the command line |
//!
//! Who may know whom: `policy ← rules ← {edge, admin} ← app ← cli`; the leaves know the words of `policy` alone,
//! and `edge` and `admin` never know each other. A test reads the `use` lines and holds that.
//!
//! # The way of a request
//!
//! [`edge::service`] bounds the time for its head → [`edge::http1`] reads it, and leaves what it does not know to the
//! proxy library → [`edge::request`] refuses what could be read in two ways → [`edge::route`] finds the class and the
//! widget → [`edge::judge`] loads the rule book once and asks [`policy::decision::decide`] → [`edge::reply`] answers a
//! denial, a preflight or a call for a ticket ([`edge::tickets`]), [`edge::cache`] an asset that is in memory, or [`edge::upstream`] picks a server, [`edge::direct`] passes request and answer on (the
//! library, where there is a body or HTTP/2 upstream) and [`edge::forward`] writes the headers both ways. A session is
//! entered in [`edge::sessions`] for as long as it lasts, a WebSocket goes through [`edge::tunnel`]. No step goes back.
//!
//! # The way of a change
//!
//! A [`rules::source`] reads documents → [`policy::widget::Widget`] validates each → [`rules::publisher`] makes
//! the next book, swaps it in and tells its observers, of which [`edge::sessions`] judges the open sessions of the
//! changed widgets again and ends those that are denied now. There is one road for all sources.
//!
//! # What holds
//!
//! - An origin, an entry, a widget id and a document can't be built wrong: they are parsed, once.
//! - A malformed `Origin` is denied, never treated as missing.
//! - A book is immutable; a request is judged by exactly one.
//! - An open session is one that the rules in force allow, but for the instant it takes to end it.
//! - A refused update leaves the last good book in force, whole.
//! - A widget that was restricted opens only by a document that says so.
//! - A ticket is judged by the rules of the moment, as the page that it names, and reaches no upstream and no log.
//! - Outsiders learn that they are denied, never why: a denied and an unknown widget get the same answer.

pub mod admin;
pub mod app;
pub mod certificates;
pub mod cli;
pub mod config;
pub mod edge;
pub mod files;
pub mod policy;
pub mod rules;
pub mod telemetry;
