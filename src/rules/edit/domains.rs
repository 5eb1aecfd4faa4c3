//! Entries added to a stored list and removed from it.

use std::collections::{HashMap, HashSet};

use super::judged::meaning;
use super::{DomainsEdit, judged};
use crate::rules::documents::canonical;
use embedgate_policy::entry::listed::ListedEntry;
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::{DocumentFault, Widget};

/// The document with these entries, and without those. Faults lead to the entries of the edit.
pub(in crate::rules) fn apply(
    stored: &Widget,
    edit: &DomainsEdit,
    suffixes: &PublicSuffixes,
) -> Result<Widget, Vec<DocumentFault>> {
    let removed: HashSet<String> = edit.remove.iter().map(meaning).collect();
    let faults = contradictions(edit, &removed);
    if !faults.is_empty() {
        return Err(faults);
    }
    let (allowed_domains, added) = edited(stored, edit, &removed);
    let (had, has) = (!stored.allowed_domains.is_empty(), !allowed_domains.is_empty());
    if stored.access.is_none() && had != has {
        if has && !edit.may_restrict {
            let detail = "every site may embed this widget, because its list is empty; with a first entry only the listed \
                          sites may: if that is what is meant, confirm it: ?confirm=restrict";
            return Err(vec![fault("/add".to_owned(), "would_restrict_widget", detail.to_owned())]);
        }
        if had {
            let detail = "without its last entry this widget would be open to every site; to close it, add \"access\": \
                          \"enforce\" to the document first, or to open it, \"access\": \"open\"";
            return Err(vec![fault("/remove".to_owned(), "would_open_widget", detail.to_owned())]);
        }
    }
    let mut widget = Widget { allowed_domains, revision: None, ..stored.clone() };
    if widget.same_document(stored) {
        return Ok(widget);
    }
    judged::widget(&canonical(&mut widget), stored, suffixes).map_err(|faults| {
        faults
            .into_iter()
            .map(|fault| DocumentFault { pointer: of_edit(&fault.pointer, &added), ..fault })
            .collect()
    })
}

/// The new list, and for each entry of it the number under which the edit adds it.
fn edited(
    stored: &Widget,
    edit: &DomainsEdit,
    removed: &HashSet<String>,
) -> (Vec<ListedEntry>, Vec<Option<usize>>) {
    let mut list: Vec<ListedEntry> = Vec::with_capacity(stored.allowed_domains.len() + edit.add.len());
    let mut places: HashMap<String, usize> = HashMap::new();
    for listed in &stored.allowed_domains {
        let meaning = meaning(&listed.entry);
        if !removed.contains(&meaning) {
            places.insert(meaning, list.len());
            list.push(listed.clone());
        }
    }
    let mut added = vec![None; list.len()];
    for (number, listed) in edit.add.iter().enumerate() {
        let place = places.get(&meaning(&listed.entry)).copied();
        match place.and_then(|place| Some((list.get_mut(place)?, added.get_mut(place)?))) {
            Some((there, added)) => {
                (there.expires_at, there.note) = (listed.expires_at, listed.note.clone());
                *added = Some(number);
            }
            None => {
                list.push(listed.clone());
                added.push(Some(number));
            }
        }
    }
    (list, added)
}

/// Entries that the edit names twice. One that is removed twice is removed.
fn contradictions(edit: &DomainsEdit, removed: &HashSet<String>) -> Vec<DocumentFault> {
    let mut first: HashMap<String, usize> = HashMap::new();
    let mut faults = Vec::new();
    for (number, listed) in edit.add.iter().enumerate() {
        let (entry, meaning) = (&listed.entry, meaning(&listed.entry));
        let other = if removed.contains(&meaning) {
            Some(format!("`{entry}` is to be added and to be removed; leave one out"))
        } else {
            let first = first.get(&meaning);
            first.map(|first| format!("`{entry}` admits the same origins as /add/{first}; leave one out"))
        };
        faults.extend(other.map(|detail| fault(format!("/add/{number}"), "duplicate_entry", detail)));
        first.entry(meaning).or_insert(number);
    }
    faults
}

