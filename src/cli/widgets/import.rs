//! `embedgate widgets import`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal};
use std::path::Path;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::app;
use crate::cli::output::{count, print};
use crate::cli::{CliError, Common};
use crate::rules::import::{ImportReport, check, import};
use crate::rules::source::store::LostStore;

/// Number of faults shown in text; `--json` has more.
const SHOWN: usize = 50;

#[derive(Debug, Serialize)]
struct ImportSummary<'a> {
    file: &'a Path,
    store: &'a Path,
    #[serde(flatten)]
    import: ImportReport,
}

impl std::fmt::Display for ImportSummary<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ImportReport { documents, created, updated, unchanged, faults, errors } = &self.import;
        for fault in errors.iter().take(SHOWN) {
            writeln!(f, "{}: {fault}", self.file.display())?;
        }
        if *faults > SHOWN as u64 {
            writeln!(f, "and {} more", faults - SHOWN as u64)?;
        }
        write!(f, "{}: {documents} documents: {created} new, {updated} changed", self.store.display())?;
        write!(f, ", {unchanged} unchanged")?;
        match (*faults, created + updated) {
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

pub(super) fn run(common: &Common, file: &Path, lost: LostStore) -> Result<ExitCode, CliError> {
    let settings = common.settings()?;
    let store = &settings.rules.store.path;
    let suffixes = app::public_suffixes(&settings)?;
    let publisher = app::offline_store(&settings, lost)?;
    let import = if file == Path::new("-") {
        import(&publisher, BufReader::new(io::stdin()), &suffixes, |_| {})?
    } else {
        let read = |what: &'static str| Input::open(file, what);
        let mut input = read("checking")?;
        let checked = check(&publisher.live().load(), &mut input.lines, &suffixes, |bytes| {
            input.bar.set_position(bytes)
        })?;
        input.bar.finish_and_clear();
        if checked.faults > 0 {
            ImportReport { created: 0, updated: 0, unchanged: 0, ..checked }
        } else {
            let mut input = read("importing")?;
            let report =
                import(&publisher, &mut input.lines, &suffixes, |bytes| input.bar.set_position(bytes))?;
            input.bar.finish_and_clear();
            report
        }
    };
    let report = ImportSummary { file, store, import };
    print(common.json, &report)?;
    Ok(if report.import.faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Input file with its progress bar.
struct Input {
    lines: Box<dyn BufRead + Send>,
    bar: ProgressBar,
}

impl Input {
    fn open(file: &Path, what: &'static str) -> Result<Self, CliError> {
        let named = |source: io::Error| CliError::File { path: file.into(), source };
        let opened = File::open(file).map_err(named)?;
        let bytes = opened.metadata().map_err(named)?.len();
        let target = if io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(bytes), target).with_message(what);
        let template = "{msg:10} [{bar:40}] {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left";
        // A broken template is not a reason to refuse the import.
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        Ok(Self { lines: Box::new(BufReader::with_capacity(1 << 16, opened)), bar: bar.with_style(style) })
    }
}
