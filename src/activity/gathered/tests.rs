#![allow(clippy::unwrap_used, clippy::unreachable)]

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use tokio::runtime::Builder;
use tokio::sync::watch;

use super::*;
use crate::activity::peers::PeerActivity;
use crate::activity::peers::tests::{Seen, activity, embedder};
use crate::activity::seen::ClientCounts;
use crate::rules::change::Actor;
use crate::rules::fleet::{
    AcceptedBucket, AnswersPeers, EdgeFacts, EdgeState, FleetError, FleetLink, FleetNotes, FleetStatus,
    HearsPeers, OwnEdge, PeerAnswers, PeerWord, RestoredFleet,
};

/// Fleet whose other edges answer from this, in at most so many bytes; `None`: one that does not answer.
struct Peers {
    edges: Vec<(&'static str, Option<Arc<dyn AnswersPeers>>)>,
    most: usize,
}

#[async_trait]
impl Fleet for Peers {
    fn answer_by(&self, _: Arc<dyn AnswersPeers>) {}

    async fn ask(&self, question: PeerQuestion, _: Duration) -> PeerAnswers {
        let mut told = PeerAnswers::default();
        for (edge, answerer) in &self.edges {
            let answer =
                answerer.as_ref().and_then(|edge| edge.answer(question.topic, &question.body, self.most));
            match answer {
                Some(answer) => drop(told.answers.insert((*edge).to_owned(), answer)),
                None => drop(told.missing.insert((*edge).to_owned())),
            }
        }
        told
    }

    fn describe(&self, _: Arc<dyn EdgeFacts>) {}

    fn hear_by(&self, _: Arc<dyn HearsPeers>) {}

    fn tell_peers(&self, _: PeerWord) {}

    fn notes(&self) -> Option<Arc<dyn FleetNotes>> {
        None
    }

    fn set_max_staleness(&self, _: Option<Duration>) {}

    async fn status(&self, _: Duration) -> FleetStatus {
        unreachable!("activity asks for no state")
    }

    async fn enforced(&self, _: u64, _: Duration) -> Vec<String> {
        Vec::new()
    }

    async fn restore(&self, _: Actor) -> Result<RestoredFleet, FleetError> {
        unreachable!("activity decides nothing")
    }

    async fn accept(&self, _: Option<usize>, _: Actor) -> Result<AcceptedBucket, FleetError> {
        unreachable!("activity decides nothing")
    }

    async fn forget(&self, _: &str, _: Actor) -> Result<(), FleetError> {
        Ok(())
    }

    fn link(&self) -> watch::Receiver<FleetLink> {
        unreachable!("activity follows no link")
    }

    fn own(&self) -> OwnEdge {
        unreachable!("activity asks for no name")
    }

