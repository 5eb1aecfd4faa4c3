//! A widget that was ever restricted opens only by a document that says `access: open`.

use embedgate::rules::change::{Absent, Actor, ApplyOptions, Change};
use embedgate::rules::import::import;
use embedgate::rules::publisher::Publisher;

use super::{Desk, delete, put, save};
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::Access;

const UNSTATED: &str = r#"{"id":"w"}"#;
const OPEN: &str = r#"{"id":"w","access":"open"}"#;
const OTHER: &str = r#"{"id":"other","allowed_domains":["other.example"]}"#;

/// How a document can arrive. The codes of what is wrong with it.
type Road = fn(&Publisher, &str) -> Vec<String>;

fn codes(
    saved: Result<embedgate::rules::publisher::Published, embedgate::rules::error::SaveError>,
) -> Vec<String> {
    saved.err().iter().flat_map(|error| error.faults()).map(|fault| fault.code.to_owned()).collect()
}

const ROADS: [(&str, Road); 5] = [
    ("put", |publisher, json| codes(save(publisher, vec![put(json)]))),
    ("batch", |publisher, json| codes(save(publisher, vec![put(OTHER), put(json)]))),
    ("delete and re-create at once", |publisher, json| {
        let gone = publisher.live().load().get("w").is_none();
        let batch: Vec<Change> = (!gone).then(|| delete("w")).into_iter().chain([put(json)]).collect();
        codes(save(publisher, batch))
    }),
    ("replace everything", |publisher, json| {
        let options = ApplyOptions { absent: Absent::Delete, ..ApplyOptions::default() };
        codes(publisher.apply(vec![put(json)], options, Actor::CommandLine))
    }),
    ("import", |publisher, json| {
        let report = import(publisher, json.as_bytes(), PublicSuffixes::shipped(), None, |_| {}).unwrap();
        report.errors.iter().map(|fault| fault.code.to_owned()).collect()
    }),
];

/// What may have been before.
fn histories() -> [(&'static str, Vec<Change>); 6] {
    let listed = || put(r#"{"id":"w","allowed_domains":["example.com"]}"#);
    let emptied = || put(r#"{"id":"w","access":"enforce","allowed_domains":[]}"#);
    [
        ("a list", vec![listed()]),
        ("an emptied enforce", vec![listed(), emptied()]),
        ("monitored", vec![put(r#"{"id":"w","access":"monitor"}"#)]),
        ("deleted", vec![listed(), delete("w")]),
        ("emptied, then deleted", vec![listed(), emptied(), delete("w")]),
        ("opened and closed again", vec![put(OPEN), listed(), delete("w")]),
    ]
}

#[test]
fn no_road_opens_a_widget_silently() {
    for (history, changes) in histories() {
        for (road, take) in ROADS {
            let desk = Desk::new();
            let publisher = desk.open();
            for change in &changes {
                save(&publisher, vec![change.clone()]).unwrap();
            }
            assert_eq!(take(&publisher, UNSTATED), ["would_open_widget"], "{history}, {road}");
            drop(publisher);
            let publisher = desk.open();
            assert_eq!(
                take(&publisher, UNSTATED),
                ["would_open_widget"],
                "{history}, {road}, after a restart"
            );
            let open = |publisher: &Publisher| publisher.live().load().get("w").map(|rules| rules.access);
            assert_ne!(open(&publisher), Some(Access::Open), "{history}, {road}");
            // Said aloud it is fine.
            assert_eq!(take(&publisher, OPEN), [""; 0], "{history}, {road}");
            assert_eq!(open(&publisher), Some(Access::Open), "{history}, {road}");
        }
    }
}
