//! Parser of widget documents: first the shape, then everything that the shape can't express.

use std::collections::hash_map::{Entry as Slot, HashMap};

use foldhash::quality::RandomState;
use jiff::Timestamp;

use super::{Capability, DocumentFault, MAX_DOCUMENT_BYTES, MAX_ENTRIES, RevisionTooHigh, Widget, WidgetId};
use crate::entry::listed::ListedEntry;
use crate::entry::{Entry, EntryError};
use crate::suffix::PublicSuffixes;

mod fitting;
mod shape;

pub(super) use shape::EntryShape;
#[cfg(test)]
pub(super) use shape::first_fault;

pub(super) fn widget(json: &[u8], suffixes: &PublicSuffixes) -> Result<Widget, Vec<DocumentFault>> {
    if json.len() > MAX_DOCUMENT_BYTES {
        let detail = format!(
            "the document has {} bytes, but at most {MAX_DOCUMENT_BYTES} (256 KiB) are allowed; shorten the list, \
             for example with `*.` entries",
            json.len()
        );
        return Err(vec![DocumentFault { pointer: String::new(), code: "document_too_large", detail }]);
    }
    of_any_size(json, suffixes)
}

/// A document whose size is judged by somebody else, or was once.
pub(super) fn of_any_size(json: &[u8], suffixes: &PublicSuffixes) -> Result<Widget, Vec<DocumentFault>> {
    // Nearly every document fits, so what it takes to find every fault is done only where one does not.
    let Some(document) = shape::read(json) else { return Err(every_fault(json, suffixes)) };
    let mut faults = Vec::new();
    let id = id(&document.id, &mut faults);
    let lines = NumberedLines {
        count: document.allowed_domains.len(),
        has_voice: document.capabilities.contains(&Capability::Voice),
        numbered: document.allowed_domains.iter().enumerate(),
    };
    let allowed_domains = rules(lines, suffixes, &mut faults);
    revision(document.revision, &mut faults);
    let Some(id) = id else { return Err(faults) };
    let widget = document.into_widget(id, allowed_domains);
    if faults.is_empty() { Ok(widget) } else { Err(faults) }
}

/// Every fault of a document whose shape does not fit: those of the shape, and of the values that do.
fn every_fault(json: &[u8], suffixes: &PublicSuffixes) -> Vec<DocumentFault> {
    let (fitting, mut faults) = match fitting::of(json) {
        Ok(found) => found,
        Err(fault) => return vec![fault],
    };
    if let Some(found) = &fitting.id {
        id(found, &mut faults);
    }
    let lines = NumberedLines {
        count: fitting.count,
        has_voice: fitting.has_voice,
        numbered: fitting.lines.iter().map(|(index, line)| (*index, line)),
    };
    rules(lines, suffixes, &mut faults);
    revision(fitting.revision, &mut faults);
    faults
}

fn id(text: &str, faults: &mut Vec<DocumentFault>) -> Option<WidgetId> {
    let refused = |error| {
        let detail = format!("{error}; `{}` is not one", text.escape_debug());
        faults.push(DocumentFault { pointer: "/id".to_owned(), code: "invalid_id", detail });
    };
    WidgetId::parse(text).map_err(refused).ok()
}

fn revision(revision: Option<u64>, faults: &mut Vec<DocumentFault>) {
    if let Err(error) = RevisionTooHigh::check(revision) {
        let detail = error.to_string();
        faults.push(DocumentFault { pointer: "/revision".to_owned(), code: RevisionTooHigh::CODE, detail });
    }
}

/// NumberedLines of `allowed_domains`, each with its number in the document.
struct NumberedLines<I> {
    /// The number of all, also of those that do not fit.
    count: usize,
    /// Whether the widget may ask for the microphone.
    has_voice: bool,
    numbered: I,
}

/// The valid entries; for each invalid one, an error is added.
fn rules<'l, 'j: 'l>(
    lines: NumberedLines<impl Iterator<Item = (usize, &'l EntryShape<'j>)> + Clone>,
    suffixes: &PublicSuffixes,
    faults: &mut Vec<DocumentFault>,
) -> Vec<ListedEntry> {
    let NumberedLines { count, has_voice: voice, numbered } = lines;
    if count > MAX_ENTRIES {
        let detail = format!(
            "{count} entries, but at most {MAX_ENTRIES} are allowed; cover subdomains with `*.` entries, or split the \
             widget"
        );
        faults.push(DocumentFault {
            pointer: "/allowed_domains".to_owned(),
            code: "too_many_entries",
            detail,
        });
    }
    // A list that is too long gets no more errors than the longest valid one.
    let lines = || numbered.clone().take(MAX_ENTRIES);
    let parsed: Vec<(Option<ListedEntry>, Vec<DocumentFault>)> =
        lines().map(|(index, line)| rule(index, line, voice, suffixes)).collect();
    let mut seen = HashMap::with_capacity_and_hasher(parsed.len(), RandomState::default());
    for ((index, line), (rule, found)) in lines().zip(&parsed) {
        faults.extend_from_slice(found);
        let Some(rule) = rule else { continue };
        match seen.entry(rule.entry.meaning()) {
            Slot::Occupied(first) => faults.push(duplicate(index, line, &rule.entry, first.get())),
            Slot::Vacant(slot) => {
                slot.insert((index, line));
            }
        }
        if voice && rule.is_plain_http() {
            let https = rule.entry.over_https();
            let is_https = |other: &ListedEntry| other.entry.meaning() == https.meaning();
            let is_listed = parsed.iter().any(|(other, _)| other.as_ref().is_some_and(is_https));
            faults.push(insecure_voice(pattern_pointer(index, line), &https, is_listed));
        }
    }
    parsed.into_iter().filter_map(|(rule, _)| rule).collect()
}

