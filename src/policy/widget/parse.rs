//! From JSON bytes to a [`Widget`]: first the shape, then everything that the shape can't say.

use std::collections::hash_map::{Entry as Slot, HashMap};

use jiff::Timestamp;

use super::{Capability, Fault, MAX_DOCUMENT_BYTES, MAX_ENTRIES, Rule, Widget, WidgetId};
use crate::policy::entry::{Entry, EntryError};
use crate::policy::suffix::PublicSuffixes;

mod shape;

use shape::{Document, Line};

pub(super) fn widget(json: &[u8], suffixes: &PublicSuffixes) -> Result<Widget, Vec<Fault>> {
    if json.len() > MAX_DOCUMENT_BYTES {
        let detail = format!(
            "the document has {} bytes of the {MAX_DOCUMENT_BYTES} (256 KiB) that are allowed; shorten the list, \
             for example with `*.` entries",
            json.len()
        );
        return Err(vec![Fault { pointer: String::new(), code: "document_too_large", detail }]);
    }
    let document = shape::read(json).map_err(|fault| vec![fault])?;
    let mut faults = Vec::new();
    let id = WidgetId::parse(&document.id)
        .map_err(|error| {
            let detail = format!("{error}; `{}` isn't", document.id.escape_debug());
            faults.push(Fault { pointer: "/id".to_owned(), code: "invalid_id", detail });
        })
        .ok();
    let allowed_domains = rules(&document, suffixes, &mut faults);
    let Some(id) = id else { return Err(faults) };
    let widget = Widget {
        id,
        environment: document.environment.unwrap_or_default(),
        access: document.access,
        enabled: document.enabled.unwrap_or(true),
        allowed_domains,
        capabilities: document.capabilities,
        public_trust_center: document.public_trust_center.unwrap_or(true),
        labels: document.labels,
        revision: document.revision,
    };
    if faults.is_empty() { Ok(widget) } else { Err(faults) }
}

/// Every entry that is in order, and a fault for each that isn't.
fn rules(document: &Document, suffixes: &PublicSuffixes, faults: &mut Vec<Fault>) -> Vec<Rule> {
    let lines = &document.allowed_domains;
    if lines.len() > MAX_ENTRIES {
        let detail = format!(
            "{} entries of the {MAX_ENTRIES} that are allowed; cover sub-domains with `*.` entries, or split the widget",
            lines.len()
        );
        faults.push(Fault { pointer: "/allowed_domains".to_owned(), code: "too_many_entries", detail });
    }
    let voice = document.capabilities.contains(&Capability::Voice);
    let mut seen: HashMap<Entry, String> = HashMap::with_capacity(lines.len());
    let mut rules = Vec::with_capacity(lines.len());
    // Of a list that is too long anyway, no more faults than of the longest.
    for (index, line) in lines.iter().enumerate().take(MAX_ENTRIES) {
        let Some(rule) = rule(index, line, suffixes, faults) else { continue };
        let pointer = pattern_pointer(index, line);
        match seen.entry(rule.entry.semantic()) {
            Slot::Occupied(first) => faults.push(duplicate(pointer.clone(), &rule.entry, first.get())),
            Slot::Vacant(slot) => {
                slot.insert(pointer.clone());
            }
        }
        if voice && rule.is_plain_http() {
            faults.push(insecure_voice(pointer, &rule.entry));
        }
        rules.push(rule);
    }
    rules
}

fn rule(index: usize, line: &Line, suffixes: &PublicSuffixes, faults: &mut Vec<Fault>) -> Option<Rule> {
    let (pattern, expires_at, note) = match line {
        Line::Text(pattern) => (pattern, None, None),
        Line::Object(object) => (&object.pattern, object.expires_at.as_deref(), object.note.clone()),
    };
    let entry = Entry::parse(pattern, suffixes)
        .map_err(|error| faults.push(refused_entry(pattern_pointer(index, line), &error)))
        .ok();
    let expires_at = match expires_at.map(rfc3339) {
        None => None,
        Some(Some(at)) => Some(at),
        Some(None) => {
            faults.push(Fault {
                pointer: format!("/allowed_domains/{index}/expires_at"),
                code: "invalid_expires_at",
                detail: "not a date and time of RFC 3339; write it like `2027-01-31T00:00:00Z`".to_owned(),
            });
            return None;
        }
    };
    Some(Rule { entry: entry?, expires_at, note })
}

fn pattern_pointer(index: usize, line: &Line) -> String {
    match line {
        Line::Text(_) => format!("/allowed_domains/{index}"),
        Line::Object(_) => format!("/allowed_domains/{index}/pattern"),
    }
}

fn refused_entry(pointer: String, error: &EntryError) -> Fault {
    Fault { pointer, code: error.code.as_str(), detail: error.to_string() }
}

fn duplicate(pointer: String, entry: &Entry, first: &str) -> Fault {
    let detail = format!("`{entry}` admits the same origins as {first}; leave one of the two out");
    Fault { pointer, code: "duplicate_entry", detail }
}

fn insecure_voice(pointer: String, entry: &Entry) -> Fault {
    let https = entry.to_string().replacen("http://", "", 1);
    let detail = format!(
        "browsers give a plain-http page no microphone, and this widget has `voice`; serve the site over https and \
         list `{https}`, or take `voice` out of `capabilities`"
    );
    Fault { pointer, code: "insecure_voice", detail }
}

/// A date and time of RFC 3339 §5.6. jiff reads more than that (a space for the `T`, no separators, time zone
/// names), which other readers of the document would not.
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
