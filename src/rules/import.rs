//! Bulk import of documents and deletions: one a line (NDJSON), in chunks, each of which is one transaction.
//!
//! The input is checked as a whole first, and the brake asked by what all of it would do. An import that was interrupted
//! is run again: what is there already is unchanged. A line with a fault stops the writing, not the reading, so that all
//! faults are told at once.

use std::io::BufRead;
use std::mem;

use serde::Serialize;

pub use self::error::{ImportError, LineFault};
use self::lines::{LinePlace, Piece, for_each_piece};
use super::book::{PreparedChange, RuleBook};
use super::brake;
use super::change::{Actor, ApplyOptions, Outcome};
use super::error::{RuleFault, SaveError, WideChange};
use super::fingerprint::FingerprintKey;
use super::publisher::Publisher;
use embedgate_policy::suffix::PublicSuffixes;

mod error;
mod lines;

/// Pieces of one transaction: 10,000 lines, or fewer long ones.
const CHUNK_PIECES: usize = 10;
/// Faults that are kept; the rest is counted.
const FAULTS_KEPT: usize = 1000;

/// Report of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// Documents and deletions read.
    pub documents: u64,
    /// Widgets that were not there before.
    pub created: u64,
    /// Widgets that have another document now, or the same with a higher revision.
    pub updated: u64,
    /// Widgets that are gone.
    pub deleted: u64,
    /// Documents that were there already, and deletions of what was gone.
    pub unchanged: u64,
    /// How many faults there are; with any, what comes after the first of them was not written.
    pub faults: u64,
    /// The first thousand faults.
    pub errors: Vec<LineFault>,
}

/// Import that was checked, and not made.
#[derive(Clone, Debug)]
pub struct CheckedImport {
    /// What an import would report.
    pub report: ImportReport,
    /// What it would do to the widgets that are there.
    pub wide: WideChange,
    /// How many widgets a single chunk touches at most; more than all of them, if others touch them again.
    pub most_of_a_chunk: usize,
    /// Whether so much has to be confirmed.
    needs_confirmation: bool,
}

impl CheckedImport {
    /// What has to be confirmed before it may be made. `confirmed`: how many widgets it may touch, as somebody has said.
    pub fn held(&self, confirmed: Option<usize>) -> Option<WideChange> {
        let passes = !self.needs_confirmation || confirmed.is_some_and(|most| self.wide.confirm <= most);
        (!passes).then_some(self.wide)
    }
}

/// Writes the documents through `publisher`, which nobody else writes to. A new store has its name from the first chunk
/// on. `confirmed`: how many widgets each chunk may touch at most where that is many, as [`check`] has counted. `progress`
/// is told the bytes read so far.
///
/// # Errors
///
/// Where the documents can't be read, or a chunk can't be saved for another reason than its faults, which the report
/// tells. What was written until then stays.
pub fn import(
    publisher: &Publisher,
    documents: impl BufRead + Send,
    suffixes: &PublicSuffixes,
    confirmed: Option<usize>,
    progress: impl FnMut(u64),
) -> Result<ImportReport, ImportError> {
    let mut report = ImportReport::default();
    read(documents, suffixes, publisher.key(), &mut report, progress, |changes| {
        let (options, actor) = (ApplyOptions::default(), Actor::CommandLine);
        let published = publisher.apply_prepared(changes, options, confirmed, actor)?;
        // A second run is to find what this one has written.
        publisher.establish()?;
        Ok(published.outcomes)
    })?;
    Ok(report)
}

/// What [`import`] would do, with every fault, and nothing written.
///
/// # Errors
///
/// Where the documents can't be read.
pub fn check(
    publisher: &Publisher,
    documents: impl BufRead + Send,
    suffixes: &PublicSuffixes,
    progress: impl FnMut(u64),
) -> Result<CheckedImport, ImportError> {
    let mut report = ImportReport::default();
    let before = publisher.live().load_full();
    let (mut book, mut most_of_a_chunk) = (RuleBook::clone(&before), 0);
    read(documents, suffixes, book.key(), &mut report, progress, |changes| {
        let applied = book.take(changes, ApplyOptions::default());
        let applied = applied.map_err(|rejections| SaveError::Invalid(rejections.into_iter().collect()))?;
        most_of_a_chunk = most_of_a_chunk.max(brake::touched(&book, &applied).confirm);
        book = applied.book;
        Ok(applied.outcomes)
    })?;
    let wide = brake::between(&before, &book);
    let needs_confirmation = brake::is_wide(&wide, publisher.brake());
    Ok(CheckedImport { report, wide, most_of_a_chunk, needs_confirmation })
}

