//! Words of other parts of the edge to all edges, beside the bucket. What is said is bytes here, and nobody answers.

use std::sync::Arc;

use async_nats::{Client, HeaderMap, Message};
use bytes::Bytes;
use crossbeam_queue::ArrayQueue;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::hub::Hub;
use super::peers::{EDGE, FROM, TOPIC, is_topic, text};
use crate::rules::fleet::{HearsPeers, PeerWord};

/// Words that may wait to be sent: some seconds of them, while the connection is made anew.
const WAITING: usize = 4096;

/// Longest word, in bytes.
const LONGEST: usize = 16 << 10;

/// Words of this edge that are to be sent, and those who hear the words of others.
pub(super) struct PeerWords {
    hearers: Mutex<Vec<Arc<dyn HearsPeers>>>,
    waiting: ArrayQueue<PeerWord>,
    is_said: Notify,
}

impl Default for PeerWords {
    fn default() -> Self {
        Self { hearers: Mutex::default(), waiting: ArrayQueue::new(WAITING), is_said: Notify::new() }
    }
}

/// Word of another edge.
struct HeardWord {
    from: String,
    edge: String,
    topic: String,
    body: Bytes,
}

impl HeardWord {
    /// Reads a message; `None` where it is no word.
    fn read(message: Message) -> Option<Self> {
        let headers = message.headers.as_ref()?;
        let topic = text(headers, TOPIC).filter(|topic| is_topic(topic))?.to_owned();
        let (from, edge) = (text(headers, FROM)?.to_owned(), text(headers, EDGE)?.to_owned());
        let body = Some(message.payload).filter(|body| body.len() <= LONGEST)?;
        Some(Self { from, edge, topic, body })
    }
}

impl PeerWords {
    /// Has this part hear, too.
    pub(super) fn add(&self, hearer: Arc<dyn HearsPeers>) {
        self.hearers.lock().push(hearer);
    }

    /// Takes a word to be sent. Where too many wait, the oldest is dropped: what is new says more.
    pub(super) fn say(&self, word: PeerWord) {
        if word.body.len() > LONGEST {
            tracing::error!(
                topic = word.topic,
                bytes = word.body.len(),
                "a word to other edges is too large"
            );
            return;
        }
        if self.waiting.force_push(word).is_some() {
            tracing::debug!("too many words to other edges wait, so the oldest is left out");
        }
        self.is_said.notify_one();
    }
}

impl Hub {
    /// Sends what is said, for as long as the connection is open.
    pub(super) async fn send_words(&self, client: &Client) {
        loop {
            while let Some(PeerWord { topic, body }) = self.words.waiting.pop() {
                let mut headers = HeaderMap::new();
                headers.insert(EDGE, self.edge());
                headers.insert(FROM, self.instance.as_str());
                headers.insert(TOPIC, topic);
                let sent = client.publish_with_headers(self.names.words(), headers, body.into()).await;
                if let Err(error) = sent {
                    tracing::debug!(%error, "a word to other edges could not be sent");
                }
            }
            self.words.is_said.notified().await;
        }
    }

    /// Hands a word of another edge on.
    pub(super) fn hear_word(&self, message: Message) {
        let Some(heard) = HeardWord::read(message) else {
            tracing::debug!("a word of another edge can't be read, and is left out");
            return;
        };
        if heard.from == self.instance {
            return;
        }
        let hearers = self.words.hearers.lock().clone();
        hearers.iter().for_each(|hearer| hearer.hear(&heard.edge, &heard.topic, &heard.body));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn message(fields: &[(&'static str, &str)], payload: &[u8]) -> Message {
        let mut headers = HeaderMap::new();
        fields.iter().for_each(|(name, value)| headers.insert(*name, *value));
        Message {
            subject: "embedgate.rules.words".into(),
            reply: None,
            payload: payload.to_vec().into(),
            headers: Some(headers),
            status: None,
            description: None,
            length: 0,
        }
    }

    #[test]
    fn what_is_no_word_is_not_read() {
        let fields = [(FROM, "a1"), (EDGE, "edge-1"), (TOPIC, "remembered")];
        let heard = HeardWord::read(message(&fields, b"any bytes \xff")).unwrap();
        assert_eq!(
            (&*heard.edge, &*heard.topic, &heard.body[..]),
            ("edge-1", "remembered", &b"any bytes \xff"[..])
        );
        assert!(HeardWord::read(message(&fields, &[0; LONGEST])).is_some());
        assert!(HeardWord::read(message(&fields, &[0; LONGEST + 1])).is_none());
        for left_out in 0..fields.len() {
            let mut fields = fields.to_vec();
            fields.remove(left_out);
            assert!(HeardWord::read(message(&fields, b"")).is_none(), "{fields:?}");
        }
        assert!(HeardWord::read(message(&[fields[0], fields[1], (TOPIC, "Not one")], b"")).is_none());
    }

    #[test]
    fn of_too_many_words_the_newest_are_sent() {
        let words = PeerWords::default();
        for n in 0..=WAITING {
            words.say(PeerWord { topic: "remembered", body: n.to_string().into_bytes() });
        }
        words.say(PeerWord { topic: "remembered", body: vec![0; LONGEST + 1] });
        let waiting: Vec<_> = std::iter::from_fn(|| words.waiting.pop()).map(|word| word.body).collect();
        assert_eq!(waiting.len(), WAITING);
        assert_eq!(waiting.first().unwrap(), b"1");
        assert_eq!(waiting.last().unwrap(), WAITING.to_string().as_bytes());
    }
}
