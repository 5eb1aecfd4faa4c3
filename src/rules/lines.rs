//! Lines of documents and changes (NDJSON): the one form that batches and imports read, and that exports write.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::change::Change;
use super::error::RuleFault;
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::{DocumentFault, MAX_DOCUMENT_BYTES, Widget, WidgetId};

/// Longest line, in bytes: a document and what is around it.
pub const LONGEST_LINE: usize = MAX_DOCUMENT_BYTES + 1024;

/// What a line has to be.
const WANTED: &str =
    r#"a line is a widget's document, {"put": {...}} or {"delete": {"id": "...", "revision": 7}}"#;

/// Change that a line asks for.
#[derive(Debug)]
pub struct LineChange {
    /// The change.
    pub change: Change,
    /// Where in the line the document or the deletion stands: a JSON Pointer (RFC 6901), empty for the line itself.
    pub place: &'static str,
}

/// The change of one line. A document by itself is to be saved, as under `put`.
///
/// # Errors
///
/// Everything that is wrong with the line, each with its place in it.
pub fn parse_line(line: &[u8], suffixes: &PublicSuffixes) -> Result<LineChange, Vec<RuleFault>> {
    let line = line.trim_ascii();
    if has_verb_first(line) && line.len() <= LONGEST_LINE {
        return change(line, suffixes);
    }
    match Widget::parse(line, suffixes) {
        Ok(widget) => Ok(LineChange { change: Change::put(widget), place: "" }),
        Err(faults) if is_document(line) => Err(faults.into_iter().map(|fault| located("", fault)).collect()),
        Err(_) => change(line, suffixes),
    }
}

/// Whether the first key says what to do, so that the line need not be read as a document.
fn has_verb_first(line: &[u8]) -> bool {
    let inner = line.strip_prefix(b"{").unwrap_or_default().trim_ascii_start();
    inner.starts_with(b"\"put\"") || inner.starts_with(b"\"delete\"")
}

/// Whether a line that is no good document was meant to be one.
fn is_document(line: &[u8]) -> bool {
    if line.len() > LONGEST_LINE {
        return true;
    }
    match serde_json::from_slice::<HashMap<String, &RawValue>>(line) {
        Ok(members) => {
            let is_verb = members.contains_key("put") || members.contains_key("delete");
            let is_alone = members.len() == 1 && members.values().all(|value| value.get().starts_with('{'));
            !is_verb && !is_alone
        }
        Err(error) => !error.is_data() && line.starts_with(b"{"),
    }
}

