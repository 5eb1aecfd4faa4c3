//! The head of an answer, as far as a client needs it to find the next one.

use anyhow::{Context, Result, bail};
use memchr::memmem;

/// Where an answer ends, and what it says.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    pub status: u16,
    /// Bytes up to the body.
    pub end: usize,
    /// Bytes of the body.
    pub length: usize,
    /// The connection ends with it.
    pub close: bool,
}

impl Head {
    /// `None` as long as it isn't whole. Bodies have a length here; chunks would be an answer that no peer gives.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>> {
        let Some(at) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
        let head = bytes.get(..at).unwrap_or_default();
        let status = head.get(9..12).and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
        let mut this =
            Self { status: status.context("a status line")?, end: at + 4, length: 0, close: false };
        let mut has_length = false;
        for line in memchr::memchr_iter(b'\n', head).map(|at| head.get(at + 1..).unwrap_or_default()) {
            match line.first().map(u8::to_ascii_lowercase) {
                Some(b'c') => {
                    if let Some(value) = value(line, b"content-length:") {
                        this.length = value.trim().parse().context("Content-Length")?;
                        has_length = true;
                    } else if let Some(value) = value(line, b"connection:") {
                        this.close = value.trim().eq_ignore_ascii_case("close");
                    }
                }
                Some(b't') if value(line, b"transfer-encoding:").is_some() => bail!("an answer in chunks"),
                _ => {}
            }
        }
        if !has_length && !matches!(this.status, 101 | 204 | 304) {
            bail!("an answer without Content-Length: {}", String::from_utf8_lossy(head));
        }
        Ok(Some(this))
    }
}

fn value<'b>(line: &'b [u8], name: &[u8]) -> Option<&'b str> {
    let (found, rest) = line.split_at_checked(name.len())?;
    let rest = rest.split(|byte| *byte == b'\r').next()?;
    found.eq_ignore_ascii_case(name).then(|| std::str::from_utf8(rest).ok()).flatten()
}
