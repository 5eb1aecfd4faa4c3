#![allow(clippy::unwrap_used)]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;

use super::*;

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    fields.iter().for_each(|(name, value)| headers.insert(*name, *value));
    headers
}

fn message(headers: Option<HeaderMap>, reply: Option<&str>, payload: &[u8]) -> Message {
    Message {
        subject: "embedgate.rules.peers".into(),
        reply: reply.map(Into::into),
        payload: payload.to_vec().into(),
        headers,
        status: None,
        description: None,
        length: 0,
    }
}

fn asked(topic: &str, within: Duration) -> AskedByPeer {
    AskedByPeer {
        from: "a1".into(),
        topic: topic.into(),
        most: 100,
        until: Instant::now() + within,
        reply: "inbox".into(),
        body: Bytes::from_static(b"question"),
    }
}

#[tokio::test]
async fn what_is_no_question_is_not_read() {
    let fields = [(FROM, "a1"), (TOPIC, "activity.widget"), (MOST, "1000"), (WITHIN, "1000")];
    let read = |fields: &[(&'static str, &str)], reply, body: &[u8]| {
        AskedByPeer::read(message(Some(headers(fields)), reply, body)).is_some()
    };
    assert!(read(&fields, Some("inbox"), b"any bytes \xff"));
    assert!(!read(&fields, None, b""), "nobody waits for the answer");
    assert!(AskedByPeer::read(message(None, Some("inbox"), b"")).is_none());
    assert!(
        read(&fields, Some("inbox"), &[0; QUESTION]) && !read(&fields, Some("inbox"), &[0; QUESTION + 1])
    );
    for left_out in 0..fields.len() {
        let mut fields = fields.to_vec();
        fields.remove(left_out);
        assert!(!read(&fields, Some("inbox"), b""), "{fields:?}");
    }
    let long = "a".repeat(LONGEST_TOPIC + 1);
    for (at, value) in [
        (1, ""),
        (1, "Activity"),
        (1, "activity widget"),
        (1, "activity\u{1b}[2J"),
        (1, &long),
        (2, "-1"),
        (2, "many"),
        (3, "1.5"),
        (3, "99999999999999999999999"),
    ] {
        let mut fields = fields;
        fields[at].1 = value;
        assert!(!read(&fields, Some("inbox"), b""), "{fields:?}");
    }
    let mut fields = fields;
    fields[3].1 = "18446744073709551615";
    let asked = AskedByPeer::read(message(Some(headers(&fields)), Some("inbox"), b"")).unwrap();
    assert!(asked.until <= Instant::now() + LONGEST);
}

#[test]
fn an_answer_says_whose_it_is_and_is_as_small_as_was_asked_for() {
    let own = [(EDGE, "edge-1"), (FROM, "a1")];
    let read = |fields: &[(&'static str, &str)], body: &[u8]| {
        AnswerOfPeer::read(&message(Some(headers(fields)), None, body), 3).map(|answer| answer.body)
    };
    assert_eq!(read(&own, b"yes"), Some(Some(Bytes::from_static(b"yes"))));
    assert_eq!(read(&own, b""), Some(Some(Bytes::new())), "an empty answer is one");
    assert_eq!(read(&own, b"maybe"), Some(None));
    assert_eq!(read(&[own[0], own[1], (NO_ANSWER, "1")], b""), Some(None));
    // As the server answers where nobody listens.
    assert_eq!(read(&[], b""), None);
    assert_eq!((read(&own[..1], b"yes"), read(&own[1..], b"yes")), (None, None));
    assert_eq!(read(&[(EDGE, "edge\u{1b}[2J"), own[1]], b"yes"), None);
}

#[test]
fn the_process_that_was_announced_last_answers_for_its_edge() {
    let edges = [("a", "a2"), ("b", "b1")].map(|(name, instance)| (name.to_owned(), instance.to_owned()));
    let edges = BTreeMap::from(edges);
    for (answers, are_all, told, missing) in [
        (vec![], false, vec![], vec!["a", "b"]),
        (vec![("a", "a2", Some("new"))], false, vec![("a", "new")], vec!["b"]),
        (
            vec![("a", "a2", Some("new")), ("b", "b1", Some("b"))],
            true,
            vec![("a", "new"), ("b", "b")],
            vec![],
        ),
        // Another process of the name before it, and behind it.
        (
            vec![("a", "a1", Some("old")), ("a", "a2", Some("new")), ("b", "b1", None)],
            true,
            vec![("a", "new")],
            vec!["b"],
        ),
        (vec![("a", "a2", Some("new")), ("a", "a1", Some("old"))], false, vec![("a", "new")], vec!["b"]),
        (vec![("a", "a2", None), ("a", "a1", Some("old"))], false, vec![], vec!["a", "b"]),
        // The announcement of the process that answers is still on its way.
        (vec![("a", "a3", Some("newer"))], false, vec![("a", "newer")], vec!["b"]),
        // A process that has thought again, and edges that nobody has announced.
        (
            vec![("b", "b1", None), ("b", "b1", Some("b")), ("c", "c1", Some("c")), ("d", "d1", None)],
            false,
            vec![("b", "b"), ("c", "c")],
            vec!["a"],
        ),
    ] {
        let mut so_far = AnswersSoFar::default();
        for (edge, instance, body) in &answers {
            let body = body.map(|body: &str| Bytes::from(body.to_owned()));
            so_far.note(AnswerOfPeer { edge: (*edge).into(), instance: (*instance).into(), body });
        }
        assert_eq!(so_far.are_of(&edges), are_all, "{answers:?}");
        let expected = PeerAnswers {
            answers: told.iter().map(|(edge, body)| ((*edge).to_owned(), body.as_bytes().to_vec())).collect(),
            missing: missing.into_iter().map(str::to_owned).collect(),
        };
        assert_eq!(so_far.told(&edges), expected, "{answers:?}");
    }
}

#[test]
fn answers_have_room_in_a_message_and_not_too_many_bytes_together() {
    let payload = 1 << 20;
    assert_eq!(room(payload, 0), payload - HEADERS);
    assert_eq!(room(payload, 2), payload - HEADERS);
    assert_eq!(room(payload, 32), ALL_ANSWERS / 32);
    assert_eq!(room(payload, 1000), EACH_ANSWER);
    assert_eq!(room(4096, 1000), 4096 - HEADERS);
    assert_eq!(room(0, 2), 0);
}

/// Answerer of one topic, with the topic or with so many bytes.
struct Topic(&'static str, usize);

impl AnswersPeers for Topic {
    fn answer(&self, topic: &str, _: &[u8], _: usize) -> Option<Vec<u8>> {
        assert_ne!(topic, "panic");
        (topic == self.0).then(|| vec![b'x'; self.1])
    }
}

#[tokio::test]
async fn the_first_part_that_knows_the_topic_answers() {
    let desk = PeerDesk::default();
    let soon = Duration::from_secs(10);
    assert_eq!(desk.answer(asked("a", soon), 100).await, None, "nobody answers yet");
    for (topic, bytes) in [("a", 1), ("b", 100), ("c", 101), ("a", 2)] {
        desk.add(Arc::new(Topic(topic, bytes)));
    }
    for (topic, bytes) in [("a", Some(1)), ("b", Some(100)), ("c", None), ("d", None), ("panic", None)] {
        let answer = desk.answer(asked(topic, soon), 100).await;
        assert_eq!(answer.map(|answer| answer.len()), bytes, "{topic}");
    }
    assert_eq!(
        (desk.places.available_permits(), desk.turns.available_permits()),
        (AT_ONCE + WAITING, AT_ONCE)
    );
}

/// Answerer that takes until it is released, and counts.
#[derive(Default)]
struct Slow {
    released: OnceLock<()>,
    begun: AtomicUsize,
}

impl AnswersPeers for Slow {
    fn answer(&self, _: &str, _: &[u8], _: usize) -> Option<Vec<u8>> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.released.wait();
        Some(Vec::new())
    }
}

#[tokio::test]
async fn few_questions_are_answered_at_once_and_some_wait() {
    let (desk, slow) = (Arc::new(PeerDesk::default()), Arc::new(Slow::default()));
    desk.add(Arc::clone(&slow) as Arc<dyn AnswersPeers>);
    let ask = |within| {
        let desk = Arc::clone(&desk);
        async move { desk.answer(asked("any", within), 100).await }
    };
    let mut answers = JoinSet::new();
    for _ in 0..AT_ONCE + WAITING - 1 {
        answers.spawn(ask(Duration::from_secs(60)));
    }
    while slow.begun.load(Ordering::SeqCst) < AT_ONCE || desk.places.available_permits() > 1 {
        tokio::task::yield_now().await;
    }
    // One waits in vain, and for another there is no place.
    let (late, refused) = tokio::join!(ask(Duration::from_millis(20)), ask(Duration::from_secs(60)));
    assert_eq!((late, refused), (None, None));
    assert_eq!(slow.begun.load(Ordering::SeqCst), AT_ONCE);
    slow.released.set(()).unwrap();
    assert!(answers.join_all().await.iter().all(Option::is_some));
    assert_eq!(slow.begun.load(Ordering::SeqCst), AT_ONCE + WAITING - 1);
}
