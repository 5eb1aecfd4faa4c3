//! embedgate: an edge reverse proxy in front of the asset and session endpoints of embeddable chat and voice
//! widgets. It lets each widget load only on the sites that its owner allows.
//!
//! # The modules
//!
//! | layer | module | what is in it |
//! |---|---|---|
//! | 1 | [`embedgate_policy`] | who embeds, what the owner allows, what follows: pure functions, no clock, no files |
//! | 2 | [`rules`] | the rules in force, their one writer, and the sources that they come from |
//! | 2 | [`activity`] | who embeds: sightings, added up and kept in bounded memory |
//! | 2 | [`limits`] | how much of its limits each widget has used |
//! | 2 | [`notifications`] | webhooks to whoever runs the widgets, and sessions that leave the edge |
//! | 3 | [`edge`] | requests, on listeners of its own and pingora's connectors; only this and `app` use pingora |
//! | 2 | [`checklist`] | one widget on one site, looked at as browsers see it |
//! | 3 | [`admin`] | the control plane: rules over HTTP, explained verdicts, health and metrics |
//! | 4 | [`app`] | puts everything together; the only module that depends on all others |
//! | 5 | [`cli`] | the command line |
//! | shared | [`config`], [`telemetry`] | settings; metrics and logs |
//! | shared | [`certificates`], [`files`] | PEM files; files that are read again, and files with secrets |
//! | shared | [`database`] | database files beside the rules, on redb |
//! | shared | [`pacing`] | how long the other side of a connection may be waited for |
//! | shared | [`sockets`] | accepting connections, and which addresses count as one |
//!
//! Dependencies: `policy ← rules ← notifications ← {activity, limits} ← {edge, admin} ← app ← cli`. The shared modules depend on
//! `policy` and `telemetry` at most, and `edge` and `admin` not on each other. `policy` is a crate of its own, so the compiler holds
//! that; a test reads the `use` lines for the others, and finds circles between modules. `docs/architecture.md` has a
//! picture, `docs/lexicon.md` the terms.
//!
//! # The path of a request
//!
//! All requests take the same path, over any protocol. [`edge::connection`] accepts a connection, finds out its
//! protocol and reads its requests, each behind the trait `Downstream`, and [`edge::pipeline`] serves them:
//!
//! 1. **check**: [`edge::admission::request`] refuses what could be read in two ways.
//! 2. **route**: [`edge::admission::route`] finds the class and the widget.
//! 3. **judge**: [`edge::admission::judge`] loads the rule book once and asks [`embedgate_policy::decision::decide`]. What opens
//!    something is held to its widget's limits by the [`limits::limiter`].
//! 4. **reply**, where the edge answers itself ([`edge::admission::reply`]): refusals, denials, preflights, tickets
//!    ([`edge::admission::tickets`]), browsers' reports ([`edge::admission::reports`]); **cache**, where an asset is in memory ([`edge::cache`]); otherwise **forward**:
//!    [`edge::forward::upstream`] picks a server, [`edge::forward::exchange`] sends the request up and the answer down, both at once, and
//!    [`edge::forward::headers`] writes the headers both ways; a WebSocket that the upstream takes becomes a **tunnel**
//!    ([`edge::session::tunnel`]). A session is entered in [`edge::session::registry`] for as long as it lasts.
//! 5. **record**: the verdict and the answer are counted and logged, and who embeds is noted in [`activity`].
//!
//! No step goes back, with two exceptions: a WebSocket whose session was revoked before it was open is judged again, and so is
//! a request that waited for a larger share of a limit, in a fleet.
//!
//! # The path of a change
//!
//! A [`rules::source`] reads documents → [`embedgate_policy::widget::Widget`] validates each → [`rules::publisher`]
//! makes the next book, swaps it in and tells its observers, of which [`edge::session::registry`] judges the open
//! sessions of the changed widgets again and ends those that are denied now. All sources take this way. In a fleet, a
//! change is first published to the bucket that all edges share, and is in force when it comes back from there.
//!
//! # The life of the process
//!
//! [`app`] puts the edge together and starts it. A reload prepares another [`edge::setup::Setup`] and swaps it in, or
//! changes nothing. An upgrade hands the listening sockets, the store and the admin API to a new process; the old one
//! serves what it has open, obeys every change of the rules that the new one makes, and ends.
//!
//! # What holds
//!
//! - An origin, an entry, a widget id and a document can't be built wrong: they are parsed, once.
//! - A malformed `Origin` is denied, never treated as missing.
//! - A book is immutable; a request is judged by exactly one.
//! - An open session is one that the rules in force allow, except for the instant it takes to end it.
//! - A refused update changes nothing: the last good book stays in force. A refused configuration changes nothing, too.
//! - A request is served by exactly one setup.
//! - A widget that was restricted opens only by a document that says so.
//! - A ticket is judged by the rules in force, as the page that it names. It reaches no upstream and no log.
//! - A denial names the page and the entry to add. It never shows the list, and is the same for an unknown widget.

pub mod activity;
pub mod admin;
pub mod app;
mod certificates;
pub mod checklist;
pub mod cli;
pub mod config;
mod database;
pub mod edge;
mod files;
pub mod limits;
pub mod notifications;
mod pacing;
pub mod rules;
mod sockets;
pub mod telemetry;
