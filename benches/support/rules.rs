//! Rules to measure with.

use std::sync::Arc;

use embedgate::rules::change::{Actor, ApplyOptions, Change};
use embedgate::rules::import::import;
use embedgate::rules::live::LiveRules;
use embedgate::rules::publisher::Publisher;
use embedgate::rules::source::SourceKind;

use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::Widget;

/// The id of the widget of this number.
pub fn id(n: usize) -> String {
    format!("wgt_{:016x}", (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Its document, with the four entries that a customer tends to have; all list `http://localhost:3000`. `site` sets
/// versions of it apart.
pub fn document(n: usize, site: &str) -> String {
    let id = id(n);
    format!(
        r#"{{"id":"{id}","allowed_domains":["{site}{n}.example.com","*.shop{n}.example.org","https://pr-*.preview{n}.example.net","localhost:3000"],"labels":{{"team":"growth"}}}}"#
    )
}

/// The change that saves a document.
pub fn put(document: &str) -> Change {
    Change::put(Widget::parse(document.as_bytes(), PublicSuffixes::shipped()).unwrap())
}

/// Saves documents, all at once.
pub fn save(publisher: &Publisher, changes: Vec<Change>) {
    publisher.apply(changes, ApplyOptions::default(), Actor::CommandLine).unwrap();
}

/// A writer whose rules are kept in memory, and nothing of them there yet.
pub fn in_memory() -> Publisher {
    Publisher::new(LiveRules::new(), SourceKind::STORE, "")
}

/// So many widgets for this writer.
pub fn fill(publisher: &Publisher, count: usize) {
    let lines: String = (0..count).map(|n| document(n, "site") + "\n").collect();
    let report = import(publisher, lines.as_bytes(), PublicSuffixes::shipped(), None, |_| {}).unwrap();
    assert_eq!((report.created, report.faults), (count as u64, 0));
}

/// A list of suffixes to share.
pub fn suffixes() -> Arc<PublicSuffixes> {
    Arc::new(PublicSuffixes::shipped().clone())
}
