//! Files that the edge writes: what keeps it from doing so, found before it does anything.

use std::io::{self, ErrorKind};
use std::os::unix::fs::FileTypeExt;
use std::path::{self, Path, PathBuf};

use super::AppError;
use crate::config::Settings;
use crate::files::making::{could_append, could_make, could_make_empty, could_write};
use crate::rules::source::store::is_same_file;

/// Longest path of a socket, in bytes, with what is added to it until it has its name.
const LONGEST_SOCKET: usize = 99;

/// What keeps a start from writing its files. Those with secrets are tried where they are read.
pub(super) fn faults(settings: &Settings) -> Vec<AppError> {
    let mut faults = shared(settings);
    let unwritable = |key, path: &Path, tried: io::Result<()>| {
        tried.err().map(|source| AppError::Unwritable { key, path: path.to_owned(), source })
    };
    if let Some((key, store)) = settings.rules.kept() {
        faults.extend(unwritable(key, store, made_or_written(store)));
    }
    if is_audited_at_start(settings) {
        let audit = &settings.log.audit;
        // Whether the store is lost is read in it.
        let is_read = settings.rules.own_store().is_some() && audit.is_file();
        let tried = if is_read { could_write(audit) } else { could_append(audit) };
        faults.extend(unwritable("log.audit", audit, tried));
    }
    let socket = &settings.edge.upgrade_socket;
    faults.extend(unwritable("edge.upgrade_socket", socket, socket_at(socket)));
    faults
}

/// What to know of files that an edge does without: of who embeds, of what is used of limits, and of notifications. A running
/// one says it itself.
pub(super) fn concerns(settings: &Settings) -> Vec<String> {
    let files = [
        ("activity.path", &settings.activity.path, "nothing of embedders is kept"),
        ("limits.path", &settings.limits.path, "a restart forgets how much of `opens_per_day` is used"),
    ];
    let concern = |(key, path, lost): (_, &PathBuf, _)| {
        let error = made_or_written(path).err()?;
        Some(format!("{key}: {}: {error}; until then, {lost}", path.display()))
    };
    let notify = ("notify.path", &settings.notify.path, "no notification is sent");
    files.into_iter().chain(settings.notify.url.is_some().then_some(notify)).filter_map(concern).collect()
}

/// What to know of the audit log where a start writes nothing to it.
pub(super) fn concern(settings: &Settings) -> Option<String> {
    if is_audited_at_start(settings) {
        return None;
    }
    let path = &settings.log.audit;
    let error = could_append(path).err()?;
    Some(format!("log.audit: {}: {error}; until then, no change of the rules can be saved", path.display()))
}

/// Whether the first rules are a change that is recorded: all but those of a store that is there.
fn is_audited_at_start(settings: &Settings) -> bool {
    settings.rules.own_store().is_none_or(|(_, store)| !store.exists())
}

fn made_or_written(path: &Path) -> io::Result<()> {
    if path.exists() { could_write(path) } else { could_make(path) }
}

/// A socket takes the place of one that was left behind, and of nothing else.
fn socket_at(path: &Path) -> io::Result<()> {
    let invalid = |detail: &str| Err(io::Error::new(ErrorKind::InvalidInput, detail));
    if path.as_os_str().len() > LONGEST_SOCKET {
        let detail = format!("is too long for a socket; set another path, of at most {LONGEST_SOCKET} bytes");
        return invalid(&detail);
    }
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => invalid("is a folder; set the path of a socket in it"),
        Ok(found) if !found.file_type().is_socket() => {
            invalid("is a file and no socket, and would be lost; move it away, or set another path")
        }
        // On a full disk, too: an edge has to start there, to be told what to stop.
        _ => could_make_empty(path),
    }
}

/// Keys that name the same file.
fn shared(settings: &Settings) -> Vec<AppError> {
    let mut files: Vec<(&'static str, &Path)> = vec![
        ("admin.token_file", &settings.admin.token_file),
        ("tickets.key_file", &settings.tickets.key_file),
        ("log.audit", &settings.log.audit),
        ("activity.path", &settings.activity.path),
        ("limits.path", &settings.limits.path),
        ("notify.path", &settings.notify.path),
        ("notify.secret_file", &settings.notify.secret_file),
        ("edge.upgrade_socket", &settings.edge.upgrade_socket),
    ];
    if let Some((key, store)) = settings.rules.kept() {
        // What nothing else writes may be one file, such as a certificate that is shown on all sides.
        let read = settings.rules.read_files();
        if let Some((other, _)) = read.into_iter().find(|(_, other)| is_same(other, store)) {
            return vec![AppError::SameFile { key, other, path: store.to_owned() }];
        }
    }
    files.extend(settings.rules.own_files());
    let mut faults = Vec::new();
    for (index, (key, path)) in files.iter().enumerate() {
        let earlier = files.iter().take(index).find(|(_, other)| is_same(other, path));
        if let Some((other, _)) = earlier {
            faults.push(AppError::SameFile { key, other, path: path.to_path_buf() });
        }
    }
    faults
}

/// Whether two paths are of one file, which may not be there yet.
fn is_same(one: &Path, other: &Path) -> bool {
    // The folder may have several names, too.
    let place = |path: &Path| {
        let path = path::absolute(path).ok()?;
        Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?))
    };
    one == other || is_same_file(one, other) || place(one).is_some_and(|one| place(other) == Some(one))
}
