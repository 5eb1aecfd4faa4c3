//! Questions of other parts of the edge to all edges, beside the bucket. What is asked and answered is bytes here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, HeaderMap, Message, Subject};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use super::hub::Hub;
use crate::rules::fleet::{AnswersPeers, PeerAnswers, PeerQuestion};

/// Headers of questions and answers: the process that sends it, the name of its edge, what is asked about, how many
/// bytes an answer may have, in how many milliseconds it is wanted, and that there is none.
pub(super) const FROM: &str = "Embedgate-From";
pub(super) const EDGE: &str = "Embedgate-Edge";
pub(super) const TOPIC: &str = "Embedgate-Topic";
const MOST: &str = "Embedgate-Most";
const WITHIN: &str = "Embedgate-Within";
const NO_ANSWER: &str = "Embedgate-No-Answer";

/// Bytes of a message that are left to its headers.
const HEADERS: usize = 1024;

/// Bytes of all answers to one question: changes of the rules come over the same connection, and wait for no more.
const ALL_ANSWERS: usize = 8 << 20;

/// Bytes that each answer may have in any fleet.
const EACH_ANSWER: usize = 128 << 10;

/// Longest question, in bytes.
const QUESTION: usize = 16 << 10;

/// Longest topic, in bytes.
const LONGEST_TOPIC: usize = 64;

/// Longest time in which an answer may be wanted.
const LONGEST: Duration = Duration::from_secs(60);

/// Questions that are answered at the same time, each on a thread, and those that may wait for that.
const AT_ONCE: usize = 4;
const WAITING: usize = 64;

/// Answering side of this edge.
pub(super) struct PeerDesk {
    answerers: Mutex<Vec<Arc<dyn AnswersPeers>>>,
    /// One for each question that is answered or waits.
    places: Arc<Semaphore>,
    /// One for each question that is answered.
    turns: Arc<Semaphore>,
}