    fn states(&self) -> BTreeMap<EdgeState, usize> {
        BTreeMap::new()
    }
}

/// Answerer that says the same to every question.
struct Says(&'static str);

impl AnswersPeers for Says {
    fn answer(&self, _: &str, _: &[u8], _: usize) -> Option<Vec<u8>> {
        Some(self.0.into())
    }
}

fn peer(seen: Seen) -> Option<Arc<dyn AnswersPeers>> {
    Some(Arc::new(PeerActivity::new(Arc::new(seen))))
}

fn ids(widgets: &[(Box<str>, WidgetActivity)]) -> Vec<&str> {
    widgets.iter().map(|(id, _)| &**id).collect()
}

const SOON: Duration = Duration::from_secs(1);

#[tokio::test]
async fn an_edge_without_a_fleet_reads_alone() {
    let own = Seen::of(["a", "b", "c"]);
    let told = widget(&own, None, "b", SOON).await.unwrap();
    assert_eq!(told, Gathered { seen: activity(1, 1), missing: Vec::new() });
    let told = page(&own, None, Some("a"), 1, SOON).await.unwrap();
    assert_eq!((ids(&told.seen), told.missing), (vec!["b"], Vec::new()));
    assert_eq!(most_refused(&own, None, SOON).await.unwrap().seen.len(), 3);
    assert!(widget(&own, None, "unreadable", SOON).await.is_err());
}

#[tokio::test]
async fn whoever_does_not_answer_is_named_and_the_others_are_told() {
    let fleet = Peers {
        edges: vec![
            ("edge-2", peer(Seen::of(["b", "c"]))),
            ("edge-3", None),
            ("edge-4", Some(Arc::new(Says("\"nonsense\"")))),
        ],
        most: 1 << 20,
    };
    let (own, fleet) = (Seen::of(["a", "b"]), Some(&fleet as &dyn Fleet));
    let away = ["edge-3", "edge-4"];
    let told = widget(&own, fleet, "c", SOON).await.unwrap();
    assert_eq!(
        (told.seen.entries.len(), told.missing),
        (activity(1, 1).entries.len(), away.map(String::from).into())
    );
    let told = page(&own, fleet, None, 10, SOON).await.unwrap();
    assert_eq!((ids(&told.seen), told.missing), (vec!["a", "b", "c"], away.map(String::from).into()));
    let told = most_refused(&own, fleet, SOON).await.unwrap();
    assert_eq!(told.missing, away);
    // What both edges have seen of `b` is added up.
    let counts: Vec<_> = told.seen.iter().map(|refused| (&*refused.widget, refused.embedder.count)).collect();
    assert_eq!(counts[0], ("b", 2), "{counts:?}");
    assert_eq!(counts.len(), 3, "{counts:?}");
    // What can't be read here is an error: nobody else knows it.
    assert!(widget(&own, fleet, "unreadable", SOON).await.is_err());
}

#[tokio::test]
async fn a_page_in_disorder_is_no_answer() {
    for says in ["{\"widgets\":[],\"more\":true}", "{\"widgets\":[]}", "[]"] {
        let fleet = Peers { edges: vec![("edge-2", Some(Arc::new(Says(says))))], most: 1 << 20 };
        let told = page(&Seen::of(["a"]), Some(&fleet), None, 10, SOON).await.unwrap();
        assert_eq!((ids(&told.seen), told.missing), (vec!["a"], vec!["edge-2".to_owned()]), "{says}");
    }
}

proptest! {
    #[test]
    fn pages_of_a_fleet_have_every_widget_once(
        edges in vec(btree_set("[a-d]{1,3}", 0..30), 1..4),
        limit in 1_usize..12,
        most in prop_oneof![Just(1_usize << 20), 600_usize..3000],
    ) {
        let seen = |ids: &BTreeSet<String>| Seen::of(ids.iter().map(String::as_str));
        let names = ["edge-2", "edge-3", "edge-4"];
        let others = names.into_iter().zip(&edges[1..]).map(|(name, ids)| (name, peer(seen(ids)))).collect();
        let (own, fleet) = (seen(&edges[0]), Peers { edges: others, most });
        let runtime = Builder::new_current_thread().build().unwrap();
        let (mut read, mut after) = (Vec::new(), None::<Box<str>>);
        loop {
            let told = runtime.block_on(page(&own, Some(&fleet), after.as_deref(), limit, SOON)).unwrap();
            prop_assert!(told.missing.is_empty() && told.seen.len() <= limit);
            let Some((last, _)) = told.seen.last() else { break };
            after = Some(last.clone());
            for (id, activity) in told.seen {
                let mut parts = edges.iter().filter(|ids| ids.contains(&*id)).map(|_| self::activity(id.len() as u64, 1));
                let mut whole = parts.next().unwrap();
                parts.for_each(|part| whole.merge(part));
                prop_assert_eq!(activity.entries, whole.entries, "{}", id);
                read.push(String::from(id));
            }
        }
        let all: BTreeSet<String> = edges.into_iter().flatten().collect();
        prop_assert_eq!(read, Vec::from_iter(all));
    }

    #[test]
    fn the_most_refused_of_a_fleet_are_within_their_errors(
        edges in vec(vec(1_u64..1000, 70), 1..4),
    ) {
        let widget = |n: usize| format!("w{}", n % 7);
        let origin = |n: usize| format!("https://n{n}.example");
        let mut truth: HashMap<String, u64> = HashMap::new();
        let lists = edges.iter().map(|counts| {
            let mut list = Vec::new();
            for (n, count) in counts.iter().enumerate() {
                *truth.entry(origin(n)).or_default() += count;
                list.push(RefusedEmbedder { widget: widget(n).into(), embedder: embedder(&origin(n), *count) });
            }
            list.sort_by_key(|refused| std::cmp::Reverse(refused.embedder.count));
            list.truncate(SHOWN);
            list
        });
        let told = merged_refused(lists.collect());
        prop_assert_eq!(told.len(), SHOWN);
        let at_least = |told: &RefusedEmbedder| told.embedder.count - told.embedder.error;
        prop_assert!(told.is_sorted_by_key(|told| std::cmp::Reverse(at_least(told))));
        for told in &told {
            let truth = truth[&*told.embedder.origin];
            prop_assert!(at_least(told) <= truth && truth <= told.embedder.count, "{:?}: {}", told, truth);
        }
        if edges.len() == 1 {
            prop_assert!(told.iter().all(|told| told.embedder.error == 0));
        }
    }
}

#[test]
fn the_same_embedder_of_the_same_widget_is_added_up() {
    let at = |second| Timestamp::from_second(second).unwrap();
    let seen = |widget: &str, count, error, first, last, entry: &str| {
        let entry = Some(entry.into());
        let embedder = EmbedderActivity {
            count,
            error,
            monitored: count / 2,
            entry,
            first: at(first),
            last: at(last),
            clients: ClientCounts { browser: count, contradictory: 1, unknown: 2 },
            ..embedder("https://a.example", 0)
        };
        RefusedEmbedder { widget: widget.into(), embedder }
    };
    let lists = vec![
        vec![seen("w", 10, 2, 50, 60, "older"), seen("v", 3, 0, 1, 2, "other")],
        vec![seen("w", 30, 5, 40, 90, "newer")],
        Vec::new(),
    ];
    let mut whole = seen("w", 40, 7, 40, 90, "newer");
    whole.embedder.clients = ClientCounts { browser: 40, contradictory: 2, unknown: 4 };
    assert_eq!(merged_refused(lists), [whole, seen("v", 3, 0, 1, 2, "other")]);
}
