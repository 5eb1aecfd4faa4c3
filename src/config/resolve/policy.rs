//! `[policy]`, `[tickets]`, `[log]` and `[cache]`.

use std::time::Duration;

use crate::config::pattern::PathPattern;
use crate::config::scalar;
use crate::config::settings::{
    CacheSettings, DecisionLog, EmptyAllowlist, LogLevel, LogSettings, PolicySettings, TicketSettings,
};
use crate::config::table::{Table, distinct};
use crate::policy::origin::OriginSet;

const EMPTY_ALLOWLIST: [(&str, EmptyAllowlist); 2] =
    [("open", EmptyAllowlist::Open), ("deny", EmptyAllowlist::Deny)];
const DECISIONS: [(&str, DecisionLog); 3] =
    [("all", DecisionLog::All), ("denied", DecisionLog::Denied), ("off", DecisionLog::Off)];
const LEVELS: [LogLevel; 6] =
    [LogLevel::Off, LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];

pub(super) fn read(table: &Table<'_>, own: &OriginSet) -> PolicySettings {
    PolicySettings {
        empty_allowlist: table.or(
            "empty_allowlist",
            |item| item.choice(&EMPTY_ALLOWLIST),
            EmptyAllowlist::Open,
        ),
        system_origins: system_origins(table, own),
        max_staleness: table
            .item("max_staleness")
            .and_then(|item| item.quantity(scalar::duration))
            .filter(|age| !age.is_zero()),
        public_suffix_list: table.item("public_suffix_list").and_then(|item| item.text(scalar::path)),
    }
}

/// A system origin needs no ticket; this edge's own iframes do, so no origin may be both.
fn system_origins(table: &Table<'_>, own: &OriginSet) -> OriginSet {
    let Some(item) = table.item("system_origins") else { return OriginSet::default() };
    let read = |text: &str| {
        let origin = scalar::origin(text)?;
        if own.contains(origin.as_origin()) {
            return Err(format!(
                "'{text}' is one of edge.public_origins, and every iframe session would pass without a \
                 ticket; serve the dashboard from another origin"
            ));
        }
        Ok(origin)
    };
    let origins = item.texts("[\"https://dashboard.example.com\"]", read).unwrap_or_default();
    OriginSet::new(distinct(table.document(), origins))
}

pub(super) fn tickets(table: &Table<'_>) -> TicketSettings {
    TicketSettings {
        path: table.or("path", |item| item.text(ticket_path), PathPattern::of_tickets()),
        key_file: table.or("key_file", |item| item.text(scalar::path), "data/ticket.keys".into()),
        lifetime: table.or("lifetime", |item| item.quantity(lifetime), Duration::from_secs(60)),
        renewable_for: table.or(
            "renewable_for",
            |item| item.quantity(renewable_for),
            Duration::from_secs(12 * 60 * 60),
        ),
    }
}

/// Who has a ticket can use it for as long; an open widget lives on by renewing.
const LONGEST_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// An iframe that was left alone for longer gets its next ticket from the page around it.
const LONGEST_RENEWABLE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

fn lifetime(text: &str) -> Result<Duration, String> {
    match scalar::positive_duration(text)? {
        time if time.subsec_nanos() != 0 => {
            Err(format!("'{text}' must be whole seconds, which is how tickets tell time; write \"60s\""))
        }
        time if time > LONGEST_LIFETIME => Err(format!(
            "'{text}' is longer than 1h; a ticket is good for a moment and renewed for tickets.renewable_for"
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

fn ticket_path(text: &str) -> Result<PathPattern, String> {
    let pattern = PathPattern::parse(text)?;
    if pattern.has_rest() {
        Err(format!("'{text}' must be one path; leave {{*rest}} out"))
    } else {
        Ok(pattern)
    }
}

pub(super) fn log(table: &Table<'_>) -> LogSettings {
    LogSettings {
        level: table.or(
            "level",
            |item| item.choice(&LEVELS.map(|level| (level.as_str(), level))),
            LogLevel::Info,
        ),
        decisions: table.or("decisions", |item| item.choice(&DECISIONS), DecisionLog::Denied),
        audit: table.or("audit", |item| item.text(scalar::path), "data/audit.jsonl".into()),
    }
}

pub(super) fn cache(table: &Table<'_>) -> CacheSettings {
    CacheSettings { bytes: table.or("bytes", |item| item.quantity(scalar::bytes), 256 * 1024 * 1024) }
}
