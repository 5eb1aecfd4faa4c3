#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use jiff::SignedDuration;
use tokio::sync::watch::Sender;
use tokio::time::timeout;

use super::*;
use crate::config;
use crate::edge::admission::tickets::key_file::KeyFile;
use crate::edge::setup::{Setup, SetupParts};
use crate::rules::change::Actor;
use crate::rules::fleet::{
    AcceptedBucket, AnswersPeers, EdgeFacts, EdgeState, FleetError, FleetNotes, FleetStatus, HearsPeers,
    OwnEdge, PeerAnswers, PeerQuestion, PeerWord, RestoredFleet,
};
use crate::telemetry::metrics::Metrics;

/// A fleet of which only the link is known.
struct Linked(Sender<FleetLink>);

impl Linked {
    fn new(current_at: Option<Timestamp>) -> Self {
        Self(Sender::new(FleetLink {
            connected: false,
            current_at,
            announced_limit: None,
            behind_since: None,
            fault: None,
        }))
    }

    fn current_at(&self, at: Timestamp) {
        self.0.send_modify(|link| (link.connected, link.current_at) = (true, Some(at)));
    }

    fn cut_off(&self) {
        self.0.send_modify(|link| link.connected = false);
    }
}

#[async_trait]
impl Fleet for Linked {
    fn describe(&self, _: Arc<dyn EdgeFacts>) {}

    fn answer_by(&self, _: Arc<dyn AnswersPeers>) {}

    async fn ask(&self, _: PeerQuestion, _: Duration) -> PeerAnswers {
        PeerAnswers::default()
    }

    fn hear_by(&self, _: Arc<dyn HearsPeers>) {}

    fn tell_peers(&self, _: PeerWord) {}

    fn notes(&self) -> Option<Arc<dyn FleetNotes>> {
        None
    }

    fn set_max_staleness(&self, _: Option<Duration>) {}

    async fn status(&self, _: Duration) -> FleetStatus {
        FleetStatus {
            bucket: String::new(),
            edge: String::new(),
            connected: false,
            last_sequence: 0,
            fault: None,
            edges: Vec::new(),
        }
    }

    async fn enforced(&self, _: u64, _: Duration) -> Vec<String> {
        Vec::new()
    }

    async fn restore(&self, _: Actor) -> Result<RestoredFleet, FleetError> {
        Err(FleetError::NoBucket { bucket: String::new() })
    }

    async fn accept(&self, _: Option<usize>, _: Actor) -> Result<AcceptedBucket, FleetError> {
        Err(FleetError::NoBucket { bucket: String::new() })
    }

    async fn forget(&self, edge: &str, _: Actor) -> Result<(), FleetError> {
        Err(FleetError::UnknownEdge { edge: edge.to_owned() })
    }

    fn link(&self) -> watch::Receiver<FleetLink> {
        self.0.subscribe()
    }

    fn own(&self) -> OwnEdge {
        OwnEdge { bucket: String::new(), name: String::new(), sequence: 0 }
    }

    fn states(&self) -> BTreeMap<EdgeState, usize> {
        BTreeMap::new()
    }
}

fn setup() -> LiveSetup {
    let text = "[edge]\nlisten = [\"127.0.0.1:1\"]\npublic_origins = [\"https://edge.example\"]\n\
                [policy]\nmax_staleness = \"1m\"\n[upstreams.app]\nservers = [\"127.0.0.1:1\"]\n\
                [[routes]]\npath = \"/w/{widget}/loader.js\"\nclass = \"asset\"\nupstream = \"app\"";
    let settings = config::parse("test", text, []).unwrap();
    let ticket_keys = Arc::new(KeyFile::unsaved("ticket.keys".into()).unwrap());
    let parts = SetupParts { ticket_keys, metrics: Arc::new(Metrics::new().unwrap()) };
    LiveSetup::new(Setup::prepare(&settings, &parts, None, None).unwrap())
}

fn ago(seconds: i64) -> Timestamp {
    Timestamp::now() - SignedDuration::from_secs(seconds)
}

/// The instant once it has moved.
async fn moved(stale_at: &mut watch::Receiver<Option<Timestamp>>) -> Option<Timestamp> {
    timeout(Duration::from_secs(10), stale_at.changed()).await.unwrap().unwrap();
    *stale_at.borrow_and_update()
}

const MINUTE: SignedDuration = SignedDuration::from_secs(60);

#[tokio::test]
async fn what_was_kept_counts_before_the_first_request() {
    for (kept, expected) in [(None, Some(Timestamp::UNIX_EPOCH)), (Some(ago(20)), Some(ago(20) + MINUTE))] {
        let setup = setup();
        Contact::at_start(Some(&Linked::new(kept)), &setup);
        let stale_at = setup.policy().load().stale_at;
        assert_eq!(stale_at.map(Timestamp::as_second), expected.map(Timestamp::as_second), "{kept:?}");
    }
    let setup = setup();
    Contact::at_start(None, &setup);
    assert_eq!(setup.policy().load().stale_at, None, "no fleet");
}

#[tokio::test]
async fn each_contact_is_followed_and_nothing_else_is_one() {
    let (setup, fleet) = (setup(), Linked::new(None));
    let mut stale_at = setup.stale_at();
    let contact = Contact::at_start(Some(&fleet), &setup);
    assert_eq!(moved(&mut stale_at).await, Some(Timestamp::UNIX_EPOCH));
    let following = tokio::spawn(contact.follow(setup.clone(), Feed::new()));
    let (first, second) = (ago(30), ago(20));
    fleet.current_at(first);
    assert_eq!(moved(&mut stale_at).await, Some(first + MINUTE));
    // Told again with each other change of the link.
    fleet.cut_off();
    fleet.0.send_modify(|link| link.current_at = None);
    fleet.current_at(first);
    fleet.current_at(second);
    assert_eq!(moved(&mut stale_at).await, Some(second + MINUTE), "and the former instant was not left");
    setup.forget_contact();
    assert_eq!(moved(&mut stale_at).await, Some(Timestamp::UNIX_EPOCH));
    fleet.cut_off();
    fleet.current_at(second);
    let third = ago(10);
    fleet.current_at(third);
    assert_eq!(moved(&mut stale_at).await, Some(third + MINUTE), "only another contact is one");
    drop(fleet);
    timeout(Duration::from_secs(10), following).await.unwrap().unwrap();
}
