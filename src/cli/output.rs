//! Printing, for people or for programs.

use std::io::{self, Write};

use serde::Serialize;

/// Prints a value: as JSON in one piece, or as its text.
pub(super) fn print(json: bool, value: &impl Serialize, text: impl std::fmt::Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, value)?;
        writeln!(out)
    } else {
        writeln!(out, "{}", text.to_string().trim_end())
    }
}
