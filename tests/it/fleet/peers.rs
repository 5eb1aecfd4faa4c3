//! Questions and words of one edge to all others: who answers, who is named as missing, which process speaks for a name, and
//! who hears.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use embedgate::rules::fleet::{AnswersPeers, Fleet, HearsPeers, PeerQuestion, PeerWord};
use embedgate::rules::live::LiveRules;
use embedgate::rules::publisher::Publisher;
use embedgate::rules::source::nats::{NatsConnection, NatsSource};
use embedgate::rules::source::{RuleSource, SourceKind, StartedSource};
use embedgate_policy::suffix::PublicSuffixes;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{BUCKET, NOTICED, in_time};
use crate::support::nats::NatsServer;
use crate::support::relay::Relay;

/// Time for an answer that comes.
const LONG: Duration = Duration::from_secs(20);

/// What an edge has of a fleet, in this process.
struct Member {
    fleet: Arc<dyn Fleet>,
    _source: StartedSource,
    _folder: TempDir,
}

impl Member {
    /// One of this name that answers nothing.
    async fn mute(url: String, name: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = NatsSource::new(NatsConnection {
            servers: vec![url],
            bucket: BUCKET.to_owned(),
            cache: folder.path().join("fleet.redb"),
            tls: false,
            ca: None,
            certificate: None,
            credentials: None,
            edge: name.to_owned(),
            max_staleness: None,
        });
        let publisher = Publisher::new(LiveRules::new(), SourceKind::NATS, BUCKET);
        let started = spawn_blocking(move || {
            source
                .start(publisher, Arc::new(PublicSuffixes::shipped().clone()))
                .map_err(|error| error.to_string())
        });
        let source = started.await.unwrap().unwrap();
        Self { fleet: Arc::clone(source.fleet.as_ref().unwrap()), _source: source, _folder: folder }
    }

    /// One of this name that says this.
    async fn start(url: String, name: &'static str, says: &'static str) -> Self {
        let member = Self::mute(url, name).await;
        member.fleet.answer_by(Arc::new(Says(says)));
        member
    }

    /// The answers of the others to a question about this topic, and who is missing.
    async fn ask(&self, topic: &'static str, within: Duration) -> (BTreeMap<String, String>, Vec<String>) {
        let told = self.fleet.ask(PeerQuestion { topic, body: b"body".to_vec() }, within).await;
        let answers =
            told.answers.into_iter().map(|(edge, answer)| (edge, String::from_utf8(answer).unwrap()));
        (answers.collect(), told.missing.into_iter().collect())
    }

    /// Waits until these edges, and no others, are known and answer this.
    async fn hears(&self, answers: &[(&str, &str)]) {
        let wanted: BTreeMap<String, String> =
            answers.iter().map(|(edge, says)| ((*edge).to_owned(), format!("{says}: body"))).collect();
        in_time(&format!("answers are {wanted:?}"), NOTICED, async || {
            self.ask("who", Duration::from_secs(2)).await == (wanted.clone(), Vec::new())
        })
        .await;
    }
}

