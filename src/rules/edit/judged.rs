//! Judging of an edited document, by the rules for new ones, except for what was listed already.

use std::cell::LazyCell;
use std::collections::HashSet;

use serde_json::Value;

use crate::rules::documents::{canonical, listed_before, parse_listed};
use embedgate_policy::entry::Entry;
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::{DocumentFault, MAX_DOCUMENT_BYTES, Widget};

/// The widget of an edited document, or every fault of it. An entry of the stored document that has become a public
/// suffix since is no fault, and neither is the size of a document that hasn't grown.
pub(super) fn widget(
    json: &[u8],
    stored: &Widget,
    suffixes: &PublicSuffixes,
) -> Result<Widget, Vec<DocumentFault>> {
    let parsed = Widget::parse_of_any_size(json, suffixes).or_else(|mut faults| {
        let document: Value = serde_json::from_slice(json).unwrap_or_default();
        let listed = LazyCell::new(|| -> HashSet<String> {
            stored.allowed_domains.iter().map(|listed| meaning(&listed.entry)).collect()
        });
        let is_stored = |entry: &Entry| listed.contains(&meaning(entry));
        faults.retain(|fault| !is_listed(fault, &document, is_stored, suffixes));
        if faults.is_empty() { parse_listed(json, suffixes) } else { Err(faults) }
    });
    let mut widget = parsed?;
    let length = canonical(&mut widget).len();
    if length > MAX_DOCUMENT_BYTES && length > canonical(&mut stored.clone()).len() {
        let detail = format!(
            "the document would have {length} bytes, but at most {MAX_DOCUMENT_BYTES} (256 KiB) are allowed; shorten the \
             list, for example with `*.` entries"
        );
        return Err(vec![DocumentFault { pointer: String::new(), code: "document_too_large", detail }]);
    }
    Ok(widget)
}

/// Whether a fault is about an entry that the stored document has, too.
fn is_listed(
    fault: &DocumentFault,
    document: &Value,
    is_stored: impl Fn(&Entry) -> bool,
    suffixes: &PublicSuffixes,
) -> bool {
    let Some((index, "" | "pattern")) = place_in_list(&fault.pointer) else { return false };
    let line = document.get("allowed_domains").and_then(|list| list.get(index));
    let text = line.and_then(|line| line.as_str().or_else(|| line.get("pattern")?.as_str()));
    let entry = text.and_then(|text| listed_before(text, suffixes).ok());
    entry.is_some_and(|entry| is_stored(&entry))
}

/// The entry as text that is equal for two entries that admit the same origins.
pub(super) fn meaning(entry: &Entry) -> String {
    entry.semantic().to_string()
}

/// Number of the entry that a pointer leads to, and what follows in the entry.
pub(super) fn place_in_list(pointer: &str) -> Option<(usize, &str)> {
    let place = pointer.strip_prefix("/allowed_domains/")?;
    let (index, rest) = place.split_once('/').unwrap_or((place, ""));
    Some((index.parse().ok()?, rest))
}
