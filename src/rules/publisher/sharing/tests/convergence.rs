//! Edges that change the same widgets at random, lose their connection and start again: in the end all are of one opinion,
//! and nothing is lost that was answered.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use proptest::prelude::*;

use super::*;

/// Step of one edge.
#[derive(Clone, Debug)]
enum Step {
    /// Adds an entry that nobody else adds.
    Add(usize),
    /// Saves several documents at once.
    Batch(Vec<usize>),
    /// Makes a widget for good.
    Delete(usize),
    Disable(usize),
    /// No messages arrive for a while.
    Hold(bool),
    Away(bool),
    Restart,
}

const WIDGETS: usize = 4;
/// Widgets that are deleted once, and then nobody touches them.
const MORTAL: usize = 3;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..WIDGETS).prop_map(Step::Add),
        3 => prop::collection::vec(0..WIDGETS, 1..4).prop_map(Step::Batch),
        2 => (0..MORTAL).prop_map(Step::Delete),
        2 => (0..WIDGETS).prop_map(Step::Disable),
        2 => any::<bool>().prop_map(Step::Hold),
        2 => any::<bool>().prop_map(Step::Away),
        2 => Just(Step::Restart),
    ]
}

/// What was answered as saved.
#[derive(Default)]
struct Answered {
    /// Entries, by widget.
    entries: Mutex<BTreeMap<usize, Vec<String>>>,
    /// Widgets that were deleted, with the revision.
    deleted: Mutex<BTreeMap<usize, u64>>,
}

fn run(mut edge: Edge, steps: &[Step], answered: &Answered) -> Edge {
    let name = |n: usize| format!("w{n}");
    for (number, step) in steps.iter().enumerate() {
        match step {
            Step::Add(n) => {
                let origin = format!("s{number}.{}.example", edge.name);
                if edge.edit(&name(*n), add(&origin), Precondition::None).is_ok_and(|saved| saved.durable) {
                    answered.entries.lock().entry(*n).or_default().push(origin);
                }
            }
            Step::Batch(widgets) => {
                let label = format!(r#""labels":{{"{}":"{number}"}}"#, edge.name);
                let batch = widgets.iter().map(|n| put(&format!("batch{n}"), &["a.example"], &label));
                let _ = edge.save(batch.collect());
            }
            Step::Delete(n) => {
                if let Ok(saved) = edge.save(vec![delete(&format!("mortal{n}"), None)]) {
                    answered.deleted.lock().insert(*n, saved.outcomes[0].revision());
                }
            }
            Step::Disable(n) => drop(edge.edit(&name(*n), Edit::Disable, Precondition::None)),
            Step::Hold(held) => edge.port.hold(*held),
            Step::Away(is_away) => {
                edge.port.fail(is_away.then(|| PublishError::Unavailable("it is away".into())));
            }
            // Kill switches that were not published are lost with the process.
            Step::Restart => edge = edge.restart(),
        }
    }
    edge.port.hold(false);
    edge.port.fail(None);
    edge
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn all_edges_end_in_one_book(steps in prop::collection::vec(prop::collection::vec(step(), 1..8), 3)) {
        let bus = Bus::new();
        let edges = ["one", "two", "three"].map(|name| Edge::in_memory(&bus, name));
        let live = (0..WIDGETS).map(|n| put(&format!("w{n}"), &["a.example"], ""));
        let mortal = (0..MORTAL).map(|n| put(&format!("mortal{n}"), &["a.example"], ""));
        if let Err(error) = edges[0].save(live.chain(mortal).collect()) {
            prop_assert_eq!(error.code(), "not_in_force_yet");
        }
        bus.settle(&edges.iter().collect::<Vec<_>>());
        let answered = Answered::default();
        let edges: Vec<Edge> = std::thread::scope(|scope| {
            let runs: Vec<_> = edges
                .into_iter()
                .zip(&steps)
                .map(|(edge, steps)| scope.spawn(|| run(edge, steps, &answered)))
                .collect();
            runs.into_iter().map(|run| run.join().unwrap()).collect()
        });
        let all: Vec<&Edge> = edges.iter().collect();
        // A kill switch may have to be made again over what arrives.
        let deadline = Instant::now() + bus::LONG;
        loop {
            bus.settle(&all);
            let tried: Vec<_> = edges.iter().map(|edge| edge.publisher.keep_stops()).collect();
            if tried.iter().all(Result::is_ok) && edges.iter().all(|edge| edge.publisher.not_kept().is_empty()) {
                break;
            }
            prop_assert!(Instant::now() < deadline, "{:?}", tried);
        }
        bus.settle(&all);
        let first = &edges[0];
        for edge in &edges {
            prop_assert_eq!(edge.publisher.not_kept(), []);
            prop_assert_eq!(edge.publisher.digest(), first.publisher.digest());
            prop_assert_eq!(edge.publisher.known_keys(), first.publisher.known_keys());
            prop_assert_eq!(edge.contents(), first.contents());
            for (n, revision) in &*answered.deleted.lock() {
                let book = edge.publisher.live().load_full();
                let id = format!("mortal{n}");
                prop_assert!(book.get(&id).is_none(), "{} is back", id);
                prop_assert_eq!(book.tombstone(&id).map(|tombstone| tombstone.revision), Some(*revision));
            }
            for (n, entries) in &*answered.entries.lock() {
                let document = edge.document(&format!("w{n}")).unwrap();
                let listed: Vec<String> =
                    document.allowed_domains.iter().map(|entry| entry.entry.to_string()).collect();
                for entry in entries {
                    prop_assert!(listed.iter().any(|listed| listed.contains(entry)), "{} lacks {}", listed.join(" "), entry);
                }
            }
        }
    }
}

impl Edge {
    /// Everything that is in force, by the book and by the documents.
    fn contents(&self) -> Vec<String> {
        let book = self.publisher.live().load_full();
        let widgets = book.widgets().map(|rules| format!("{rules:?}"));
        let deleted = book.tombstones().map(|(id, tombstone)| format!("{id} {tombstone:?}"));
        let documents = self.publisher.documents().page(None, 1000).unwrap();
        let documents = documents.iter().map(|document| format!("{document:?}"));
        let mut all: Vec<String> = widgets.chain(deleted).chain(documents).collect();
        all.sort_unstable();
        all
    }
}
