//! `embedgate widgets export`.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use crate::app;
use crate::cli::output::print;
use crate::cli::{CliError, Common};
use embedgate_policy::widget::Widget;

#[derive(Debug, Serialize)]
struct ExportReport<'a> {
    file: &'a Path,
    documents: u64,
}

impl std::fmt::Display for ExportReport<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} widgets", self.file.display(), self.documents)
    }
}

pub(super) fn run(common: &Common, file: Option<&Path>) -> Result<ExitCode, CliError> {
    let settings = common.settings()?;
    let Some(file) = file.filter(|file| *file != Path::new("-")) else {
        let mut out = BufWriter::new(io::stdout().lock());
        app::each_document(&settings, |widget| write_line(&mut out, widget))?;
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    };
    // Whole or not at all: half an export would look like a complete one.
    let mut unfinished = file.as_os_str().to_owned();
    unfinished.push(".part");
    let unfinished = Path::new(&unfinished);
    let named = |source: io::Error| CliError::File { path: file.into(), source };
    let mut out = BufWriter::new(File::create(unfinished).map_err(named)?);
    let mut documents = 0;
    let written = app::each_document(&settings, |widget| {
        documents += 1;
        write_line(&mut out, widget)
    });
    let written = written.map_err(CliError::from).and_then(|()| {
        let out = out.into_inner().map_err(|error| named(error.into_error()))?;
        out.sync_all().and_then(|()| fs::rename(unfinished, file)).map_err(named)
    });
    if written.is_err() {
        // The error to report is the earlier one.
        let _ = fs::remove_file(unfinished);
    }
    written?;
    let report = ExportReport { file, documents };
    print(common.json, &report)?;
    Ok(ExitCode::SUCCESS)
}

fn write_line(out: &mut impl Write, widget: &Widget) -> io::Result<()> {
    serde_json::to_writer(&mut *out, widget)?;
    out.write_all(b"\n")
}