/// One entry, or all of its errors.
fn rule(
    index: usize,
    line: &EntryShape<'_>,
    voice: bool,
    suffixes: &PublicSuffixes,
) -> (Option<ListedEntry>, Vec<DocumentFault>) {
    let (pattern, expires_at, note) = match line {
        EntryShape::Text(pattern) => (pattern, None, None),
        EntryShape::Object(object) => (&object.pattern, object.expires_at.as_deref(), object.note.as_deref()),
    };
    let mut faults = Vec::new();
    let entry = Entry::parse(pattern, suffixes)
        .map_err(|error| faults.push(refused_entry(pattern_pointer(index, line), &error, voice, suffixes)))
        .ok();
    let at = expires_at.map(rfc3339);
    if at == Some(None) {
        faults.push(DocumentFault {
            pointer: format!("/allowed_domains/{index}/expires_at"),
            code: "invalid_expires_at",
            detail: "not a date and time of RFC 3339; write it like `2027-01-31T00:00:00Z`".to_owned(),
        });
    }
    let entry = entry.filter(|_| faults.is_empty());
    (
        entry.map(|entry| ListedEntry { entry, expires_at: at.flatten(), note: note.map(str::to_owned) }),
        faults,
    )
}

fn pattern_pointer(index: usize, line: &EntryShape<'_>) -> String {
    match line {
        EntryShape::Text(_) => format!("/allowed_domains/{index}"),
        EntryShape::Object(_) => format!("/allowed_domains/{index}/pattern"),
    }
}

fn refused_entry(
    pointer: String,
    error: &EntryError,
    voice: bool,
    suffixes: &PublicSuffixes,
) -> DocumentFault {
    let suggested = error.suggestion.as_deref().filter(|_| voice);
    let suggested = suggested.and_then(|entry| Entry::parse(entry, suffixes).ok());
    let detail = match suggested.filter(Entry::is_plain_http) {
        // The suggested entry would be refused too.
        Some(entry) => format!(
            "{}; use `{}` and serve the site over https: browsers give a plain-http page no microphone, and this widget \
             has `voice`",
            error.detail,
            entry.over_https()
        ),
        None => error.to_string(),
    };
    DocumentFault { pointer, code: error.code.as_str(), detail }
}

fn duplicate(
    index: usize,
    line: &EntryShape<'_>,
    entry: &Entry,
    first: &(usize, &EntryShape<'_>),
) -> DocumentFault {
    let (pointer, first) = (pattern_pointer(index, line), pattern_pointer(first.0, first.1));
    let detail = format!("`{entry}` admits the same origins as {first}; leave one out");
    DocumentFault { pointer, code: "duplicate_entry", detail }
}

/// `https`: the entry of the same site over https, which may be listed already.
fn insecure_voice(pointer: String, https: &Entry, is_listed: bool) -> DocumentFault {
    let instead = if is_listed {
        format!("leave this entry out, because `{https}` is listed already")
    } else {
        format!("list `{https}`")
    };
    let detail = format!(
        "browsers give a plain-http page no microphone, and this widget has `voice`; serve the site over https and \
         {instead}, or remove `voice` from `capabilities`"
    );
    DocumentFault { pointer, code: "insecure_voice", detail }
}

/// Parses a date and time of RFC 3339 §5.6. jiff also accepts other forms (a space for the `T`, no
/// separators, time zone names), which other readers of the document would refuse.
fn rfc3339(text: &str) -> Option<Timestamp> {
    const SHAPE: &[u8] = b"dddd-dd-ddTdd:dd:dd";
    let fits = |(byte, shape): (&u8, &u8)| match shape {
        b'd' => byte.is_ascii_digit(),
        other => byte.eq_ignore_ascii_case(other),
    };
    let (date_time, rest) = text.as_bytes().split_at_checked(SHAPE.len())?;
    let offset = match rest.strip_prefix(b".") {
        Some(fraction) => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                return None;
            }
            fraction.get(digits..)?
        }
        None => rest,
    };
    let offset_fits = match offset {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', rest @ ..] => rest.len() == 5 && rest.iter().zip(b"dd:dd").all(fits),
        _ => false,
    };
    if date_time.iter().zip(SHAPE).all(fits) && offset_fits { text.parse().ok() } else { None }
}
