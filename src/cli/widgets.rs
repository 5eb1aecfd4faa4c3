//! `embedgate widgets`: the everyday change of a running edge's widgets, and export and import in bulk.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::output::print;
use super::remote::Remote;
use super::wait::WaitArguments;
use super::{CliError, Common};
use crate::rules::source::store::LostStore;
use embedgate_policy::widget::{WidgetId, WidgetIdError};

mod disable;
mod domains;
mod export;
mod history;
mod import;
mod list;
mod pages;
mod propose;
mod put;
mod received;
mod remove;
mod revert;

/// Subcommands of `embedgate widgets`.
#[derive(Debug, Subcommand)]
pub(super) enum WidgetsCommand {
    /// List the widgets of the running edge.
    List(list::ListArguments),
    /// Print a widget's document as JSON, ready to be edited and put back.
    #[command(after_help = "Example:\n  embedgate widgets get wgt_demo > wgt_demo.json\n  \
                            $EDITOR wgt_demo.json\n  embedgate widgets put wgt_demo.json")]
    Get(OneWidget),
    /// Save a document: a new widget, or in place of the stored one.
    Put(put::PutArguments),
    /// Let pages embed a widget: add entries to its list.
    Allow(domains::AllowArguments),
    /// Take entries off a widget's list. Open sessions that they admitted end at once.
    Disallow(domains::DisallowArguments),
    /// Switch a widget off at once, whatever happens: also where the change can't be kept, on a full disk.
    Disable(OneChange),
    /// Delete a widget. Its history stays, so it can be brought back with `revert`.
    Delete(OneChange),
    /// List the last changes of a widget, newest first, also of a deleted one.
    History(OneWidget),
    /// Save an earlier document of a widget again, as a new revision; brings back a deleted widget, too.
    Revert(revert::RevertArguments),
    /// Print a draft of a widget's document by what was seen: enforced, with an entry for each site that was let in.
    #[command(after_help = "Example:\n  embedgate widgets propose wgt_demo > wgt_demo.json\n  \
                            $EDITOR wgt_demo.json\n  embedgate widgets put wgt_demo.json\n\n\
                            Nothing is saved. Anybody can send a request that names any site, so look at each one.")]
    Propose(OneWidget),
    /// Write every document, one per line (NDJSON), sorted by id: of the stopped edge's store, or of a running edge.
    #[command(
        after_help = "Example:\n  embedgate widgets export widgets.ndjson\n\nA running edge is read page by \
                            page: a widget that is saved or deleted meanwhile may be missing."
    )]
    Export {
        /// The file to write; `-` or nothing writes to standard output.
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        #[command(flatten)]
        remote: Remote,
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

/// Arguments of a command on one widget.
#[derive(Args, Debug)]
pub(super) struct OneWidget {
    #[command(flatten)]
    name: WidgetName,
    #[command(flatten)]
    remote: Remote,
}

/// Arguments of a command that changes one widget.
#[derive(Args, Debug)]
pub(super) struct OneChange {
    #[command(flatten)]
    name: WidgetName,
    #[command(flatten)]
    wait: WaitArguments,
    #[command(flatten)]
    remote: Remote,
}

/// Name of one widget.
#[derive(Args, Debug)]
struct WidgetName {
    /// The widget's id.
    #[arg(value_name = "ID", value_parser = widget_id)]
    id: WidgetId,
}

pub(super) fn widget_id(text: &str) -> Result<WidgetId, WidgetIdError> {
    WidgetId::parse(text)
}

impl WidgetName {
    /// The path of a call on this widget.
    fn path(&self, rest: &str) -> String {
        format!("/v1/widgets/{}{rest}", self.id)
    }
}

pub(super) fn run(common: &Common, command: &WidgetsCommand) -> Result<ExitCode, CliError> {
    match command {
        WidgetsCommand::List(arguments) => list::run(common, arguments),
        WidgetsCommand::Get(OneWidget { name, remote }) => {
            let document: Value = remote.running(common)?.get(&name.path(""))?;
            print(true, &document)?;
            Ok(ExitCode::SUCCESS)
        }
        WidgetsCommand::Put(arguments) => put::run(common, arguments),
        WidgetsCommand::Allow(arguments) => domains::allow(common, arguments),
        WidgetsCommand::Disallow(arguments) => domains::disallow(common, arguments),
        WidgetsCommand::Disable(widget) => disable::run(common, widget),
        WidgetsCommand::Delete(widget) => remove::run(common, widget),
        WidgetsCommand::History(widget) => history::run(common, widget),
        WidgetsCommand::Revert(arguments) => revert::run(common, arguments),
        WidgetsCommand::Propose(widget) => propose::run(common, widget),
        WidgetsCommand::Export { file, remote } => export::run(common, file.as_deref(), remote),
        WidgetsCommand::Import { file, confirm, new_store } => {
            let lost = if *new_store { LostStore::MadeAnew } else { LostStore::Refused };
            import::run(common, file, *confirm, lost)
        }
    }
}