impl Default for PeerDesk {
    fn default() -> Self {
        Self {
            answerers: Mutex::default(),
            places: Arc::new(Semaphore::new(AT_ONCE + WAITING)),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

impl PeerDesk {
    /// Has this part answer, too.
    pub(super) fn add(&self, answerer: Arc<dyn AnswersPeers>) {
        self.answerers.lock().push(answerer);
    }

    /// The answer of the first part that has one, in its turn.
    async fn answer(&self, asked: AskedByPeer, most: usize) -> Option<Vec<u8>> {
        let Ok(_place) = Arc::clone(&self.places).try_acquire_owned() else {
            tracing::debug!(topic = asked.topic, "too many questions of other edges at once");
            return None;
        };
        let turn = timeout_at(asked.until, Arc::clone(&self.turns).acquire_owned()).await.ok()?.ok()?;
        let answerers = self.answerers.lock().clone();
        let topic = asked.topic.clone();
        let answered = spawn_blocking(move || {
            let _turn = turn;
            answerers.iter().find_map(|answerer| answerer.answer(&asked.topic, &asked.body, most))
        });
        match answered.await {
            Ok(Some(answer)) if answer.len() > most => {
                tracing::error!(topic, bytes = answer.len(), most, "an answer to another edge is too large");
                None
            }
            Ok(Some(answer)) => Some(answer),
            Ok(None) => {
                tracing::debug!(topic, "no answer to a question of another edge");
                None
            }
            Err(error) => {
                tracing::error!(topic, %error, "a question of another edge could not be answered");
                None
            }
        }
    }
}

/// Question of another edge.
struct AskedByPeer {
    from: String,
    topic: String,
    most: usize,
    until: Instant,
    reply: Subject,
    body: Bytes,
}

impl AskedByPeer {
    /// Reads a message; `None` where it is no question.
    fn read(message: Message) -> Option<Self> {
        let headers = message.headers.as_ref()?;
        let topic = text(headers, TOPIC).filter(|topic| is_topic(topic))?.to_owned();
        let within = Duration::from_millis(text(headers, WITHIN)?.parse().ok()?).min(LONGEST);
        let (from, most) = (text(headers, FROM)?.to_owned(), text(headers, MOST)?.parse().ok()?);
        let (until, reply) = (Instant::now() + within, message.reply?);
        let body = Some(message.payload).filter(|body| body.len() <= QUESTION)?;
        Some(Self { from, topic, most, until, reply, body })
    }
}

/// Answer of another edge.
#[derive(Debug)]
struct AnswerOfPeer {
    edge: String,
    instance: String,
    /// `None`: it has said that it has none.
    body: Option<Bytes>,
}

impl AnswerOfPeer {
    /// Reads a message; `None` where it is no answer. One that is larger than was asked for counts as none.
    fn read(message: &Message, most: usize) -> Option<Self> {
        let headers = message.headers.as_ref()?;
        let has_answer = headers.get(NO_ANSWER).is_none() && message.payload.len() <= most;
        Some(Self {
            edge: text(headers, EDGE)
                .filter(|edge| edge.bytes().all(|byte| byte.is_ascii_graphic()))?
                .to_owned(),
            instance: text(headers, FROM)?.to_owned(),
            body: has_answer.then(|| message.payload.clone()),
        })
    }
}

/// Answers to a question, as they come: those of each process, in their order, by the name of its edge.
#[derive(Debug, Default)]
struct AnswersSoFar(BTreeMap<String, Vec<(String, Option<Bytes>)>>);

impl AnswersSoFar {
    fn note(&mut self, answer: AnswerOfPeer) {
        let AnswerOfPeer { edge, instance, body } = answer;
        let answers = self.0.entry(edge).or_default();
        answers.retain(|(known, _)| *known != instance);
        answers.push((instance, body));
    }

    /// Whether the process that was announced last has answered for each of these edges.
    fn are_of(&self, edges: &BTreeMap<String, String>) -> bool {
        edges.iter().all(|(edge, instance)| {
            self.0.get(edge).is_some_and(|answers| answers.iter().any(|(known, _)| known == instance))
        })
    }

    /// The answers, and those of these edges from which there is none. Of several processes of one name, the one that was
    /// announced last counts, and the last one to answer where that is not known.
    fn told(self, edges: &BTreeMap<String, String>) -> PeerAnswers {
        let mut told = PeerAnswers { missing: edges.keys().cloned().collect(), ..PeerAnswers::default() };
        for (edge, mut answers) in self.0 {
            let announced = edges.get(&edge);
            let newest = answers.iter().position(|(instance, _)| Some(instance) == announced);
            let body = match newest {
                Some(at) => answers.swap_remove(at).1,
                None => answers.pop().and_then(|(_, body)| body),
            };
            if let Some(body) = body {
                told.missing.remove(&edge);
                told.answers.insert(edge, body.into());
            }
        }
        told
    }
}

impl Hub {
    /// Answers one question of another edge, on a task of its own.
    pub(super) fn answer_peer(self: &Arc<Self>, client: &Client, question: Message) {
        let Some(asked) = AskedByPeer::read(question) else {
            tracing::debug!("a question of another edge can't be read, and is left out");
            return;
        };
        // Whoever has lost its name to another process does not speak for it.
        if asked.from == self.instance || self.is_superseded() {
            return;
        }
        let (hub, client) = (Arc::clone(self), client.clone());
        drop(tokio::spawn(async move {
            let reply = asked.reply.clone();
            let most = asked.most.min(client.max_payload().saturating_sub(HEADERS));
            let answer = hub.peers.answer(asked, most).await;
            let mut headers = HeaderMap::new();
            headers.insert(EDGE, hub.edge());
            headers.insert(FROM, hub.instance.as_str());
            if answer.is_none() {
                headers.insert(NO_ANSWER, "1");
            }
            let sent = client.publish_with_headers(reply, headers, answer.unwrap_or_default().into()).await;
            if let Err(error) = sent {
                tracing::debug!(%error, "an answer to another edge could not be sent");
            }
        }));
    }

    /// The answers of all other edges that answer within this time. One that does not makes it last that long, and so does
    /// a bucket that is not followed: it may not tell who is there.
    pub(super) async fn ask_peers(&self, question: PeerQuestion, within: Duration) -> PeerAnswers {
        let PeerQuestion { topic, body } = question;
        let mut answers = AnswersSoFar::default();
        let knows_all = self.link.borrow().connected;
        let awaited = self.awaited_peers();
        if awaited.is_empty() && knows_all {
            return answers.told(&self.known_peers());
        }
        let within = within.min(LONGEST);
        let payload = self.connection().map_or(0, |connection| connection.client.max_payload());
        let most = room(payload, awaited.len());
        let mut headers = HeaderMap::new();
        headers.insert(FROM, self.instance.as_str());
        headers.insert(TOPIC, topic);
        headers.insert(MOST, most.to_string());
        headers.insert(WITHIN, within.as_millis().to_string());
        let asked =
            self.inquire(self.names.peers(), headers, body.into(), Instant::now() + within, |answer| {
                if let Some(answer) = AnswerOfPeer::read(answer, most)
                    && answer.edge != self.edge()
                {
                    answers.note(answer);
                }
                knows_all && answers.are_of(&awaited)
            });
        if let Err(reason) = asked.await {
            tracing::debug!(topic, %reason, "the other edges can't be asked");
        }
        answers.told(&self.known_peers())
    }

    /// The other edges that are waited for, by name, each with the process that was announced last.
    fn awaited_peers(&self) -> BTreeMap<String, String> {
        let mut edges = self.registry.lock().waited_for(Instant::now());
        edges.remove(self.edge());
        edges
    }

    /// The same with those that have not been heard of for so long that they deny by themselves.
    fn known_peers(&self) -> BTreeMap<String, String> {
        let registry = self.registry.lock();
        let others = registry.all().filter(|(name, _)| *name != self.edge());
        others.map(|(name, edge)| (name.clone(), edge.announcement.instance.clone())).collect()
    }
}

/// The bytes that the answer of each of so many edges may have, where a message has at most so many.
fn room(payload: usize, edges: usize) -> usize {
    (ALL_ANSWERS / edges.max(1)).max(EACH_ANSWER).min(payload.saturating_sub(HEADERS))
}

pub(super) fn text<'h>(headers: &'h HeaderMap, name: &'static str) -> Option<&'h str> {
    headers.get(name).map(|value| value.as_str())
}

pub(super) fn is_topic(topic: &str) -> bool {
    let is_part_of_one = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_');
    (1..=LONGEST_TOPIC).contains(&topic.len()) && topic.bytes().all(is_part_of_one)
}

#[cfg(test)]
mod tests;