/// Answerer of a few topics.
struct Says(&'static str);

impl AnswersPeers for Says {
    fn answer(&self, topic: &str, body: &[u8], most: usize) -> Option<Vec<u8>> {
        match topic {
            "who" => Some(format!("{}: {}", self.0, String::from_utf8_lossy(body)).into()),
            "large" => Some(vec![b'x'; most]),
            "too_large" => Some(vec![b'x'; most + 1]),
            _ => None,
        }
    }
}

/// Hearer that hands on what it hears, with the edge that has said it.
struct Listens(UnboundedSender<(String, String, Vec<u8>)>);

impl HearsPeers for Listens {
    fn hear(&self, edge: &str, topic: &str, body: &[u8]) {
        // The test may be over.
        let _ = self.0.send((edge.to_owned(), topic.to_owned(), body.to_vec()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_word_reaches_all_others_in_its_order_and_what_is_no_word_nobody() {
    let nats = NatsServer::start().await;
    let one = Member::start(nats.url(), "edge-1", "one").await;
    let two = Member::start(nats.url(), "edge-2", "two").await;
    one.hears(&[("edge-2", "two")]).await;
    two.hears(&[("edge-1", "one")]).await;
    let [(said_by_others, mut heard), (own, mut echo)] = [(); 2].map(|()| unbounded_channel());
    two.fleet.hear_by(Arc::new(Listens(said_by_others)));
    one.fleet.hear_by(Arc::new(Listens(own)));

    let stranger = async_nats::connect(nats.url()).await.unwrap();
    stranger.publish(format!("embedgate.{BUCKET}.words"), "\0{".into()).await.unwrap();
    stranger.flush().await.unwrap();
    for n in 0..100_u8 {
        one.fleet.tell_peers(PeerWord { topic: "remembered", body: vec![n] });
    }
    for n in 0..100 {
        let word = timeout(LONG, heard.recv()).await.unwrap().unwrap();
        assert_eq!(word, ("edge-1".to_owned(), "remembered".to_owned(), vec![n]));
    }
    two.fleet.tell_peers(PeerWord { topic: "ended", body: vec![7] });
    let word = timeout(LONG, echo.recv()).await.unwrap().unwrap();
    assert_eq!(word, ("edge-2".to_owned(), "ended".to_owned(), vec![7]), "nobody hears itself");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_edge_answers_and_one_that_is_away_is_named() {
    let nats = NatsServer::start().await;
    let relay = Relay::start(nats.addr);
    let one = Member::start(nats.url(), "edge-1", "one").await;
    let two = Member::start(nats.url(), "edge-2", "two").await;
    let three = Member::start(relay.url(), "edge-3", "three").await;
    one.hears(&[("edge-2", "two"), ("edge-3", "three")]).await;
    two.hears(&[("edge-1", "one"), ("edge-3", "three")]).await;
    three.hears(&[("edge-1", "one"), ("edge-2", "two")]).await;

    // What is no question changes nothing.
    let stranger = async_nats::connect(nats.url()).await.unwrap();
    let subject = format!("embedgate.{BUCKET}.peers");
    stranger.publish_with_reply(subject, "nowhere", "\0{".into()).await.unwrap();
    stranger.flush().await.unwrap();
    relay.silence();
    let within = Duration::from_secs(2);
    in_time("only the one that is silent is missing", NOTICED, async || {
        let asked = Instant::now();
        let (answers, missing) = one.ask("who", within).await;
        let is_waited_for = asked.elapsed() >= within;
        let others = BTreeMap::from([("edge-2".to_owned(), "two: body".to_owned())]);
        is_waited_for && answers == others && missing == ["edge-3"]
    })
    .await;
    relay.heal();
    one.hears(&[("edge-2", "two"), ("edge-3", "three")]).await;

    relay.cut();
    in_time("whoever is cut off hears nobody", NOTICED, async || {
        three.ask("who", LONG).await == (BTreeMap::new(), vec!["edge-1".to_owned(), "edge-2".to_owned()])
    })
    .await;
    // One that has signed off is not missed.
    drop(two);
    in_time("only the one that is cut off is missed", NOTICED, async || {
        one.ask("who", Duration::from_millis(500)).await == (BTreeMap::new(), vec!["edge-3".to_owned()])
    })
    .await;
    relay.heal();
    one.hears(&[("edge-3", "three")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_has_no_answer_says_so_at_once_and_an_older_one_is_waited_for() {
    let nats = NatsServer::start().await;
    let one = Member::start(nats.url(), "edge-1", "one").await;
    assert_eq!(one.ask("who", LONG).await, (BTreeMap::new(), Vec::new()), "nobody else is there");
    let two = Member::start(nats.url(), "edge-2", "two").await;
    let mute = Member::mute(nats.url(), "edge-3").await;
    mute.hears(&[("edge-1", "one"), ("edge-2", "two")]).await;
    let missing = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();

    let asked = Instant::now();
    let (answers, away) = one.ask("who", LONG).await;
    assert_eq!((answers.len(), away), (1, missing(&["edge-3"])));
    assert_eq!(one.ask("later.topic", LONG).await, (BTreeMap::new(), missing(&["edge-2", "edge-3"])));
    assert_eq!(one.ask("too_large", LONG).await.1, missing(&["edge-2", "edge-3"]));
    let (answers, _) = one.ask("large", LONG).await;
    // As much as fits in a message of the server.
    assert_eq!(answers["edge-2"].len(), (1 << 20) - 1024);
    assert!(asked.elapsed() < LONG, "{:?}", asked.elapsed());

    let announcement = json!({ "name": "older", "instance": "0", "version": "0.0.1" });
    nats.bucket(BUCKET).await.put("fleet.edge.older", &announcement.to_string()).await;
    let within = Duration::from_secs(2);
    in_time("the older one is known", NOTICED, async || {
        two.ask("who", within).await.1.contains(&"older".to_owned())
    })
    .await;
    let asked = Instant::now();
    in_time("both are missing", NOTICED, async || {
        two.ask("who", within).await.1 == missing(&["edge-3", "older"])
    })
    .await;
    assert!(asked.elapsed() >= within);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_processes_of_one_name_the_later_one_answers() {
    let nats = NatsServer::start().await;
    let one = Member::start(nats.url(), "edge-1", "one").await;
    let earlier = Member::start(nats.url(), "edge-2", "earlier").await;
    one.hears(&[("edge-2", "earlier")]).await;
    let later = Member::start(nats.url(), "edge-2", "later").await;
    one.hears(&[("edge-2", "later")]).await;
    for _ in 0..20 {
        let (answers, missing) = one.ask("who", LONG).await;
        assert_eq!((answers["edge-2"].as_str(), missing), ("later: body", Vec::new()));
    }
    // Neither is another edge to the other.
    assert_eq!(later.ask("who", LONG).await.0.into_keys().collect::<Vec<_>>(), ["edge-1"]);
    drop(earlier);
    one.hears(&[("edge-2", "later")]).await;
}
