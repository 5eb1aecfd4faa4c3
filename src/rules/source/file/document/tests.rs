#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;

use super::*;

fn snapshot(files: &[(&str, &str)], is_folder: bool) -> Snapshot {
    let text = |(file, text): &(&str, &str)| RulesText::new(Path::new(file).into(), (*text).to_owned());
    Snapshot { texts: files.iter().map(text).collect(), is_folder, fingerprint: 0 }
}

/// The faults of one file, as `line:column code pointer`.
fn faults(text: &str) -> Vec<String> {
    told(&snapshot(&[("w.json", text)], false))
}

fn told(snapshot: &Snapshot) -> Vec<String> {
    let error = parse(snapshot, PublicSuffixes::shipped()).unwrap_err();
    let told = |fault: &RuleFault| {
        let place = fault.place.as_ref().unwrap();
        format!("{}:{} {} {}", place.line, place.column, fault.code, fault.pointer).trim_end().to_owned()
    };
    error.faults().iter().map(told).collect()
}

#[test]
fn a_rules_file_gives_its_documents_in_order() {
    let text = "\u{feff}{\"widgets\": [\n {\"id\": \"b\"},\n {\"id\": \"a\"}\n]}\n";
    let snapshot = snapshot(&[("w.json", text)], false);
    let documents = parse(&snapshot, PublicSuffixes::shipped()).unwrap();
    let ids: Vec<&str> = documents.widgets.iter().map(|widget| widget.id.as_str()).collect();
    assert_eq!(ids, ["b", "a"]);
}

#[test]
fn every_fault_names_its_line() {
    let text = "{\n  \"widgets\": [\n    {\"id\": \"ä\"},\n    {\"id\": \"b\", \"allowed_domains\": [\n      \
                \"ok.example\",\n      \"*.com\", \"a b\"\n    ]}\n  ],\n  \"wigdets\": []\n}";
    let told = faults(text);
    assert_eq!(told.len(), 4, "{told:?}");
    assert_eq!(told[0], "9:14 unknown_field /wigdets");
    assert!(told[1].starts_with("3:12 ") && told[1].ends_with(" /widgets/0/id"), "{told:?}");
    assert!(told[2].starts_with("6:7 ") && told[2].ends_with(" /widgets/1/allowed_domains/1"), "{told:?}");
    assert!(told[3].starts_with("6:16 ") && told[3].ends_with("/2"), "{told:?}");
}

#[test]
fn what_is_no_rules_file_says_where_it_stops_being_one() {
    let table = [
        ("", "1:1 invalid_json"),
        ("{\"widgets\": [\n  {\"id\": \"a\"},\n", "3:1 invalid_json"),
        ("{\"widgets\": []} x", "1:17 invalid_json"),
        ("[]", "1:1 wrong_type"),
        ("{}", "1:1 missing_field"),
        ("\n {\"id\": \"a\"}", "2:9 unknown_field /id|2:2 missing_field"),
        ("{\"widgets\":\n  {\"id\": \"a\"}}", "2:3 wrong_type /widgets"),
        ("{\"widgets\": [], \"widgets\": []}", "1:28 duplicate_field /widgets"),
        ("{\"widgets\": [\n 7]}", "2:2"),
    ];
    for (text, expected) in table {
        let told = faults(text);
        assert!(told.join("|").starts_with(expected), "{text:?}: {told:?}");
    }
}

/// Mistakes of a hand that edits, each with what is to be done about it.
#[test]
fn a_mistake_of_syntax_is_told_in_words_to_act_on() {
    let text = |inner: &str| format!("{{\"widgets\": [\n  {{\"id\": \"a\"{inner}\n]}}\n");
    let table = [
        (",}", "2:14: a comma before `}`"),
        (",\n}", "3:1: a comma before `}`"),
        ("},", "3:1: a comma before `]`"),
        (" \"enabled\": true}", "2:14: no comma before this"),
        ("}\n  {\"id\": \"b\"}", "3:3: no comma before this"),
        (", 'enabled': true}", "2:15: a single quote"),
        (", // open\n \"access\": \"open\"}", "2:15: a comment"),
        (", enabled: true}", "2:15: the key `enabled` has no quotes"),
        (", \"enabled\": True}", "2:26: `True` is no value of JSON; write true"),
        (", \"access\": open}", "2:25: `open` has no quotes"),
        (", \"enabled\" true}", "2:25: no `:` after the key"),
        ("", "3:1: `]`, but the last `{` is not closed; write `}` before it"),
    ];
    for (inner, says) in table {
        let snapshot = snapshot(&[("w.json", &text(inner))], false);
        let error = parse(&snapshot, PublicSuffixes::shipped()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("w.json:{says}")), "{inner}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn a_folder_holds_collections_and_single_documents() {
    let one = ("rules/a.json", " {\"id\": \"a\"}\n");
    let many = ("rules/b.json", "{\"widgets\": [{\"id\": \"b\"}, {\"id\": \"c\"}]}");
    let both = snapshot(&[one, many], true);
    assert_eq!(parse(&both, PublicSuffixes::shipped()).unwrap().widgets.len(), 3);

    let wrong = snapshot(
        &[("rules/a.json", "\n {\"id\": \"a\",\n  \"colour\": 1}"), ("rules/b.json", "{\"x\": 1}")],
        true,
    );
    let told = told(&wrong);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].starts_with("3:13 ") && told[0].ends_with(" /colour"), "{told:?}");
    assert_eq!(told[1..], ["1:7 unknown_field /x", "1:1 missing_field"]);
}

#[test]
fn one_id_in_two_places_names_both() {
    let a = ("rules/a.json", "{\"widgets\": [{\"id\": \"a\"},\n {\"id\": \"x\"}]}");
    let b = ("rules/b.json", "{\"id\":\n \"x\"}");
    let snapshot = snapshot(&[a, b], true);
    let error = parse(&snapshot, PublicSuffixes::shipped()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "rules/b.json:2:2: /id: widget x has another document at rules/a.json:2:9; keep one of them"
    );
    assert_eq!((error.code(), error.faults().len()), ("duplicate_widget", 1));
}

#[test]
fn a_fault_against_the_book_finds_its_document() {
    let text = "{\"widgets\": [{\"id\": \"a\"},\n {\"id\": \"b\",\n  \"revision\": 3}]}";
    let snapshot = snapshot(&[("w.json", text)], false);
    let documents = parse(&snapshot, PublicSuffixes::shipped()).unwrap();
    let fault = |index, pointer: &str| RuleFault {
        index,
        widget: None,
        place: None,
        pointer: pointer.into(),
        code: "stale_revision",
        detail: "too low".into(),
    };
    let located = |index, pointer| documents.positions.locate(fault(index, pointer)).to_string();
    assert_eq!(located(Some(1), "/revision"), "w.json:3:15: /widgets/1/revision: too low");
    assert_eq!(located(Some(0), ""), "w.json:1:14: /widgets/0: too low");
    assert_eq!(located(None, ""), "too low");
}
