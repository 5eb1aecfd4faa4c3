//! `[tickets]`.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::calls::call_path;
use crate::config::pattern::PathPattern;
use crate::config::scalar;
use crate::config::table::ConfigTable;

/// Settings of tickets for iframe sessions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TicketSettings {
    /// Path of calls for tickets. Default: `/w/{widget}/embed-ticket`.
    pub path: PathPattern,
    /// File of signing keys. Default: `data/ticket.keys`.
    pub key_file: PathBuf,
    /// Lifetime of a ticket. Default: 60 s.
    pub lifetime: Duration,
    /// How long after its expiry a ticket can be renewed. Default: 12 h.
    pub renewable_for: Duration,
    /// The cookie that carries tickets for iframes that know nothing of them. Default: off.
    pub cookie: TicketCookie,
}

/// Cookie that carries tickets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum TicketCookie {
    /// None.
    Off,
    /// One for each widget under each customer's site (CHIPS).
    Partitioned,
}

const COOKIES: [(&str, TicketCookie); 2] =
    [("off", TicketCookie::Off), ("partitioned", TicketCookie::Partitioned)];

/// Longest lifetime of a ticket. Anyone who has a ticket can use it for so long; an open widget renews its
/// own.
const LONGEST_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// Longest time for renewals. An iframe that was idle for longer gets its next ticket from the page around
/// it.
const LONGEST_RENEWABLE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

pub(super) fn read(table: &ConfigTable<'_>) -> TicketSettings {
    TicketSettings {
        path: table.or(
            "path",
            |item| item.text(|text| call_path(text, "embed-ticket")),
            PathPattern::of_tickets(),
        ),
        key_file: table.or("key_file", |item| item.text(scalar::path), "data/ticket.keys".into()),
        lifetime: table.or("lifetime", |item| item.quantity(lifetime), Duration::from_secs(60)),
        renewable_for: table.or(
            "renewable_for",
            |item| item.quantity(renewable_for),
            Duration::from_secs(12 * 60 * 60),
        ),
        cookie: table.or("cookie", |item| item.choice(&COOKIES), TicketCookie::Off),
    }
}

fn lifetime(text: &str) -> Result<Duration, String> {
    match scalar::positive_duration(text)? {
        time if time.subsec_nanos() != 0 => {
            Err(format!("'{text}' must be whole seconds, because tickets count in seconds; write \"60s\""))
        }
        time if time > LONGEST_LIFETIME => Err(format!(
            "'{text}' is longer than 1h; keep it short, tickets are renewed for as long as tickets.renewable_for"
        )),
        time => Ok(time),
    }
}

fn renewable_for(text: &str) -> Result<Duration, String> {
    match scalar::duration(text)? {
        time if time > LONGEST_RENEWABLE => Err(format!("'{text}' is longer than 30d")),
        time => Ok(time),
    }
}
