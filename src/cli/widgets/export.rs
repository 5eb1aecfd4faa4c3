//! `embedgate widgets export`.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use super::pages;
use crate::app::{self, AppError};
use crate::cli::output::print;
use crate::cli::remote::{Remote, RemoteEdge};
use crate::cli::{CliError, Common, configured};
use crate::config::Settings;
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

pub(super) fn run(common: &Common, file: Option<&Path>, remote: &Remote) -> Result<ExitCode, CliError> {
    let Some(file) = file.filter(|file| *file != Path::new("-")) else {
        let mut out = BufWriter::new(io::stdout().lock());
        write_all(common, remote, &mut out)?;
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    };
    // Whole or not at all: half an export would look like a complete one.
    let mut unfinished = file.as_os_str().to_owned();
    unfinished.push(".part");
    let unfinished = Path::new(&unfinished);
    common.may_write(file)?;
    let named = |source: io::Error| CliError::File { path: file.into(), source };
    let mut out = BufWriter::new(File::create(unfinished).map_err(named)?);
    let written = write_all(common, remote, &mut out).and_then(|documents| {
        let out = out.into_inner().map_err(|error| named(error.into_error()))?;
        out.sync_all().and_then(|()| fs::rename(unfinished, file)).map_err(named)?;
        Ok(documents)
    });
    if written.is_err() {
        // The error to report is the earlier one.
        let _ = fs::remove_file(unfinished);
    }
    let report = ExportReport { file, documents: written? };
    print(common.json, &report)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes every document, and tells how many there were.
fn write_all(common: &Common, remote: &Remote, out: &mut impl Write) -> Result<u64, CliError> {
    if let Some(edge) = remote.edge(common)? {
        return of_edge(&edge, out);
    }
    let settings = common.settings()?;
    match of_store(&settings, out) {
        Err(error) if error.is_store_in_use() => {
            of_edge(&configured::who_has_the_store(remote, &settings)?, out)
        }
        documents => documents,
    }
}

fn of_store(settings: &Settings, out: &mut impl Write) -> Result<u64, CliError> {
    let mut documents = 0;
    app::each_document(settings, |widget: &Widget| {
        documents += 1;
        serde_json::to_writer(&mut *out, widget)?;
        out.write_all(b"\n")
    })?;
    Ok(documents)
}

/// The documents of a running edge are written as it wrote them.
fn of_edge(edge: &RemoteEdge, out: &mut impl Write) -> Result<u64, CliError> {
    let mut documents = 0;
    pages::each(edge, "", |widgets| {
        for widget in widgets {
            documents += 1;
            let line = [widget.get().as_bytes(), b"\n"];
            line.into_iter().try_for_each(|part| out.write_all(part)).map_err(AppError::Export)?;
        }
        Ok(())
    })?;
    Ok(documents)
}
