//! `embedgate widgets`: documents in bulk, on the store's file while no edge has it open.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::{CliError, Common};

mod export;
mod import;

/// What to do with them.
#[derive(Debug, Subcommand)]
pub(super) enum Widgets {
    /// Write every document, one a line (NDJSON), in the order of their ids.
    Export {
        /// Where to; standard output when left out or `-`.
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Take documents, one a line (NDJSON). Each takes the place of the widget's document that is there; one that is
    /// there already is unchanged, so an import that was interrupted is just run again. Widgets that are not named stay.
    Import {
        /// The documents; `-` for standard input, which can't be checked as a whole before the first is written.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

pub(super) fn run(common: &Common, command: &Widgets) -> Result<ExitCode, CliError> {
    match command {
        Widgets::Export { file } => export::run(common, file.as_deref()),
        Widgets::Import { file } => import::run(common, file),
    }
}
