//! The binary: reads its arguments and hands over.

use std::io::Write;
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
            // Where nobody reads standard error, the exit code is all there is to tell.
            let _ = writeln!(std::io::stderr(), "embedgate: {error}");
            error.exit_code()
        }
    }
}
