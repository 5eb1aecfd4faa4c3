//! Access to the configured rules without a running edge, for commands.

use std::io;

use super::error::AppError;
use super::source;
use super::suffixes::public_suffixes;
use crate::config::Settings;
use crate::rules::error::RulesError;
use crate::rules::live::LiveRules;
use crate::rules::publisher::Publisher;
use crate::rules::source::DocumentPages;
use crate::rules::source::store::LostStore;
use embedgate_policy::widget::Widget;

/// The documents that the configured source holds, read as at start.
///
/// # Errors
///
/// The rules or the public suffix list can't be read.
pub fn documents(settings: &Settings) -> Result<Vec<Widget>, AppError> {
    let mut documents = Vec::new();
    for page in pages(settings)? {
        documents.extend(page.map_err(RulesError::from)?);
    }
    Ok(documents)
}

/// What a start would read rules from: a file, a folder.
pub fn rules_location(settings: &Settings) -> Result<String, AppError> {
    Ok(source::of(settings, LostStore::Refused)?.location())
}

/// What a start would warn of beside the documents.
pub fn rules_concerns(settings: &Settings) -> Vec<String> {
    source::of(settings, LostStore::Refused).map(|source| source.concerns()).unwrap_or_default()
}

/// Calls a function with each document that the configured source holds; those of a store are sorted by id.
///
/// # Errors
///
/// The rules can't be read, or the function fails.
pub fn each_document(
    settings: &Settings,
    mut take: impl FnMut(&Widget) -> io::Result<()>,
) -> Result<(), AppError> {
    for page in pages(settings)? {
        page.map_err(RulesError::from)?.iter().try_for_each(&mut take).map_err(AppError::Export)?;
    }
    Ok(())
}

fn pages(settings: &Settings) -> Result<DocumentPages, AppError> {
    let suffixes = public_suffixes(settings)?;
    Ok(source::of(settings, LostStore::Refused)?.documents(suffixes)?)
}

/// The writer of the configured store, while no edge has it open. Where there is none, it is new
/// and has no name before [`Publisher::establish`]; `lost`: what is done where there was one.
///
/// # Errors
///
/// The rules do not come from a store, or it is lost or can't be opened.
pub fn offline_store(settings: &Settings, lost: LostStore) -> Result<Publisher, AppError> {
    let source = source::of(settings, lost)?;
    if settings.rules.is_shared() {
        return Err(AppError::SharedRules(source.name()));
    }
    let publisher = source::publisher(&*source, LiveRules::new(), settings);
    let opened = source.open_offline(publisher, public_suffixes(settings)?).map_err(RulesError::from)?;
    opened.ok_or_else(|| AppError::NoStore(source.location()))
}