/// Writes each chunk while the next ones are read and parsed.
fn read(
    documents: impl BufRead + Send,
    suffixes: &PublicSuffixes,
    key: FingerprintKey,
    report: &mut ImportReport,
    mut progress: impl FnMut(u64),
    mut write: impl FnMut(Vec<PreparedChange>) -> Result<Vec<Outcome>, SaveError>,
) -> Result<(), ImportError> {
    let mut write = |chunk: Piece| {
        let Piece { bytes, lines, changes, faults } = chunk;
        report.documents += (lines.len() + faults.len()) as u64;
        report.tell(faults);
        if report.faults == 0 {
            match write(changes) {
                Ok(outcomes) => outcomes.iter().for_each(|outcome| report.count(outcome)),
                Err(SaveError::Invalid(faults)) => {
                    report.tell(faults.into_iter().map(|fault| on_line(fault, &lines)).collect());
                }
                Err(error) => return Err(ImportError::from(error)),
            }
        }
        progress(bytes);
        Ok(())
    };
    let (mut chunk, mut pieces) = (Piece::default(), 0);
    for_each_piece(documents, suffixes, key, |piece| {
        chunk.bytes = piece.bytes;
        chunk.lines.extend(piece.lines);
        chunk.changes.extend(piece.changes);
        chunk.faults.extend(piece.faults);
        pieces += 1;
        if pieces % CHUNK_PIECES == 0 { write(mem::take(&mut chunk)) } else { Ok(()) }
    })?;
    write(chunk)
}

fn on_line(fault: RuleFault, lines: &[LinePlace]) -> LineFault {
    let place = fault.index.and_then(|index| lines.get(index));
    let (line, pointer) = place.map_or((0, ""), |place| (place.line, place.pointer));
    LineFault { line, pointer: format!("{pointer}{}", fault.pointer), code: fault.code, detail: fault.detail }
}

