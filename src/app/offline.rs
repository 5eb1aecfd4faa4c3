//! The configured rules without a running edge: read, exported, imported.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{AppError, public_suffixes};
use crate::config::{RuleSource, Settings, StoreSettings};
use crate::policy::widget::{Widget, WidgetId};
use crate::rules::audit::FileAuditLog;
use crate::rules::documents::Documents;
use crate::rules::live::LiveRules;
use crate::rules::publisher::Publisher;
use crate::rules::source::SourceKind;
use crate::rules::source::file::FileSource;
use crate::rules::source::store;

/// The documents that the configured source holds, read as at start.
pub fn documents(settings: &Settings) -> Result<Vec<Widget>, AppError> {
    let suffixes = public_suffixes(settings)?;
    match settings.rules.source {
        RuleSource::File => Ok(FileSource::load_once(&settings.rules.file, &suffixes)?),
        RuleSource::Store => {
            let StoreSettings { path, seed } = &settings.rules.store;
            Ok(store::load_once(path, seed, &suffixes)?)
        }
        RuleSource::Nats => Err(AppError::SourceUnavailable),
    }
}

/// The file or folder that a start would read rules from.
pub fn rules_path(settings: &Settings) -> &Path {
    let StoreSettings { path, seed } = &settings.rules.store;
    match settings.rules.source {
        RuleSource::File => &settings.rules.file,
        RuleSource::Store if path.exists() => path,
        RuleSource::Store => seed,
        RuleSource::Nats => &settings.rules.nats.cache,
    }
}

/// Each document that the configured source holds, in the order of ids where they come from a store.
pub fn each_document(
    settings: &Settings,
    mut take: impl FnMut(&Widget) -> io::Result<()>,
) -> Result<(), AppError> {
    let StoreSettings { path, .. } = &settings.rules.store;
    if settings.rules.source != RuleSource::Store || !path.exists() {
        return documents(settings)?.iter().try_for_each(take).map_err(AppError::Export);
    }
    let documents = store::documents(path, public_suffixes(settings)?)?;
    let mut after: Option<WidgetId> = None;
    loop {
        let page = documents.page(after.as_ref().map(WidgetId::as_str), PAGE)?;
        page.iter().try_for_each(&mut take).map_err(AppError::Export)?;
        match page.into_iter().next_back() {
            Some(last) => after = Some(last.id),
            None => return Ok(()),
        }
    }
}

/// Documents that are in memory at once.
const PAGE: usize = 1000;

/// The writer of the configured store, while no edge has it open. Makes the store where there is none.
pub fn offline_store(settings: &Settings) -> Result<Publisher, AppError> {
    let StoreSettings { path, .. } = &settings.rules.store;
    if settings.rules.source != RuleSource::Store {
        return Err(AppError::NoStore(settings.rules.file.clone()));
    }
    let publisher = Publisher::new(LiveRules::new(), SourceKind::Store, path.display().to_string())
        .with_audit(Arc::new(FileAuditLog::new(settings.log.audit.clone())));
    Ok(store::start_unseeded(publisher, path, public_suffixes(settings)?)?)
}
