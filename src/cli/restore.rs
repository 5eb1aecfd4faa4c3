//! `embedgate restore FILE`: a copy of the store takes its place, while no edge runs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::output::{count, print};
use super::{CliError, Common};
use crate::app;
use crate::rules::source::store::RestoredStore;

/// Arguments of `embedgate restore`.
#[derive(Args, Debug)]
pub(super) struct RestoreArguments {
    /// The copy, as `embedgate backup` has written it. It stays as it is.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Copy that was put back.
#[derive(Debug, Serialize)]
struct RestoreReport<'a> {
    file: &'a Path,
    #[serde(flatten)]
    restored: RestoredStore,
}

impl fmt::Display for RestoreReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RestoredStore { store, facts, kept, missing } = &self.restored;
        let widgets = count(facts.widgets, "widget");
        let (store, file, generation) = (store.display(), self.file.display(), facts.generation);
        writeln!(f, "{store}: has {widgets} of {file} now, generation {generation}")?;
        if let Some(kept) = kept {
            writeln!(f, "the store that was there is kept in {}", kept.display())?;
        }
        if let Some(missing) = missing {
            writeln!(f, "{missing} not in it: whoever writes rules has to make them again")?;
        }
        Ok(())
    }
}

pub(super) fn run(common: &Common, arguments: &RestoreArguments) -> Result<ExitCode, CliError> {
    let file = &arguments.file;
    let restored = app::restore(&common.settings()?, file, Timestamp::now())?;
    print(common.json, &RestoreReport { file, restored })?;
    Ok(ExitCode::SUCCESS)
}
