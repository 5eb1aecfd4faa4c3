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
    let time = |key, default| {
        table.or(key, |item| item.quantity(scalar::positive_duration), Duration::from_secs(default))
    };
    TicketSettings {
        path: table.or("path", |item| item.text(ticket_path), PathPattern::of_tickets()),
        key_file: table.or("key_file", |item| item.text(scalar::path), "data/ticket.keys".into()),
        lifetime: time("lifetime", 60),
        renewable_for: time("renewable_for", 12 * 60 * 60),
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
