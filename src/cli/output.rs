//! Output, as text or as JSON.

use std::fmt::Display;
use std::io::{self, BufWriter, ErrorKind, StdoutLock, Write};

use serde::Serialize;

/// Prints a value, as JSON or as its text.
pub(super) fn print(json: bool, value: &(impl Serialize + Display)) -> io::Result<()> {
    let mut text = if json { serde_json::to_string_pretty(value)? } else { value.to_string() };
    text.truncate(text.trim_end().len());
    text.push('\n');
    write(text.as_bytes())
}

/// Writes to standard output. A reader that has seen enough, such as `head`, is not an error.
pub(super) fn write(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Output that is written bit by bit.
pub(super) struct PrintedLines<'o> {
    out: BufWriter<StdoutLock<'o>>,
}

impl PrintedLines<'_> {
    pub(super) fn to_stdout() -> Self {
        Self { out: BufWriter::new(io::stdout().lock()) }
    }

    pub(super) fn write(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())
    }

    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Tells a person something beside the result, on standard error.
pub(super) fn note(text: &str) {
    // Who closed standard error reads no notes.
    let _ = writeln!(io::stderr(), "embedgate: {text}");
}

/// A number with its noun: `1 widget`, `2 widgets`.
pub(super) fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
