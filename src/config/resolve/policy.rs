//! `[policy]`.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::config::scalar::{self, Percentage};
use crate::config::table::{ConfigTable, distinct};
use embedgate_policy::origin::{OriginSet, OwnOrigins};

/// Policy settings for all widgets.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PolicySettings {
    /// The meaning of an empty list. Default: open.
    pub empty_allowlist: EmptyAllowlist,
    /// The operator's own dashboards, where every enabled widget may be previewed. Default: none.
    pub system_origins: OriginSet,
    /// Maximum age of rules while their source is away, before everything is denied. `None` (written `0s`, the
    /// default) means no limit.
    pub max_staleness: Option<Duration>,
    /// Share of all widgets that one change may touch without being confirmed. Default: 10%.
    pub brake: Percentage,
    /// File of a public suffix list that replaces the one compiled in. Default: none.
    pub public_suffix_list: Option<PathBuf>,
}

/// Meaning of a widget without a list, or with `access: open`, on this edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum EmptyAllowlist {
    /// Any embedder is admitted.
    Open,
    /// Nobody is admitted: `open` is off for the whole edge.
    Deny,
}

const EMPTY_ALLOWLIST: [(&str, EmptyAllowlist); 2] =
    [("open", EmptyAllowlist::Open), ("deny", EmptyAllowlist::Deny)];
pub(super) fn read(table: &ConfigTable<'_>, own: &OwnOrigins) -> PolicySettings {
    PolicySettings {
        empty_allowlist: table.or(
            "empty_allowlist",
            |item| item.choice(&EMPTY_ALLOWLIST),
            EmptyAllowlist::Open,
        ),
        system_origins: system_origins(table, own),
        brake: table.or("brake", |item| item.quantity(scalar::percentage), Percentage::TENTH),
        max_staleness: table
            .item("max_staleness")
            .and_then(|item| item.quantity(scalar::duration))
            .filter(|age| !age.is_zero()),
        public_suffix_list: table.item("public_suffix_list").and_then(|item| item.text(scalar::path)),
    }
}

/// The system origins. They need no ticket, but this edge's own iframes do, so no origin may be both.
fn system_origins(table: &ConfigTable<'_>, own: &OwnOrigins) -> OriginSet {
    let Some(item) = table.item("system_origins") else { return OriginSet::default() };
    let read = |text: &str| {
        let origin = scalar::origin(text)?;
        if own.contains_for_any(origin.as_origin()) {
            return Err(format!(
                "'{text}' is one of edge.public_origins, so every iframe session would be allowed without a \
                ticket; serve the dashboard from another origin"
            ));
        }
        Ok(origin)
    };
    let origins = item.texts("[\"https://dashboard.example.com\"]", read).unwrap_or_default();
    OriginSet::new(distinct(table.document(), origins))
}
