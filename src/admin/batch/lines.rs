//! Lines of a batch, split and parsed one by one as the body arrives.

use std::sync::Arc;

use crate::admin::problem::{ErrorPart, MOST_ERRORS, Problem};
use crate::rules::change::Change;
use crate::rules::error::RuleFault;
use crate::rules::lines::{LONGEST_LINE, LineChange, parse_line};
use embedgate_policy::suffix::PublicSuffixes;

const MOST_LINES: usize = 100_000;

pub(super) struct Lines {
    suffixes: Arc<PublicSuffixes>,
    /// Start of a line whose end has not arrived yet.
    rest: Vec<u8>,
    /// Number of lines so far, blank ones included.
    seen: usize,
    filled: usize,
    parsed: Parsed,
}

/// Parsed changes, and the errors of lines that can't be parsed.
#[derive(Default)]
pub(super) struct Parsed {
    pub(super) changes: Vec<Change>,
    pub(super) numbers: Numbers,
    pub(super) errors: Vec<ErrorPart>,
    pub(super) errors_omitted: usize,
}

/// Line number of each change, and where in the line it stands.
#[derive(Default)]
pub(super) struct Numbers(Vec<(usize, &'static str)>);

impl Numbers {
    /// An error of the writer, with its line.
    pub(super) fn locate(&self, fault: RuleFault) -> ErrorPart {
        let at = fault.index.and_then(|index| self.0.get(index));
        let mut part = ErrorPart::from(fault);
        if let Some((line, member)) = at {
            part.line = Some(*line);
            part.pointer.insert_str(0, member);
        }
        part
    }
}

impl Lines {
    pub(super) fn new(suffixes: Arc<PublicSuffixes>) -> Self {
        Self { suffixes, rest: Vec::new(), seen: 0, filled: 0, parsed: Parsed::default() }
    }

    /// Parses the next piece of the body.
    pub(super) fn take(&mut self, mut chunk: &[u8]) -> Result<(), Problem> {
        while let Some(end) = memchr::memchr(b'\n', chunk) {
            let (line, after) = chunk.split_at(end);
            if self.rest.is_empty() {
                self.line(line)?;
            } else {
                self.rest.extend_from_slice(line);
                let whole = std::mem::take(&mut self.rest);
                self.line(&whole)?;
            }
            chunk = after.get(1..).unwrap_or_default();
        }
        self.rest.extend_from_slice(chunk);
        if self.rest.len() > LONGEST_LINE {
            return Err(Problem::too_large(LONGEST_LINE, &format!("line {}", self.seen + 1)));
        }
        Ok(())
    }

    /// Parses the last line, which may have no line end.
    pub(super) fn finish(mut self) -> Result<Parsed, Problem> {
        let rest = std::mem::take(&mut self.rest);
        self.line(&rest)?;
        Ok(self.parsed)
    }

    fn line(&mut self, line: &[u8]) -> Result<(), Problem> {
        self.seen += 1;
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        if line.len() > LONGEST_LINE {
            return Err(Problem::too_large(LONGEST_LINE, &format!("line {}", self.seen)));
        }
        self.filled += 1;
        if self.filled > MOST_LINES {
            let detail = format!("a batch has at most {MOST_LINES} lines");
            return Err(Problem::new(http::StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail));
        }
        match parse_line(line, &self.suffixes) {
            Ok(LineChange { change, place }) => {
                self.parsed.changes.push(change);
                self.parsed.numbers.0.push((self.seen, place));
            }
            Err(faults) => {
                let line = Some(self.seen);
                let room = MOST_ERRORS.saturating_sub(self.parsed.errors.len());
                self.parsed.errors_omitted += faults.len().saturating_sub(room);
                let parts = faults.into_iter().take(room).map(ErrorPart::from);
                self.parsed.errors.extend(parts.map(|part| ErrorPart { line, ..part }));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn lines(text: &[u8], piece: usize) -> Result<Parsed, Problem> {
        let mut lines = Lines::new(Arc::new(PublicSuffixes::shipped().clone()));
        for chunk in text.chunks(piece) {
            lines.take(chunk)?;
        }
        lines.finish()
    }

    #[test]
    fn lines_are_the_same_however_they_arrive() {
        let text = b"{\"put\":{\"id\":\"a\"}}\r\n\n{\"delete\":{\"id\":\"b\",\"revision\":7}}\n{\"put\":{\"id\":\"c\"}}\n{\"id\":\"d\"}";
        for piece in [1, 2, 7, text.len()] {
            let parsed = lines(text, piece).unwrap();
            let ids: Vec<&str> = parsed.changes.iter().map(|change| change.id().as_str()).collect();
            assert_eq!(ids, ["a", "b", "c", "d"]);
            assert_eq!(parsed.numbers.0, [(1, "/put"), (3, "/delete"), (4, "/put"), (5, "")]);
            assert!(parsed.errors.is_empty());
        }
    }

    #[test]
    fn every_fault_has_its_line_and_pointer() {
        let text = br#"{"put":{"id":"a","allowed_domains":["*","ok.example","a b"]}}
nonsense
{"put":{"id":"fine"}}
{"delete":{"id":"no id"}}
{"delete":{"id":"d","revison":7}}
{"put":{"id":"a"},"delete":{"id":"a"}}
{"drop":{"id":"a"}}
[]"#;
        let parsed = lines(text, 13).unwrap();
        let told: Vec<(usize, &str, &str)> =
            parsed.errors.iter().map(|part| (part.line.unwrap(), &*part.pointer, part.code)).collect();
        assert_eq!(told[0].0, 1);
        assert_eq!((told[0].1, told[1].1), ("/put/allowed_domains/0", "/put/allowed_domains/2"));
        assert_eq!(told[2], (2, "", "invalid_json"));
        assert_eq!(told[3], (4, "/delete/id", "invalid_id"));
        let lines: Vec<usize> = told.iter().map(|(line, ..)| *line).collect();
        assert_eq!(lines, [1, 1, 2, 4, 5, 6, 7, 8]);
        assert_eq!(parsed.numbers.0, [(3, "/put")]);
    }

    #[test]
    fn too_many_or_too_long_lines_are_too_large() {
        let text = b"{\"delete\":{\"id\":\"a\",\"revision\":7}}\n";
        assert_eq!(lines(&text.repeat(MOST_LINES), 65_536).unwrap().changes.len(), MOST_LINES);
        assert!(lines(&text.repeat(MOST_LINES + 1), 65_536).is_err());
        assert!(lines(&vec![b' '; LONGEST_LINE + 1], 65_536).is_err());
    }
}
