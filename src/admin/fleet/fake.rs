//! Fleet of two edges for tests, which does what it is told to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::rules::change::Actor;
use crate::rules::fleet::{
    AcceptedBucket, AnswersPeers, EdgeFacts, EdgeState, EdgeStatus, Fleet, FleetError, FleetLink, FleetNotes,
    FleetStatus, HearsPeers, OwnEdge, PeerAnswers, PeerQuestion, PeerWord, RestoredFleet,
};

/// Fleet whose edges `edge-1`, which is asked, and `edge-2` are at sequence 7.
pub(in crate::admin) struct FakeFleet {
    pub(in crate::admin) link: watch::Sender<FleetLink>,
    /// State of the other edge.
    pub(in crate::admin) other: Mutex<EdgeState>,
    /// What every decision fails with.
    pub(in crate::admin) failure: Mutex<Option<FleetError>>,
    /// What it was asked for, in order.
    pub(in crate::admin) asked: Mutex<Vec<String>>,
}

impl FakeFleet {
    pub(in crate::admin) fn new() -> Arc<Self> {
        let link = FleetLink {
            connected: true,
            current_at: None,
            announced_limit: None,
            behind_since: None,
            fault: None,
        };
        Arc::new(Self {
            link: watch::Sender::new(link),
            other: Mutex::new(EdgeState::Current),
            failure: Mutex::new(None),
            asked: Mutex::default(),
        })
    }

    fn note(&self, call: String) {
        self.asked.lock().push(call);
    }

    fn decided<T>(&self, answer: T) -> Result<T, FleetError> {
        self.failure.lock().clone().map_or(Ok(answer), Err)
    }

    fn edge(name: &str, state: EdgeState) -> EdgeStatus {
        EdgeStatus {
            name: name.to_owned(),
            state,
            version: Some("0.1.0".to_owned()),
            sequence: Some(7),
            age_seconds: Some(0),
            sessions: Some(3),
            ticket_keys: Some("ab12".to_owned()),
            digest: None,
            heard_at: Some(Timestamp::UNIX_EPOCH),
        }
    }
}

#[async_trait]
impl Fleet for FakeFleet {
    fn describe(&self, _: Arc<dyn EdgeFacts>) {}

    fn answer_by(&self, _: Arc<dyn AnswersPeers>) {}

    async fn ask(&self, question: PeerQuestion, within: Duration) -> PeerAnswers {
        self.note(format!("{} {within:?}", question.topic));
        PeerAnswers { missing: ["edge-2".to_owned()].into(), ..PeerAnswers::default() }
    }

    fn hear_by(&self, _: Arc<dyn HearsPeers>) {}

    fn tell_peers(&self, _: PeerWord) {}

    fn notes(&self) -> Option<Arc<dyn FleetNotes>> {
        None
    }

    fn set_max_staleness(&self, _: Option<Duration>) {}

    async fn status(&self, within: Duration) -> FleetStatus {
        self.note(format!("status {within:?}"));
        let link = self.link.borrow().clone();
        FleetStatus {
            bucket: "embedgate-widgets".to_owned(),
            edge: "edge-1".to_owned(),
            connected: link.connected,
            last_sequence: 7,
            fault: link.fault,
            edges: vec![Self::edge("edge-1", EdgeState::Current), Self::edge("edge-2", *self.other.lock())],
        }
    }

    async fn enforced(&self, sequence: u64, within: Duration) -> Vec<String> {
        self.note(format!("enforced {sequence} {within:?}"));
        match *self.other.lock() {
            EdgeState::Current | EdgeState::Stale => Vec::new(),
            EdgeState::Behind | EdgeState::Fault | EdgeState::Silent => vec!["edge-2".to_owned()],
        }
    }

    async fn restore(&self, actor: Actor) -> Result<RestoredFleet, FleetError> {
        self.note(format!("restore by {actor}"));
        self.decided(RestoredFleet { written: 5, unchanged: 2, sequence: 12 })
    }

    async fn accept(&self, confirm: Option<usize>, actor: Actor) -> Result<AcceptedBucket, FleetError> {
        let Some(confirm) = confirm else { return Err(FleetError::Wide { touched: 0 }) };
        self.note(format!("accept {confirm} by {actor}"));
        self.decided(AcceptedBucket { touched: 4, sequence: 12 })
    }

    async fn forget(&self, edge: &str, actor: Actor) -> Result<(), FleetError> {
        self.note(format!("forget {edge} by {actor}"));
        self.decided(())
    }

    fn link(&self) -> watch::Receiver<FleetLink> {
        self.link.subscribe()
    }

    fn own(&self) -> OwnEdge {
        OwnEdge { bucket: "embedgate-widgets".to_owned(), name: "edge-1".to_owned(), sequence: 7 }
    }

    fn states(&self) -> BTreeMap<EdgeState, usize> {
        let mut states = BTreeMap::from([(EdgeState::Current, 1)]);
        *states.entry(*self.other.lock()).or_default() += 1;
        states
    }
}
