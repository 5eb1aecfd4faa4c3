//! Limits: how much of its limits each widget has used. What a widget may use stands in its document
//! ([`embedgate_policy::limits`]).
//!
//! | part | does |
//! |---|---|
//! | `opening` | what a request opens: a session, and whether that counts as an open |
//! | `limiter` | counts what is opened, and refuses what is too much |
//! | `charge` | what one open has taken, given back when it comes to nothing or ends |
//! | `counter` | count of sessions and opens that one limit is compared with |
//! | `minute` | opens of the last 60 seconds |
//! | `clock` | time of the opens, and the day that they belong to |
//! | `widgets` | counters of widgets and their embedders |
//! | `addresses` | counters of addresses, in bounded memory |
//! | `shards` | locks of the tables of counters |
//! | `reached` | who is told that a limit was reached |
//! | `shares` | what part of a limit this edge may use, where a fleet shares it |
//! | `days` | opens of the day on disk, so that they survive a restart |
//! | `handover` | counts that pass to another process in an upgrade |
//! | `usage` | how much is used, for people |
//!
//! # Exactness
//!
//! On one edge no widget and no embedder ever gets more than its limits: not in any 60 consecutive seconds, to the
//! millisecond, and not on a day in UTC. Nor is anybody refused while there is room, except for a moment, until an open that
//! another part has refused is given back. The three parts are charged one after the other, each under a lock of
//! its own, and what a later part refuses is taken off the earlier ones.
//!
//! A day is the day of the system's clock. If that clock is set back, the day goes on, so that nobody gets it twice, but
//! after 24 hours the clock is believed again.
//!
//! # Memory
//!
//! | part | at most |
//! |---|---|
//! | addresses | [32 MiB](addresses::BYTES); the least recently used are forgotten |
//! | widgets | one counter for each widget with limits |
//! | embedders that an entry names exactly | one counter each, so as many as the rules have entries |
//! | other embedders | [4,096](widgets::NEWCOMERS) of one widget, [65,536](widgets::ALL_NEWCOMERS) in all: 48 MiB of the longest origins |
//! | ledger of the process before this one, while that ends | what it has counted of each embedder and address of its day; on the next day only those with open sessions |
//! | opens of the last minute | 8 bytes for each millisecond of it in which a counter has counted some, so at most 480 KB for a counter, and never more than the opens that there were; growing, twice that |
//!
//! An address may be forgotten while its sessions are open. Then they count no more, and when they end, nothing is taken
//! off whoever has that address next. Of an address that opens in more than [256](addresses::RUNS) different milliseconds
//! of a minute, the oldest opens are counted for less than a minute.
//!
//! Whoever forges origins under a wildcard, or on an open widget, makes embedders without end. Beyond the bound, those that
//! no entry names exactly, and that have no counter yet, share one counter of their widget: together they get the limits of
//! one embedder. A site that is named exactly always has its own. Counters that count nothing any more are dropped, so a
//! flood is over with its day, or with its minute where nothing was opened.

mod addresses;
pub mod charge;
mod clock;
mod counter;
pub mod days;
pub mod handover;
pub mod limiter;
mod minute;
pub mod opening;
mod reached;
mod shards;
pub mod shares;
pub mod usage;
mod widgets;
