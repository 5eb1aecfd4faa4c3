//! `embedgate widgets`: export and import of documents, on the store's file while no edge has it open.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::{CliError, Common};
use crate::rules::source::store::LostStore;

mod export;
mod import;

/// Subcommands of `embedgate widgets`.
#[derive(Debug, Subcommand)]
pub(super) enum WidgetsCommand {
    /// Write every document, one per line (NDJSON), sorted by id.
    Export {
        /// The file to write; `-` or nothing writes to standard output.
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Import documents, one per line (NDJSON), as an export writes them and a batch reads them: a line may also be
    /// {"put": {...}} or {"delete": {"id": "..."}}. Each replaces the widget's stored document. Identical ones change
    /// nothing, so an interrupted import can be run again. Other widgets stay. Everything is checked before anything is
    /// written.
    Import {
        /// The documents; `-` reads standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Do it even if it deletes, disables, restricts, opens or monitors many widgets: at most this number.
        #[arg(long, value_name = "N")]
        confirm: Option<usize>,
        /// Make a new store if the one that the audit log tells of is lost, so that it takes these documents.
        #[arg(long)]
        new_store: bool,
    },
}

pub(super) fn run(common: &Common, command: &WidgetsCommand) -> Result<ExitCode, CliError> {
    match command {
        WidgetsCommand::Export { file } => export::run(common, file.as_deref()),
        WidgetsCommand::Import { file, confirm, new_store } => {
            let lost = if *new_store { LostStore::MadeAnew } else { LostStore::Refused };
            import::run(common, file, *confirm, lost)
        }
    }
}
