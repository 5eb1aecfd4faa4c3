//! embedgate: an edge reverse proxy in front of the asset and session endpoints of embeddable chat and voice
//! widgets. It lets each widget load only on the sites that its owner allows.
//!
//! # The house
//!
//! | floor | room | what is in it |
//! |---|---|---|
//! | ground | [`policy`] | who embeds, what the owner allows, what follows: pure functions, no clock, no files |
//! | first | [`rules`] | the rules in force, their one writer, and the ways in which they arrive |
//! | second | [`edge`] | requests, on listeners of its own and pingora's connectors; the only place that names it but for the root |
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
//! There is one, whatever protocol brings a request. [`edge::connection`] accepts a connection, [`edge::service`] finds out
//! its protocol, [`edge::http1`] or [`edge::http2`] reads its requests, each behind [`edge::downstream`], and [`edge::pipeline`] serves them:
//!
//! 1. **check**: [`edge::request`] refuses what could be read in two ways.
//! 2. **route**: [`edge::route`] finds the class and the widget.
//! 3. **judge**: [`edge::judge`] loads the rule book once and asks [`policy::decision::decide`].
//! 4. **reply**, where the edge answers itself ([`edge::reply`]): refusals, denials, preflights, tickets
//!    ([`edge::tickets`]); **cache**, where an asset is in memory ([`edge::cache`]); otherwise **forward**:
//!    [`edge::upstream`] picks a server, [`edge::exchange`] sends the request up and the answer down, both at once, and
//!    [`edge::forward`] writes the headers both ways; a WebSocket that the upstream takes becomes a **tunnel**
//!    ([`edge::tunnel`]). A session is entered in [`edge::sessions`] for as long as it lasts.
//! 5. **record**: the answer is counted.
//!
//! No step goes back, but for a WebSocket whose session was revoked before it was open: it is judged again.
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