/// A place in the document as a place in the edit, if it is in there.
fn of_edit(pointer: &str, added: &[Option<usize>]) -> String {
    let number = judged::place_in_list(pointer).and_then(|(index, _)| added.get(index).copied().flatten());
    match number {
        Some(number) => format!("/add/{number}"),
        None if pointer == "/allowed_domains" => "/add".to_owned(),
        None => pointer.to_owned(),
    }
}

fn fault(pointer: String, code: &'static str, detail: String) -> DocumentFault {
    DocumentFault { pointer, code, detail }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use serde_json::{Value, json};

    use super::*;
    use crate::rules::documents::listed_before;
    use crate::rules::fixtures::{newer_suffixes, widget};

    fn edit(add: &Value, remove: &[&str], suffixes: &PublicSuffixes) -> DomainsEdit {
        let entry = |text: &str| listed_before(text, suffixes).unwrap();
        let listed = |line: &Value| ListedEntry {
            entry: entry(line.as_str().or_else(|| line["pattern"].as_str()).unwrap()),
            expires_at: line["expires_at"].as_str().map(|at| at.parse().unwrap()),
            note: line["note"].as_str().map(str::to_owned),
        };
        DomainsEdit {
            add: add.as_array().unwrap().iter().map(listed).collect(),
            remove: remove.iter().map(|text| entry(text)).collect(),
            may_restrict: false,
        }
    }

    /// The list afterwards, or the faults.
    fn domains(
        stored: &str,
        edit: &DomainsEdit,
        suffixes: &PublicSuffixes,
    ) -> Result<Value, Vec<(String, &'static str)>> {
        apply(&widget(stored), edit, suffixes)
            .map(|widget| widget.to_json()["allowed_domains"].clone())
            .map_err(|faults| faults.into_iter().map(|fault| (fault.pointer, fault.code)).collect())
    }

    #[test]
    fn entries_come_go_and_are_renewed_in_their_place() {
        let stored = r#"{"id":"a","allowed_domains":["a.example",{"pattern":"*.b.example","expires_at":"2020-01-01T00:00:00Z",
            "note":"launch"},"localhost"],"revision":4}"#;
        let b = json!({ "pattern": "*.b.example", "expires_at": "2020-01-01T00:00:00Z", "note": "launch" });
        for (add, remove, list) in [
            (json!([]), &[][..], json!(["a.example", b, "localhost"])),
            (
                json!(["c.example", "http://d.example"]),
                &[],
                json!(["a.example", b, "localhost", "c.example", "http://d.example"]),
            ),
            (json!([]), &["https://A.example:443", "nobody.example"], json!([b, "localhost"])),
            (json!(["*.b.example"]), &[], json!(["a.example", "*.b.example", "localhost"])),
            (
                json!([{ "pattern": "https://*.b.example", "expires_at": "2030-01-01T00:00:00Z" }, "localhost:*"]),
                &["a.example"],
                json!([{ "pattern": "*.b.example", "expires_at": "2030-01-01T00:00:00Z" }, "localhost"]),
            ),
            (
                json!([{ "pattern": "a.example", "note": "n" }]),
                &[],
                json!([{ "pattern": "a.example", "note": "n" }, b, "localhost"]),
            ),
        ] {
            let edit = edit(&add, remove, PublicSuffixes::shipped());
            assert_eq!(domains(stored, &edit, PublicSuffixes::shipped()), Ok(list), "{add} {remove:?}");
        }
    }

    #[test]
    fn opening_and_restricting_want_a_word() {
        let suffixes = PublicSuffixes::shipped();
        let first = edit(&json!(["a.example"]), &[], suffixes);
        let confirmed = DomainsEdit { may_restrict: true, ..first.clone() };
        let last = edit(&json!([]), &["a.example"], suffixes);
        let swapped = edit(&json!(["b.example"]), &["a.example"], suffixes);
        let refused = |place: &str, code| Err(vec![(place.to_owned(), code)]);
        let (empty, one) = (r#"{"id":"a"}"#, r#"{"id":"a","allowed_domains":["a.example"]}"#);
        assert_eq!(domains(empty, &first, suffixes), refused("/add", "would_restrict_widget"));
        assert_eq!(domains(empty, &confirmed, suffixes), Ok(json!(["a.example"])));
        assert_eq!(domains(empty, &last, suffixes), Ok(json!([])));
        assert_eq!(domains(one, &last, suffixes), refused("/remove", "would_open_widget"));
        assert_eq!(domains(one, &swapped, suffixes), Ok(json!(["b.example"])));
        for access in ["open", "monitor", "enforce"] {
            let stated = |list: &str| format!(r#"{{"id":"a","access":"{access}","allowed_domains":{list}}}"#);
            assert_eq!(domains(&stated("[]"), &first, suffixes), Ok(json!(["a.example"])), "{access}");
            assert_eq!(domains(&stated(r#"["a.example"]"#), &last, suffixes), Ok(json!([])), "{access}");
        }
    }

    #[test]
    fn faults_lead_to_the_entries_of_the_edit() {
        let voice = r#"{"id":"a","allowed_domains":["a.example","b.example"],"capabilities":["voice"]}"#;
        let entries: Vec<String> = (0..999).map(|n| format!("n{n}.example")).collect();
        let full = json!({ "id": "a", "allowed_domains": entries }).to_string();
        let suffixes = PublicSuffixes::shipped();
        for (stored, add, remove, faults) in [
            (voice, json!(["c.example", "https://c.example"]), &[][..], &[("/add/1", "duplicate_entry")][..]),
            (
                voice,
                json!(["c.example", "a.example"]),
                &["https://a.example"],
                &[("/add/1", "duplicate_entry")],
            ),
            (
                voice,
                json!(["c.example", "http://d.example"]),
                &["a.example"],
                &[("/add/1", "insecure_voice")],
            ),
            (&full, json!(["x.example", "y.example"]), &[], &[("/add", "too_many_entries")]),
            (
                voice,
                json!([{ "pattern": "c.example", "note": "x".repeat(256 * 1024) }]),
                &[],
                &[("", "document_too_large")],
            ),
        ] {
            let faults: Vec<_> = faults.iter().map(|(place, code)| ((*place).to_owned(), *code)).collect();
            assert_eq!(
                domains(stored, &edit(&add, remove, suffixes), suffixes),
                Err(faults),
                "{add} {remove:?}"
            );
        }
        let replaced = edit(&json!(["x.example", "y.example"]), &["n0.example"], suffixes);
        assert_eq!(domains(&full, &replaced, suffixes).unwrap().as_array().unwrap().len(), 1000);
    }

    #[test]
    fn what_has_become_a_public_suffix_can_be_renewed_and_removed_but_not_added() {
        let stored = r#"{"id":"a","allowed_domains":["*.example.org","b.example"]}"#;
        let newer = newer_suffixes();
        let judged = |add: Value, remove: &[&str]| domains(stored, &edit(&add, remove, &newer), &newer);
        assert_eq!(judged(json!(["c.example"]), &[]), Ok(json!(["*.example.org", "b.example", "c.example"])));
        assert_eq!(judged(json!([]), &["*.example.org"]), Ok(json!(["b.example"])));
        let renewed = json!({ "pattern": "*.example.org", "note": "renewed" });
        assert_eq!(judged(json!([renewed]), &[]), Ok(json!([renewed, "b.example"])));
        assert_eq!(judged(json!([".example.org"]), &[]), Err(vec![("/add/0".to_owned(), "public_suffix")]));
    }
}
