//! `embedgate widgets import`.

use std::fs::{self, File};
use std::io::{self, BufReader, IsTerminal, Read, Seek};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::app;
use crate::cli::output::{count, print};
use crate::cli::{CliError, Common};
use crate::rules::error::{Road, SaveError, WideChange};
use crate::rules::import::{ImportError, ImportReport, check, import};
use crate::rules::publisher::Publisher;
use crate::rules::source::store::LostStore;
use embedgate_policy::suffix::PublicSuffixes;

/// Number of faults shown in text; `--json` has more.
const SHOWN: usize = 50;

#[derive(Debug, Serialize)]
struct ImportSummary<'a> {
    file: &'a Path,
    store: &'a Path,
    #[serde(flatten)]
    import: ImportReport,
    /// What has to be confirmed; nothing was written then.
    #[serde(skip_serializing_if = "Option::is_none")]
    wide_change: Option<WideChange>,
}

impl std::fmt::Display for ImportSummary<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ImportReport { documents, created, updated, deleted, unchanged, faults, errors } = &self.import;
        let store = self.store.display();
        if let Some(wide) = self.wide_change {
            return write!(f, "{store}: {}", SaveError::WideChange { wide, road: Road::Import });
        }
        for fault in errors.iter().take(SHOWN) {
            writeln!(f, "{}: {fault}", self.file.display())?;
        }
        if *faults > SHOWN as u64 {
            writeln!(f, "and {} more", faults - SHOWN as u64)?;
        }
        write!(f, "{store}: {documents} documents: {created} new, {updated} changed")?;
        if *deleted > 0 {
            write!(f, ", {deleted} deleted")?;
        }
        write!(f, ", {unchanged} unchanged")?;
        match (*faults, created + updated + deleted) {
            (0, _) => Ok(()),
            (_, 0) => write!(f, "; {}, nothing was written", number(*faults)),
            (_, _) => {
                let faults = number(*faults);
                write!(f, "; {faults}, nothing after the first was written: fix them and run it again")
            }
        }
    }
}

fn number(faults: u64) -> String {
    count(usize::try_from(faults).unwrap_or(usize::MAX), "error")
}

pub(super) fn run(
    common: &Common,
    file: &Path,
    confirmed: Option<usize>,
    lost: LostStore,
) -> Result<ExitCode, CliError> {
    let settings = common.settings()?;
    let store = &settings.rules.store.path;
    let suffixes = app::public_suffixes(&settings)?;
    // First, so that a wrong name makes no store.
    let mut input = Input::open(file, store)?;
    let publisher = app::offline_store(&settings, lost)?;
    let made = checked_and_made(&mut input, &publisher, &suffixes, confirmed);
    match &made {
        Ok((report, None)) if report.faults == 0 => publisher.establish().map_err(app::AppError::Store)?,
        // A store in which nothing was saved would keep the next start from taking the seed.
        _ => publisher.discard(),
    }
    let (import, held) = made?;
    let report = ImportSummary { file, store, import, wide_change: held };
    print(common.json, &report)?;
    let done = report.import.faults == 0 && held.is_none();
    Ok(if done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks the input, and imports it where it may be: what was done, and what has to be confirmed first.
fn checked_and_made(
    input: &mut Input,
    publisher: &Publisher,
    suffixes: &PublicSuffixes,
    confirmed: Option<usize>,
) -> Result<(ImportReport, Option<WideChange>), CliError> {
    let checked = input.read("checking", |lines, progress| check(publisher, lines, suffixes, progress))?;
    let held = checked.held(confirmed).filter(|_| checked.report.faults == 0);
    if checked.report.faults > 0 || held.is_some() {
        let nothing = ImportReport { created: 0, updated: 0, deleted: 0, unchanged: 0, ..checked.report };
        return Ok((nothing, held));
    }
    // The same lines again, which do no more than that.
    let most = Some(checked.most_of_a_chunk);
    let report =
        input.read("importing", |lines, progress| import(publisher, lines, suffixes, most, progress))?;
    Ok((report, None))
}

/// Input that is read twice: the file, or what came from standard input or a pipe.
struct Input {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Input {
    /// Opens the input. What can't be read twice is copied first, into a file next to the store that nobody else sees and
    /// that is gone with this process.
    fn open(path: &Path, store: &Path) -> Result<Self, CliError> {
        let named = |source: io::Error| CliError::File { path: path.into(), source };
        let from = match path == Path::new("-") {
            true => None,
            false => Some(File::open(path).map_err(named)?),
        };
        let file = match from {
            Some(file) if file.metadata().map_err(named)?.is_file() => file,
            Some(mut pipe) => copied(&mut pipe, path, store)?,
            None => copied(&mut io::stdin().lock(), path, store)?,
        };
        let bytes = file.metadata().map_err(named)?.len();
        Ok(Self { path: path.into(), file, bytes })
    }

    /// Reads all lines from the beginning, and shows how far that is.
    fn read<T>(
        &mut self,
        what: &'static str,
        work: impl FnOnce(BufReader<&File>, &dyn Fn(u64)) -> Result<T, ImportError>,
    ) -> Result<T, CliError> {
        let named = |source: io::Error| CliError::File { path: self.path.clone(), source };
        self.file.rewind().map_err(named)?;
        let target = if io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(self.bytes), target).with_message(what);
        let template = "{msg:10} [{bar:40}] {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left";
        // A broken template is not a reason to refuse the import.
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = bar.with_style(style);
        let done = work(BufReader::with_capacity(1 << 16, &self.file), &|bytes| bar.set_position(bytes))?;
        bar.finish_and_clear();
        Ok(done)
    }
}

/// A copy next to the store.
fn copied(from: &mut dyn Read, path: &Path, store: &Path) -> Result<File, CliError> {
    let folder = store.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let named = |source| CliError::File { path: folder.into(), source };
    // Where there is no store yet, there may be no folder for it, either.
    fs::create_dir_all(folder).map_err(named)?;
    let mut copy = tempfile::tempfile_in(folder).map_err(named)?;
    io::copy(from, &mut copy).map_err(|source| CliError::File { path: path.into(), source })?;
    Ok(copy)
}
