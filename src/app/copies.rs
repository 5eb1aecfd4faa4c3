//! Copies of the configured store, or of what an edge keeps of its fleet's rules, while no edge runs: made, and put back.

use std::iter;
use std::path::{self, Path};

use jiff::Timestamp;

use super::error::AppError;
use super::source;
use super::suffixes::public_suffixes;
use super::upgrade::UpgradeSocket;
use crate::config::{CertificateFiles, Settings, UpstreamSettings};
use crate::rules::error::StoreError;
use crate::rules::source::store::{LostStore, RestoredStore, StoreFacts, StoreSource, is_same_file};

/// Copies the configured store to `to`, in place of what is there.
///
/// # Errors
///
/// The rules do not come from a store, an edge has it open, it is damaged, or the copy can't be written.
pub fn backup_stopped(settings: &Settings, to: &Path) -> Result<StoreFacts, AppError> {
    let suffixes = public_suffixes(settings)?;
    store(settings)?.backup(suffixes, to).map_err(AppError::Store)
}

/// What this path is to the edge, if it is a file of its configuration: a command that writes a file must not take its
/// place.
pub fn own_file(settings: &Settings, path: &Path) -> Option<&'static str> {
    let Settings { edge, admin, rules, policy, tickets, log, upstreams, .. } = settings;
    let pair = |files: &CertificateFiles| [files.cert.clone(), files.key.clone()];
    let certificates = edge.tls.iter().flat_map(|listener| &listener.certificates);
    let certificates = certificates.chain(admin.tls.iter().map(|tls| &tls.certificate)).flat_map(pair);
    let authorities = upstreams.values().filter_map(|upstream| match upstream {
        UpstreamSettings::Servers(servers) => servers.tls.as_ref()?.ca.clone(),
        UpstreamSettings::Builtin => None,
    });
    let authorities = authorities.chain(admin.tls.iter().map(|tls| tls.client_ca.clone()));
    let of_sources = rules.files_of_all().into_iter().map(|(what, path)| (what, path.to_owned()));
    let own = [
        ("the audit log", log.audit.clone()),
        ("the token file", admin.token_file.clone()),
        ("the file of the ticket keys", tickets.key_file.clone()),
        ("the upgrade socket", edge.upgrade_socket.clone()),
    ]
    .into_iter()
    .chain(policy.public_suffix_list.clone().map(|list| ("the list of public suffixes", list)))
    .chain(iter::repeat("a certificate or a key").zip(certificates))
    .chain(iter::repeat("the certificate of an authority").zip(authorities))
    .chain(of_sources);
    // One that isn't there has its place, too.
    let place = |path: &Path| path::absolute(path).ok();
    let is_this =
        |own: &Path| is_same_file(own, path) || place(own).is_some_and(|own| Some(own) == place(path));
    own.into_iter().find(|(_, own)| is_this(own)).map(|(what, _)| what)
}

/// Puts a copy of the configured store back, in place of the store that is there, which is kept beside it.
///
/// # Errors
///
/// The rules do not come from a store, an edge runs, the copy is not whole, or a file can't be written.
pub fn restore(settings: &Settings, from: &Path, at: Timestamp) -> Result<RestoredStore, AppError> {
    let store = store(settings)?;
    // Its lock tells of it, too, unless somebody has removed the store.
    if UpgradeSocket::is_taken(&settings.edge.upgrade_socket) {
        return Err(AppError::EdgeRuns(settings.edge.upgrade_socket.clone()));
    }
    Ok(store.restore(public_suffixes(settings)?, from, at)?)
}

fn store(settings: &Settings) -> Result<StoreSource, AppError> {
    if let Some((_, path)) = settings.rules.kept() {
        // The copy of a fleet's rules that an edge keeps is a store like any other.
        return Ok(match settings.rules.is_shared() {
            true => StoreSource::new(path, &settings.rules.store.seed),
            false => source::store(settings, LostStore::Refused),
        });
    }
    let name = source::of(settings, LostStore::Refused)?.location();
    Err(AppError::Store(StoreError::NoStore { name: name.into() }))
}
