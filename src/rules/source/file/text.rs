//! Text of a rules file, and positions in it.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use crate::rules::error::FilePosition;
use embedgate_policy::json_position::Position;

/// Text of one rules file as it was read.
#[derive(Debug)]
pub(super) struct RulesText {
    pub(super) file: Arc<Path>,
    pub(super) text: String,
    /// Where the lines begin: found once a file turns out to have faults, however many.
    line_starts: OnceLock<Vec<usize>>,
}

impl RulesText {
    pub(super) fn new(file: Arc<Path>, text: String) -> Self {
        Self { file, text, line_starts: OnceLock::new() }
    }

    /// Byte offset of `part`, which must be borrowed from this text; the end of it otherwise.
    pub(super) fn offset_of(&self, part: &str) -> usize {
        let offset = part.as_ptr().addr().wrapping_sub(self.text.as_ptr().addr());
        offset.min(self.text.len())
    }

    /// The position of the byte at `offset`.
    pub(super) fn place(&self, offset: usize) -> FilePosition {
        let line = self.line_of(offset);
        let before = self.text.get(self.start_of(line)..offset).unwrap_or_default();
        FilePosition::new(&self.file, Position { line, column: before.chars().count() + 1 })
    }

    /// Where serde_json says it stumbled: its columns count bytes, within the part it was reading.
    pub(super) fn place_of_error(&self, part_offset: usize, error: &serde_json::Error) -> FilePosition {
        let first = self.line_of(part_offset);
        let line = first + error.line().saturating_sub(1);
        let start = if line == first { part_offset } else { self.start_of(line) };
        let mut offset = (start + error.column().saturating_sub(1)).min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        self.place(offset)
    }

    /// The position in the file of a position within the part of the text that begins at `part_offset`.
    pub(super) fn place_within(&self, part_offset: usize, inner: Position) -> FilePosition {
        let part = self.place(part_offset);
        let column = if inner.line == 1 { part.column + inner.column - 1 } else { inner.column };
        FilePosition { line: part.line + inner.line - 1, column, ..part }
    }

    fn line_of(&self, offset: usize) -> usize {
        self.line_starts().partition_point(|start| *start <= offset)
    }

    fn start_of(&self, line: usize) -> usize {
        let start = line.checked_sub(1).and_then(|index| self.line_starts().get(index));
        start.copied().unwrap_or(self.text.len())
    }

    fn line_starts(&self) -> &[usize] {
        self.line_starts.get_or_init(|| {
            std::iter::once(0).chain(self.text.match_indices('\n').map(|(at, _)| at + 1)).collect()
        })
    }
}

/// serde_json's message without the place, which is said elsewhere.
pub(super) fn message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn places_count_lines_and_characters() {
        let source = RulesText::new(Path::new("w.json").into(), "ä b\n\n  cd".into());
        let at = |offset| {
            let place = source.place(offset);
            (place.line, place.column)
        };
        assert_eq!([at(0), at(3), at(5), at(8), at(9)], [(1, 1), (1, 3), (2, 1), (3, 3), (3, 4)]);
        assert_eq!(at(source.text.len()), (3, 5));
        let within = source.place_within(8, Position { line: 1, column: 2 });
        assert_eq!((within.line, within.column), (3, 4));
        let within = source.place_within(3, Position { line: 3, column: 4 });
        assert_eq!((within.line, within.column), (3, 4));
    }

    #[test]
    fn places_of_syntax_errors_are_those_of_the_file() {
        let source = RulesText::new(Path::new("w.json").into(), "{\"ä\": 1,\n  x}".into());
        let error = serde_json::from_str::<serde_json::Value>(&source.text).unwrap_err();
        let place = source.place_of_error(0, &error);
        assert_eq!((place.line, place.column), (2, 3));
        assert_eq!(message(&error), "key must be a string");
    }
}
