//! Questions about the configured rules: answered here, or by the running edge that has their store open.

use std::path::Path;

use super::output::note;
use super::remote::{Remote, RemoteEdge};
use super::{CliError, Common};
use crate::config::Settings;

/// The answer of the edge that `--admin` names; without it that of the configured rules, read here. Where another
/// process has their store open, the edge of the configuration is asked.
pub(super) fn answer<T>(
    common: &Common,
    remote: &Remote,
    here: impl FnOnce(&Settings) -> Result<T, CliError>,
    there: impl FnOnce(&RemoteEdge) -> Result<T, CliError>,
) -> Result<T, CliError> {
    if let Some(edge) = remote.edge(common)? {
        return there(&edge);
    }
    let settings = common.settings()?;
    match here(&settings) {
        Err(error) if error.is_store_in_use() => there(&who_has_the_store(remote, &settings)?),
        answer => answer,
    }
}

/// The edge of the configuration, which has the store open; says that it is asked.
pub(super) fn who_has_the_store(remote: &Remote, settings: &Settings) -> Result<RemoteEdge, CliError> {
    let store = kept_at(settings).display();
    note(&format!("{store}: another process has this store open, so the running edge is asked"));
    remote.configured(&settings.admin)
}

/// The file in which an edge keeps its rules: its store, or its copy of the fleet's.
pub(super) fn kept_at(settings: &Settings) -> &Path {
    settings.rules.kept().map_or(&settings.rules.store.path, |(_, path)| path)
}
