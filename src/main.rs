//! The binary: reads its arguments and hands over.

use std::process::ExitCode;

use clap::Parser;
use embedgate::cli::Cli;
use embedgate_allocator::MiMalloc;

/// A fifth of what a proxied request costs was spent in the system's allocator.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "faults of a command go to standard error")]
            {
                eprintln!("embedgate: {error}");
            }
            error.exit_code()
        }
    }
}
