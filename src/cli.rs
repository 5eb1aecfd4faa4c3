//! Command line. Results go to standard output, as text or with `--json` as JSON; errors go to standard
//! error. Exit codes: 0 fine, 1 findings or denied, 2 usage, 3 a running edge could not be asked.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use jiff::Timestamp;

use crate::app::{self, AppError, Signals};
use crate::config::{self, Settings};
use crate::rules::source::store::{LostStore, is_same_file};

mod activity;
mod apply;
mod backup;
mod check;
mod checklist;
mod configured;
mod error;
mod explain;
mod fleet;
mod lint;
mod output;
mod reload;
mod remote;
mod restore;
mod table;
mod upgrade;
mod wait;
mod widgets;

pub use error::CliError;

/// Lets each embeddable widget load only on the sites its owner allows.
#[derive(Debug, Parser)]
#[command(name = "embedgate", version)]
pub struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    start: StartArguments,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Options of every command.
#[derive(Args, Debug)]
struct Common {
    /// The configuration file.
    #[arg(long, global = true, value_name = "FILE", default_value = "conf/embedgate.toml")]
    config: PathBuf,
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    json: bool,
}

/// Options of a start.
#[derive(Args, Clone, Copy, Debug, Default)]
struct StartArguments {
    /// Make a new store if the one that the audit log tells of is lost. Say it once: it brings back nothing.
    #[arg(long)]
    new_store: bool,
}

impl StartArguments {
    fn lost(self) -> LostStore {
        if self.new_store { LostStore::MadeAnew } else { LostStore::Refused }
    }
}

impl Common {
    fn settings(&self) -> Result<Settings, CliError> {
        Ok(config::load(&self.config, config::process_environment())?)
    }

    /// Refuses to write over a file that the edge needs, as far as the configuration can be read. What is not whole yet
    /// is written beside the file.
    fn may_write(&self, file: &Path) -> Result<(), CliError> {
        let settings = self.settings().ok();
        let own = |path: &Path| match is_same_file(&self.config, path) {
            true => Some("the configuration"),
            false => settings.as_ref().and_then(|settings| app::own_file(settings, path)),
        };
        let mut unfinished = file.as_os_str().to_owned();
        unfinished.push(".part");
        for path in [file, Path::new(&unfinished)] {
            if let Some(what) = own(path) {
                return Err(CliError::OwnFile { path: path.to_owned(), what });
            }
        }
        Ok(())
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the edge (the default).
    Run(StartArguments),
    /// Read the configuration and rules and report every error with file and line; starts nothing.
    Check(remote::Remote),
    /// Explain whether a page may embed a widget, and why, or what was decided under a decision id.
    #[command(after_help = "Examples:\n  \
        embedgate explain --widget wgt_demo --origin https://www.example.com/shop\n  \
        embedgate explain --widget wgt_demo --origin www.example.com --class session --admin http://127.0.0.1:9090\n  \
        embedgate explain --decision 01939b1c-2f6e-7cc3-98c4-dc0c0c07398f\n\n\
        It judges by the configured rules, or, where a running edge has their store open, asks that edge.")]
    Explain(explain::ExplainArguments),
    /// Walk a deployment's checklist against a running edge, and the page with the widget.
    Checklist(checklist::ChecklistArguments),
    /// Report what the rules allow but probably should not. Where a running edge has the store open, it is asked.
    Lint(remote::Remote),
    /// Tell who embeds: which sites load which widgets, by which entry, and which are refused.
    Activity(activity::ActivityArguments),
    /// Read and change the widgets of a running edge; export or import them in bulk.
    #[command(subcommand)]
    Widgets(widgets::WidgetsCommand),
    /// Have the running edge put its rules file in force, also where it changes many widgets at once.
    Apply(apply::ApplyArguments),
    /// See the edges of a fleet, and decide about the bucket that they share.
    #[command(subcommand)]
    Fleet(fleet::FleetCommand),
    /// Copy the store to a file, of the running edge or of a stopped one; of a fleet, the edge's copy of the rules.
    Backup(backup::BackupArguments),
    /// Put such a copy back, while this edge is stopped. What is there is kept beside it.
    Restore(restore::RestoreArguments),
    /// Have the running edge read its configuration again.
    Reload(remote::Remote),
    /// Have the running edge hand over to a new process of the program that is now at its path.
    Upgrade,
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    ///
    /// The configuration, the rules or a file can't be used, or the running edge that was asked refuses.
    pub fn run(self) -> Result<ExitCode, CliError> {
        match self.run_command() {
            Err(error) if error.is_closed_output() => Ok(ExitCode::SUCCESS),
            result => result,
        }
    }

    fn run_command(self) -> Result<ExitCode, CliError> {
        let (common, before) = (self.common, self.start);
        match self.command.unwrap_or(Command::Run(before)) {
            Command::Run(_) if common.json => {
                wrong_usage("`run` prints nothing but its logs, so --json has no effect; leave it out")
            }
            Command::Run(after) => {
                let start = StartArguments { new_store: before.new_store || after.new_store };
                let signals = Signals::listen().map_err(AppError::Signals)?;
                let settings = common.settings()?;
                app::run(common.config, settings, signals, Timestamp::now(), start.lost())?;
                Ok(ExitCode::SUCCESS)
            }
            // Said before the command, the parser takes it as one of its own.
            _ if before.new_store => wrong_usage("--new-store belongs to `embedgate run`; leave it out"),
            Command::Check(remote) => check::run(&common, &remote),
            Command::Explain(question) => explain::run(&common, &question),
            Command::Checklist(arguments) => checklist::run(&common, &arguments),
            Command::Lint(remote) => lint::run(&common, &remote),
            Command::Activity(arguments) => activity::run(&common, &arguments),
            Command::Apply(arguments) => apply::run(&common, &arguments),
            Command::Fleet(command) => fleet::run(&common, &command),
            Command::Backup(arguments) => backup::run(&common, &arguments),
            Command::Restore(arguments) => restore::run(&common, &arguments),
            Command::Reload(remote) => reload::run(&common, &remote),
            Command::Upgrade => upgrade::run(&common),
            Command::Widgets(command) => widgets::run(&common, &command),
            Command::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Cli::command(), "embedgate", &mut script);
                output::write(&script)?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

fn wrong_usage(says: &str) -> Result<ExitCode, CliError> {
    Cli::command().error(ErrorKind::ArgumentConflict, says).print()?;
    Ok(ExitCode::from(error::WRONG_USAGE))
}
