//! `embedgate backup FILE`: a copy of the store, of a running edge or of one that is stopped.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::output::{count, print};
use super::remote::{Remote, RemoteEdge};
use super::{CliError, Common, configured};
use crate::app::{self, AppError};
use crate::rules::error::StoreError;
use crate::rules::source::store::StoreFacts;
use embedgate_policy::suffix::PublicSuffixes;

/// A copy has what the store has, which not everybody may read.
const PRIVATE_MODE: u32 = 0o600;

/// Arguments of `embedgate backup`.
#[derive(Args, Debug)]
pub(super) struct BackupArguments {
    /// The file to write. It takes the place of one that is there only when it is whole.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    remote: Remote,
}

/// Backup that was made.
#[derive(Debug, Serialize)]
struct BackupReport<'a> {
    file: &'a Path,
    /// The store, or the running edge that was asked.
    from: String,
    #[serde(flatten)]
    facts: StoreFacts,
}

impl fmt::Display for BackupReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, from, facts: StoreFacts { widgets, generation, bytes } } = self;
        let widgets = count(*widgets, "widget");
        write!(f, "{}: {widgets} of {from}, generation {generation}, {bytes} bytes", file.display())
    }
}

pub(super) fn run(common: &Common, arguments: &BackupArguments) -> Result<ExitCode, CliError> {
    let BackupArguments { file, remote } = arguments;
    if file.is_dir() {
        return Err(CliError::File { path: file.clone(), source: io::ErrorKind::IsADirectory.into() });
    }
    common.may_write(file)?;
    let report = match remote.edge(common)? {
        Some(edge) => of_running(&edge, file)?,
        None => {
            let settings = common.settings()?;
            match app::backup_stopped(&settings, file) {
                Ok(facts) => {
                    BackupReport { file, from: configured::kept_at(&settings).display().to_string(), facts }
                }
                Err(AppError::Store(StoreError::Locked { .. })) => {
                    of_running(&configured::who_has_the_store(remote, &settings)?, file)?
                }
                Err(error) => return Err(error.into()),
            }
        }
    };
    print(common.json, &report)?;
    Ok(ExitCode::SUCCESS)
}

/// Has a running edge send its store. What arrives takes its name once it has been read whole.
fn of_running<'a>(edge: &RemoteEdge, file: &'a Path) -> Result<BackupReport<'a>, CliError> {
    let named = |source: io::Error| CliError::File { path: file.into(), source };
    let mut part = file.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    // One that was left by a process that was killed.
    let _ = fs::remove_file(part);
    let mut arriving =
        OpenOptions::new().write(true).create_new(true).mode(PRIVATE_MODE).open(part).map_err(named)?;
    let arrived = edge.download("/v1/backup", &mut arriving, file).and_then(|_| {
        let suffixes = Arc::new(PublicSuffixes::shipped().clone());
        let facts = StoreFacts::read(part, suffixes).map_err(|error| CliError::BadBackup {
            path: file.into(),
            detail: error.finding().unwrap_or_else(|| error.to_string()),
        })?;
        arriving.sync_all().and_then(|()| fs::rename(part, file)).map_err(named)?;
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all()).map_err(named)?;
        Ok(BackupReport { file, from: edge.url.clone(), facts })
    });
    if arrived.is_err() {
        // The error to report is the earlier one.
        let _ = fs::remove_file(part);
    }
    arrived
}
