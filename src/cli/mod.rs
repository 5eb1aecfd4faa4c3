//! The command line. What is printed for people goes to standard output, or as JSON with `--json`; faults go to
//! standard error. Exit codes: 0 fine, 1 findings or denied, 2 usage.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::{self, Settings};

mod check;
mod error;
mod explain;
mod lint;
mod output;
mod remote;
mod widgets;

pub use error::CliError;

/// Lets each embeddable widget load only on the sites its owner allows.
#[derive(Debug, Parser)]
#[command(name = "embedgate", version)]
pub struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What every command takes.
#[derive(Args, Debug)]
struct Common {
    /// The configuration file.
    #[arg(long, global = true, value_name = "FILE", default_value = "conf/embedgate.toml")]
    config: PathBuf,
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    json: bool,
}

impl Common {
    fn settings(&self) -> Result<Settings, CliError> {
        Ok(config::load(&self.config, config::process_environment())?)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the edge (the default).
    Run,
    /// Read configuration and rules, say every fault with its file and line, and start nothing.
    Check(remote::Remote),
    /// Say whether a widget may be embedded by a page, and why.
    Explain(explain::Question),
    /// Say what is allowed by the rules but probably not meant.
    Lint(remote::Remote),
    /// Take widgets in or out in bulk, while no edge has the store open.
    #[command(subcommand)]
    Widgets(widgets::Widgets),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

impl Cli {
    /// Carries the command out.
    pub fn run(self) -> Result<ExitCode, CliError> {
        let common = self.common;
        match self.command.unwrap_or(Command::Run) {
            Command::Run => {
                let settings = common.settings()?;
                crate::app::run(common.config, settings)?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Check(remote) => check::run(&common, &remote),
            Command::Explain(question) => explain::run(&common, &question),
            Command::Lint(remote) => lint::run(&common, &remote),
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