/// A line that says what to do.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum VerbLine<'l> {
    #[serde(borrow)]
    Put(&'l RawValue),
    Delete(DeletionLine),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeletionLine {
    id: String,
    revision: Option<u64>,
}

fn change(line: &[u8], suffixes: &PublicSuffixes) -> Result<LineChange, Vec<RuleFault>> {
    let verb = serde_json::from_slice(line).map_err(|error| {
        let code = if error.is_data() { "invalid_line" } else { "invalid_json" };
        vec![fault(String::new(), code, format!("{error}; {WANTED}"))]
    })?;
    match verb {
        VerbLine::Put(document) => Widget::parse(document.get().as_bytes(), suffixes)
            .map(|widget| LineChange { change: Change::put(widget), place: "/put" })
            .map_err(|faults| faults.into_iter().map(|fault| located("/put", fault)).collect()),
        VerbLine::Delete(DeletionLine { id, revision }) => WidgetId::parse(&id)
            .map(|id| LineChange { change: Change::delete(id, revision), place: "/delete" })
            .map_err(|error| vec![fault("/delete/id".into(), "invalid_id", error.to_string())]),
    }
}

fn located(place: &str, DocumentFault { pointer, code, detail, .. }: DocumentFault) -> RuleFault {
    fault(format!("{place}{pointer}"), code, detail)
}

fn fault(pointer: String, code: &'static str, detail: String) -> RuleFault {
    RuleFault { index: None, widget: None, place: None, pointer, code, detail }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    fn told(line: &str) -> Vec<(String, &'static str)> {
        match parse_line(line.as_bytes(), PublicSuffixes::shipped()) {
            Ok(line) => panic!("{line:?}"),
            Err(faults) => faults.into_iter().map(|fault| (fault.pointer, fault.code)).collect(),
        }
    }

    #[test]
    fn a_line_is_a_document_or_says_what_to_do() {
        for (line, place, id) in [
            (r#"{"id":"a"}"#, "", "a"),
            (r#" { "allowed_domains": ["a.example"], "id": "a" }"#, "", "a"),
            (r#"{"put":{"id":"a"}}"#, "/put", "a"),
            ("\t{ \"put\" : {\"id\":\"a\"} } \r", "/put", "a"),
            (r#"{"p\u0075t":{"id":"a"}}"#, "/put", "a"),
            (r#"{"delete":{"id":"put"}}"#, "/delete", "put"),
            (r#"{"delete":{"revision":7,"id":"d"}}"#, "/delete", "d"),
        ] {
            let parsed = parse_line(line.as_bytes(), PublicSuffixes::shipped()).unwrap();
            assert_eq!((parsed.place, parsed.change.id().as_str()), (place, id), "{line}");
            assert_eq!(matches!(parsed.change, Change::Delete { .. }), place == "/delete", "{line}");
        }
    }

    #[test]
    fn every_fault_has_its_place_and_code() {
        let of = |pointer: &str, code| vec![(pointer.to_owned(), code)];
        for (line, expected) in [
            ("nonsense", of("", "invalid_json")),
            ("{", of("", "invalid_json")),
            (r#"{"id":"a""#, of("", "invalid_json")),
            (r#"{"put":{"id":"a"}"#, of("", "invalid_json")),
            ("[]", of("", "invalid_json")),
            ("7", of("", "invalid_json")),
            (r#"{"drop":{"id":"a"}}"#, of("", "invalid_line")),
            (r#"{"put":{"id":"a"},"delete":{"id":"a"}}"#, of("", "invalid_json")),
            (r#"{"id":"a","put":{"id":"a"}}"#, of("", "invalid_line")),
            (r#"{"put":{"id":"a"},"put":{"id":"a"}}"#, of("", "invalid_json")),
            (r#"{"delete":{"id":"d","revison":7}}"#, of("", "invalid_line")),
            (r#"{"delete":{"id":"no id"}}"#, of("/delete/id", "invalid_id")),
            (r#"{"put":{"id":"no id"}}"#, of("/put/id", "invalid_id")),
        ] {
            assert_eq!(told(line), expected, "{line}");
        }
        for (line, place) in [
            ("{}", ""),
            (r#"{"allowed_domains":["a.example"]}"#, ""),
            (r#"{"put":7}"#, "/put"),
            (r#"{"id":"a","allowed_domains":["*"]}"#, "/allowed_domains/0"),
        ] {
            let told = told(line);
            assert_eq!((told.len(), told[0].0.as_str()), (1, place), "{line}: {told:?}");
        }
        let two = told(r#"{"put":{"id":"a","allowed_domains":["*","ok.example","a b"]}}"#);
        let places: Vec<&str> = two.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(places, ["/put/allowed_domains/0", "/put/allowed_domains/2"]);
    }

    #[test]
    fn a_line_that_is_too_long_is_one_fault_however_it_is_cut() {
        for (before, after) in [("{\"put\":", "}"), ("", "")] {
            let long = "x".repeat(LONGEST_LINE);
            let whole = format!(r#"{before}{{"id":"a","labels":{{"k":"{long}"}}}}{after}"#);
            for line in [&whole[..], &whole[..LONGEST_LINE + 1]] {
                assert_eq!(told(line), [(String::new(), "document_too_large")]);
            }
        }
    }
}
