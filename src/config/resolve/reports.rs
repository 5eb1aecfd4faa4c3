//! `[reports]`.

use super::tickets::call_path;
use crate::config::pattern::PathPattern;
use crate::config::table::ConfigTable;

/// Settings of the reports that browsers send of pages around a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportSettings {
    /// Path that browsers send them to; `None`: they are not asked for any. Default: `/w/{widget}/embed-report`.
    pub path: Option<PathPattern>,
}

pub(super) fn read(table: &ConfigTable<'_>) -> ReportSettings {
    let path = |text: &str| match text {
        "" => Ok(None),
        text => call_path(text, "embed-report").map(Some),
    };
    ReportSettings { path: table.or("path", |item| item.text(path), Some(PathPattern::of_reports())) }
}
