//! Lines read, parsed and prepared on all cores, and handed on in their order. Each worker lives as long as the import
//! and reads its lines itself, so that it frees what it has allocated.

use std::collections::BTreeMap;
use std::io::{self, BufRead};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use parking_lot::Mutex;

use super::error::{ImportError, LineFault};
use crate::rules::book::PreparedChange;
use crate::rules::fingerprint::FingerprintKey;
use crate::rules::lines::{LONGEST_LINE, LineChange, parse_line};
use embedgate_policy::suffix::PublicSuffixes;

/// Lines that a worker takes at a time.
const PIECE_LINES: usize = 1000;
/// Bytes after which a piece is full with fewer.
const PIECE_BYTES: usize = 800 << 10;

/// Piece of the input: some lines, prepared.
#[derive(Default)]
pub(super) struct Piece {
    /// Bytes read when it ends.
    pub(super) bytes: u64,
    /// Where each change stands.
    pub(super) lines: Vec<LinePlace>,
    pub(super) changes: Vec<PreparedChange>,
    pub(super) faults: Vec<LineFault>,
}

/// Place of a change in the input.
#[derive(Clone, Copy)]
pub(super) struct LinePlace {
    /// The line, from 1.
    pub(super) line: u64,
    /// Where in the line: a JSON Pointer.
    pub(super) pointer: &'static str,
}

/// Hands every piece of `documents` to `take`, in their order, until that fails.
pub(super) fn for_each_piece(
    documents: impl BufRead + Send,
    suffixes: &PublicSuffixes,
    key: FingerprintKey,
    mut take: impl FnMut(Piece) -> Result<(), ImportError>,
) -> Result<(), ImportError> {
    let source = Mutex::new(LineSource { documents, line: 0, bytes: 0, pieces: 0, at_end: false });
    let workers = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    thread::scope(|scope| {
        let (send, pieces): (SyncSender<NumberedPiece>, Receiver<NumberedPiece>) = sync_channel(2 * workers);
        for _ in 0..workers {
            let (source, send) = (&source, send.clone());
            scope.spawn(move || work(source, suffixes, key, &send));
        }
        drop(send);
        let (mut early, mut next) = (BTreeMap::new(), 0);
        for (number, piece) in pieces {
            early.insert(number, piece);
            while let Some(piece) = early.remove(&next) {
                take(piece?)?;
                next += 1;
            }
        }
        Ok(())
    })
}

/// Piece with its number in the order.
type NumberedPiece = (u64, io::Result<Piece>);

/// Ends when everything is read, or nobody listens any more.
fn work<R: BufRead>(
    source: &Mutex<LineSource<R>>,
    suffixes: &PublicSuffixes,
    key: FingerprintKey,
    send: &SyncSender<NumberedPiece>,
) {
    let mut text = PieceText::default();
    loop {
        let taken = source.lock().take(&mut text);
        let Some((number, read)) = taken else { return };
        let piece = read.map(|bytes| Piece { bytes, ..parse(&text, suffixes, key) });
        if send.send((number, piece)).is_err() {
            return;
        }
    }
}

fn parse(text: &PieceText, suffixes: &PublicSuffixes, key: FingerprintKey) -> Piece {
    let mut piece = Piece::default();
    for (line, document) in text.lines() {
        match parse_line(document, suffixes) {
            Ok(LineChange { change, place }) => {
                piece.lines.push(LinePlace { line, pointer: place });
                piece.changes.push(PreparedChange::new(change, key));
            }
            Err(found) => piece.faults.extend(found.into_iter().map(|fault| LineFault {
                line,
                pointer: fault.pointer,
                code: fault.code,
                detail: fault.detail,
            })),
        }
    }
    piece
}

/// Text of a piece: lines that aren't blank, each with its number.
#[derive(Default)]
struct PieceText {
    bytes: Vec<u8>,
    lines: Vec<(u64, Range<usize>)>,
}

impl PieceText {
    fn lines(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.lines.iter().filter_map(|(line, range)| Some((*line, self.bytes.get(range.clone())?)))
    }
}

/// Input that the workers take pieces from in turn.
struct LineSource<R> {
    documents: R,
    /// Read so far.
    line: u64,
    bytes: u64,
    pieces: u64,
    at_end: bool,
}

impl<R: BufRead> LineSource<R> {
    /// The next piece's text in the place of what is there: its number, and the bytes read when it ends.
    fn take(&mut self, text: &mut PieceText) -> Option<(u64, io::Result<u64>)> {
        if self.at_end {
            return None;
        }
        let number = self.pieces;
        self.pieces += 1;
        let read = self.fill(text);
        self.at_end |= read.is_err();
        Some((number, read.map(|()| self.bytes)))
    }

    fn fill(&mut self, text: &mut PieceText) -> io::Result<()> {
        text.bytes.clear();
        text.lines.clear();
        while text.lines.len() < PIECE_LINES && text.bytes.len() < PIECE_BYTES {
            let from = text.bytes.len();
            match read_line(&mut self.documents, &mut text.bytes)? {
                0 => {
                    self.at_end = true;
                    break;
                }
                read => {
                    self.line += 1;
                    self.bytes += read;
                    if text.bytes.get(from..).is_none_or(|line| line.trim_ascii().is_empty()) {
                        text.bytes.truncate(from);
                    } else {
                        text.lines.push((self.line, from..text.bytes.len()));
                    }
                }
            }
        }
        Ok(())
    }
}

/// One line behind what is there, without keeping more of it than makes it too long. The number of its bytes, 0 at
/// the end.
fn read_line(documents: &mut impl BufRead, text: &mut Vec<u8>) -> io::Result<u64> {
    let (mut read, most) = (0, text.len() + LONGEST_LINE + 3);
    loop {
        let part = documents.fill_buf()?;
        if part.is_empty() {
            return Ok(read);
        }
        let end = memchr::memchr(b'\n', part);
        let used = end.map_or(part.len(), |end| end + 1);
        let kept = used.min(most.saturating_sub(text.len()));
        text.extend_from_slice(part.get(..kept).unwrap_or_default());
        documents.consume(used);
        read += used as u64;
        if end.is_some() {
            return Ok(read);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_line_without_an_end_does_not_fill_the_memory() {
        let mut endless = io::BufReader::new(io::Read::take(io::repeat(b' '), 1 << 30));
        let mut text = Vec::new();
        assert_eq!(read_line(&mut endless, &mut text).unwrap(), 1 << 30);
        assert!(text.len() <= LONGEST_LINE + 3);
    }

    #[test]
    fn pieces_come_in_the_order_of_their_lines() {
        let lines: String = (0..20_500).map(|n| format!("{{\"id\":\"w{n}\"}}\n\n")).collect();
        let (mut seen, mut bytes) = (Vec::new(), 0);
        for_each_piece(lines.as_bytes(), PublicSuffixes::shipped(), FingerprintKey(1, 2), |piece| {
            assert!(piece.bytes > bytes && piece.lines.len() <= PIECE_LINES);
            bytes = piece.bytes;
            seen.extend(piece.lines.into_iter().map(|place| place.line));
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, (0..20_500).map(|n| 2 * n + 1).collect::<Vec<u64>>());
        assert_eq!(bytes, lines.len() as u64);
    }
}
