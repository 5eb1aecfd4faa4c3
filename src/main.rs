//! The binary: reads its arguments and hands over.

use std::process::ExitCode;

use clap::Parser;
use embedgate::cli::Cli;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "faults of a command go to standard error")]
            {
                eprintln!("embedgate: {error}");
            }
            ExitCode::FAILURE
        }
    }
}
