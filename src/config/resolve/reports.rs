//! `[reports]`.

use super::calls::call_path;
use crate::config::document::ValueSource;
use crate::config::pattern::PathPattern;
use crate::config::table::{ConfigTable, Item};

/// Settings of the reports that browsers send of pages around a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportSettings {
    /// Path that browsers send them to; `None`: they are not asked for any. Default: `/w/{widget}/embed-report`.
    pub path: Option<PathPattern>,
}

/// `tickets`: the path of calls for tickets, and the place of that table.
pub(super) fn read<'d>(
    table: &ConfigTable<'d>,
    (tickets, place): (&PathPattern, Option<&'d ValueSource>),
) -> ReportSettings {
    let read = |text: &str| match text {
        "" => Ok(None),
        text => report_path(text).map(Some),
    };
    let item = table.item("path");
    // A default has no place, so the other setting is blamed.
    let spot = item.as_ref().map(Item::spot).or(place);
    let usual = || Some(Some(PathPattern::of_reports()));
    let path = item.map_or_else(usual, |item| item.text(read)).flatten();
    if path.as_ref() == Some(tickets) {
        table.fault(
            spot.unwrap_or(&ValueSource::Nowhere),
            format!("reports.path: '{tickets}' is tickets.path; write another one, or \"\" for no reports"),
        );
    }
    if let Some(path) = path.as_ref().filter(|path| match_alike(path, tickets)) {
        table.fault(
            spot.unwrap_or(&ValueSource::Nowhere),
            format!("reports.path: '{path}' and tickets.path '{tickets}' could both match a path; change one of them"),
        );
    }
    ReportSettings { path }
}

/// Whether there is a path that both match: each has a text where the other has `{widget}`.
fn match_alike(one: &PathPattern, other: &PathPattern) -> bool {
    one.narrowed(other).is_some() && other.narrowed(one).is_some()
}

fn report_path(text: &str) -> Result<PathPattern, String> {
    let path = call_path(text, "embed-report")?;
    // It becomes part of a policy, in which these end a directive (CSP Level 3 §2.2.1).
    match text.find([';', ',']) {
        Some(_) => {
            Err(format!("'{text}' can't have ';' or ',', because it is sent in Content-Security-Policy"))
        }
        None => Ok(path),
    }
}