impl ImportReport {
    fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Created { .. } => self.created += 1,
            Outcome::Updated { .. } => self.updated += 1,
            Outcome::Deleted { .. } => self.deleted += 1,
            Outcome::Unchanged { .. } | Outcome::Skipped { .. } => self.unchanged += 1,
        }
    }

    fn tell(&mut self, faults: Vec<LineFault>) {
        self.faults += faults.len() as u64;
        let room = FAULTS_KEPT.saturating_sub(self.errors.len());
        self.errors.extend(faults.into_iter().take(room));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use std::fmt::Write as _;

    use super::*;
    use crate::rules::fixtures::{Notebook, put};
    use crate::rules::live::LiveRules;
    use crate::rules::source::SourceKind;
    use embedgate_policy::widget::MAX_DOCUMENT_BYTES;

    const CHUNK_LINES: usize = 10_000;

    fn publisher() -> Publisher {
        Publisher::new(LiveRules::new(), SourceKind::STORE, "")
    }

    fn run(publisher: &Publisher, lines: &str) -> ImportReport {
        import(publisher, lines.as_bytes(), PublicSuffixes::shipped(), None, |_| {}).unwrap()
    }

    fn lines(count: usize) -> String {
        let mut lines = String::new();
        for n in 0..count {
            writeln!(lines, r#"{{"id":"w{n}","allowed_domains":["w{n}.example.com"]}}"#).unwrap();
        }
        lines
    }

    #[test]
    fn it_goes_in_chunks_and_again_changes_nothing() {
        let notebook = Notebook::new();
        let publisher = publisher().with_observer(notebook.clone());
        let lines = lines(2 * CHUNK_LINES + 5);
        let report = run(&publisher, &lines);
        let all = 2 * CHUNK_LINES as u64 + 5;
        assert_eq!((report.documents, report.created, report.unchanged, report.faults), (all, all, 0, 0));
        assert_eq!(notebook.generations(), [1, 2, 3]);
        let again = run(&publisher, &lines);
        assert_eq!((again.created, again.updated, again.unchanged), (0, 0, all));
        assert_eq!(notebook.generations(), [1, 2, 3]);
    }

    #[test]
    fn every_fault_names_its_line_and_nothing_after_the_first_is_written() {
        let publisher = publisher();
        publisher
            .apply(vec![put("shut", &["a.example"], "")], ApplyOptions::default(), Actor::CommandLine)
            .unwrap();
        let text =
            "{\"id\":\"a\"}\r\n\n{\"id\":\"b\",\"allowed_domains\":[\"*\",\"x y\"]}\n{\n{\"id\":\"c\"}";
        let report = run(&publisher, text);
        let told: Vec<(u64, &str)> =
            report.errors.iter().map(|fault| (fault.line, fault.pointer.as_str())).collect();
        assert_eq!(told, [(3, "/allowed_domains/0"), (3, "/allowed_domains/1"), (4, "")]);
        assert!(
            report.errors[0].to_string().starts_with("line 3: /allowed_domains/0: "),
            "{}",
            report.errors[0]
        );
        assert_eq!((report.faults, publisher.live().load().len()), (3, 1));

        let report = run(&publisher, "\n{\"id\":\"a\"}\n{\"id\":\"shut\"}\n");
        assert_eq!((report.errors[0].line, report.errors[0].code), (3, "would_open_widget"));
        assert_eq!(publisher.live().load().len(), 1);
    }

    fn checked(publisher: &Publisher, text: &str) -> CheckedImport {
        check(publisher, text.as_bytes(), PublicSuffixes::shipped(), |_| {}).unwrap()
    }

    #[test]
    fn a_check_finds_the_same_and_writes_nothing() {
        let publisher = publisher();
        let check = |text: &str| checked(&publisher, text).report;
        let fine = lines(CHUNK_LINES + 5);
        assert_eq!(check(&fine).created, CHUNK_LINES as u64 + 5);
        // Against an earlier line of the same file, in another chunk.
        let report = check(&(fine + "{\"id\":\"w0\"}\n"));
        assert_eq!(
            (report.errors[0].line, report.errors[0].code),
            (CHUNK_LINES as u64 + 6, "would_open_widget")
        );
        assert_eq!(publisher.live().load().len(), 0);
    }

    #[test]
    fn deletions_are_lines_too_and_faults_have_their_place_in_the_line() {
        let publisher = publisher();
        run(&publisher, &lines(2));
        let report = run(&publisher, "{\"delete\":{\"id\":\"w0\"}}\n{\"put\":{\"id\":\"new\"}}\n");
        assert_eq!((report.documents, report.created, report.deleted), (2, 1, 1));
        let report = run(&publisher, "{\"put\":{\"id\":\"w1\"}}\n{\"delete\":{\"id\":\"nobody\"}}\n");
        let told: Vec<(u64, &str, &str)> =
            report.errors.iter().map(|fault| (fault.line, fault.pointer.as_str(), fault.code)).collect();
        assert_eq!(told, [(1, "/put", "would_open_widget"), (2, "/delete", "unknown_widget")]);
        assert_eq!(publisher.live().load().len(), 2);
    }

    /// The brake is asked by what the whole input does, in whichever chunks.
    #[test]
    fn a_wide_import_is_held_as_a_whole() {
        let publisher = publisher();
        run(&publisher, &lines(3 * CHUNK_LINES));
        let off = |count: usize, at: usize| {
            lines(count)
                .lines()
                .map(|line| line.replace('}', ",\"enabled\":false}") + "\n")
                .skip(at)
                .collect::<String>()
        };
        let tenth = 3 * CHUNK_LINES / 10;
        assert_eq!(checked(&publisher, &off(tenth, 0)).held(None), None);
        // Each chunk alone would pass.
        let filler =
            lines(3 * CHUNK_LINES).lines().skip(2 * tenth).take(CHUNK_LINES).collect::<Vec<_>>().join("\n");
        let wide = off(tenth, 0) + &filler + "\n" + &off(tenth + 1, tenth);
        let found = checked(&publisher, &wide);
        let expected = WideChange {
            widgets: 3 * CHUNK_LINES,
            disabled: tenth + 1,
            confirm: tenth + 1,
            ..WideChange::default()
        };
        assert_eq!(found.held(None), Some(expected));
        assert_eq!(found.held(Some(tenth)), Some(expected));
        assert_eq!(found.held(Some(tenth + 1)), None);
        assert_eq!(publisher.live().load().generation(), 3);
        let import =
            |confirmed| import(&publisher, wide.as_bytes(), PublicSuffixes::shipped(), confirmed, |_| {});
        assert_eq!(import(Some(tenth + 1)).unwrap().updated, tenth as u64 + 1);
        // What is off and on again in another chunk is no change, and the chunks pass.
        let on = lines(3 * CHUNK_LINES);
        let text = on.replace('}', ",\"enabled\":false}") + &on;
        let found = checked(&publisher, &text);
        assert_eq!((found.wide.confirm, found.held(None)), (0, None));
        let most = Some(found.most_of_a_chunk);
        let report =
            super::import(&publisher, text.as_bytes(), PublicSuffixes::shipped(), most, |_| {}).unwrap();
        assert_eq!((report.documents, report.faults), (6 * CHUNK_LINES as u64, 0));
        // A chunk that does more than was checked.
        let all = lines(3 * CHUNK_LINES).replace('}', ",\"enabled\":false}");
        let held = super::import(&publisher, all.as_bytes(), PublicSuffixes::shipped(), Some(9), |_| {});
        assert!(held.unwrap_err().to_string().contains("--confirm"), "it is told what to do");
    }

    #[test]
    fn a_line_that_is_too_long_is_a_fault() {
        let long = format!(r#"{{"id":"a","labels":{{"k":"{}"}}}}"#, "x".repeat(MAX_DOCUMENT_BYTES));
        let report = run(&publisher(), &long);
        assert_eq!((report.errors[0].line, report.errors[0].code), (1, "document_too_large"));
    }
}
