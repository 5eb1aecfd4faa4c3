#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use embedgate_policy::verdict::Reason;
use redb::{ReadableDatabase, TableDefinition};
use tempfile::TempDir;

use super::*;
use crate::notifications::fact::tests::one_of_each;
use crate::notifications::secret_file::SecretFile;
use crate::telemetry::events::{NextEvent, WantedEvents};
use crate::telemetry::metrics::Metrics;

/// Somebody else's table in the same file.
const OTHERS: TableDefinition<'static, u64, u64> = TableDefinition::new("others");

struct OutboxOnDisk {
    outbox: Arc<Outbox>,
    events: Arc<EventFeed>,
    folder: TempDir,
}

fn receiver(folder: &TempDir) -> Arc<WebhookReceiver> {
    let secrets = SecretFile::open(&folder.path().join("secrets")).unwrap();
    Arc::new(WebhookReceiver::new("http://127.0.0.1:9/".parse().unwrap(), secrets, Duration::from_secs(1)))
}

fn opened(folder: TempDir) -> OutboxOnDisk {
    let events = Arc::new(EventFeed::new());
    let metrics = Metrics::new().unwrap().notifications;
    let outbox = Outbox::new(&folder.path().join("notify.redb"), Arc::clone(&events), metrics);
    outbox.set_receiver(Some(receiver(&folder)));
    OutboxOnDisk { outbox, events, folder }
}

fn tried() -> OutboxOnDisk {
    opened(tempfile::tempdir().unwrap())
}

impl OutboxOnDisk {
    /// As after a restart; what was not written is lost.
    fn again(self) -> Self {
        let Self { outbox, events: _, folder } = self;
        drop(outbox);
        let again = opened(folder);
        again.outbox.write();
        again
    }

    /// Kinds and ids of what waits, in order.
    fn waiting(&self) -> Vec<(String, WebhookId)> {
        let waiting = self.outbox.waiting.lock();
        let mut all: Vec<_> = waiting.lanes.all().cloned().collect();
        all.sort_unstable_by_key(|queued| queued.number);
        all.iter().map(|queued| (queued.kind.to_string(), queued.id)).collect()
    }

    fn dead(&self) -> Vec<ShownLetter> {
        self.outbox.dead_letters(None, 2000).letters
    }
}

fn revoked(session: u32) -> Notice {
    Notice::SessionRevoked {
        widget: "w".to_owned(),
        embedder: "https://a.example".to_owned(),
        reason: Reason::NotListed,
        sessions: vec![format!("s{session}")],
        at: "2026-03-04T05:06:07Z".parse().unwrap(),
    }
}

fn limit_reached(number: u32) -> Notice {
    let Some(Notice::LimitReached { widget, part, kind, mode, embedder, at, .. }) =
        one_of_each().into_iter().find(|notice| notice.kind() == "limit.reached")
    else {
        panic!()
    };
    Notice::LimitReached { widget, part, kind, limit: number, mode, embedder, at }
}

/// One of each kind but the summary of embedders, which waits for the end of its hour.
fn one_of_each_that_is_told_at_once() -> Vec<Notice> {
    let all = one_of_each().into_iter();
    all.filter(|notice| !matches!(notice, Notice::EmbedderSummary { .. })).collect()
}

#[test]
fn what_was_taken_waits_over_restarts_in_its_order() {
    let tried = tried();
    one_of_each_that_is_told_at_once().into_iter().for_each(|notice| tried.outbox.tell(notice));
    assert_eq!(tried.waiting(), [], "not before it is written");
    tried.outbox.write();
    let expected: Vec<_> = one_of_each_that_is_told_at_once()
        .iter()
        .map(|notice| (notice.kind().to_owned(), notice.id()))
        .collect();
    assert_eq!(tried.waiting(), expected);
    let tried = tried.again().again();
    assert_eq!(tried.waiting(), expected);
    tried.outbox.tell(revoked(1));
    tried.outbox.write();
    assert_eq!(tried.waiting().last(), Some(&("session.revoked".to_owned(), revoked(1).id())));
}

#[test]
fn a_body_says_what_and_when() {
    let tried = tried();
    let notice = revoked(7);
    tried.outbox.tell(notice.clone());
    tried.outbox.write();
    let waiting = tried.outbox.waiting.lock();
    let body: serde_json::Value = serde_json::from_str(&waiting.lanes.all().next().unwrap().body).unwrap();
    let told = serde_json::to_value(&notice).unwrap();
    assert_eq!((&body["type"], &body["data"]), (&told["type"], &told["data"]));
    assert_eq!(body["timestamp"], told["data"]["at"]);
    assert_eq!(body.as_object().unwrap().len(), 3);
}

#[test]
fn the_same_fact_is_told_once_but_a_revocation_always() {
    let mut tried = tried();
    for _ in 0..2 {
        for notice in one_of_each_that_is_told_at_once() {
            tried.outbox.tell(notice.clone());
            tried.outbox.tell(notice);
        }
        tried.outbox.write();
        tried = tried.again();
    }
    let waiting = tried.waiting();
    for notice in one_of_each_that_is_told_at_once() {
        let times = waiting.iter().filter(|(_, id)| *id == notice.id()).count();
        let always = matches!(notice, Notice::SessionRevoked { .. } | Notice::Test { .. });
        assert_eq!(times, if always { 4 } else { 1 }, "{}", notice.kind());
    }
}

#[tokio::test]
async fn a_change_of_another_table_is_made_with_the_notices_or_not_at_all() {
    let tried = tried();
    let change = |value: u64| -> FileChange {
        Box::new(move |transaction| {
            transaction.open_table(OTHERS)?.insert(1, value)?;
            Ok(())
        })
    };
    let read = |tried: &OutboxOnDisk| {
        tried.outbox.read(|database| match database.begin_read()?.open_table(OTHERS) {
            Ok(table) => Ok(table.get(1)?.map(|value| value.value())),
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        })
    };
    let done = tried.outbox.commit(vec![revoked(1)], change(7));
    // Before that is written, nothing of it is there.
    assert_eq!((read(&tried).unwrap(), tried.waiting().len()), (None, 0));
    tried.outbox.write();
    done.await.unwrap();
    let tried = tried.again();
    assert_eq!((read(&tried).unwrap(), tried.waiting().len()), (Some(7), 1));
    let good = tried.outbox.commit(vec![revoked(2)], change(8));
    let bad =
        tried.outbox.commit(vec![revoked(3)], Box::new(|_| Err(DatabaseFault::Failed("no room".into()))));
    tried.outbox.write();
    assert!(good.await.is_err());
    assert!(bad.await.unwrap_err().detail.contains("no room"));
    assert!(!tried.outbox.state().durable);
    // Both notices are sent all the same, and kept with the next write.
    assert_eq!((read(&tried).unwrap(), tried.waiting().len()), (Some(7), 3));
    tried.outbox.write();
    assert!(tried.outbox.state().durable);
    let tried = tried.again();
    assert_eq!((read(&tried).unwrap(), tried.waiting().len()), (Some(7), 3));
}

#[test]
fn what_arrived_is_gone_and_what_was_given_up_is_shown() {
    let tried = tried();
    (1..=3).for_each(|number| tried.outbox.tell(limit_reached(number)));
    tried.outbox.write();
    let begin = || {
        let begun = tried.outbox.waiting.lock().lanes.begin(QueueKind::Usual, tokio::time::Instant::now());
        begun.unwrap().0
    };
    let first = begin();
    tried.outbox.settle_as(first, super::super::receiver::WebhookDelivery::Arrived);
    let second = begin();
    let error = "the receiver answered 410 Gone".to_owned();
    tried.outbox.settle_as(Arc::clone(&second), super::super::receiver::WebhookDelivery::Refused { error });
    tried.outbox.write();
    let tried = tried.again();
    assert_eq!(tried.waiting(), [("limit.reached".to_owned(), limit_reached(3).id())]);
    let [dead] = &tried.dead()[..] else { panic!() };
    assert_eq!(dead.id, second.id.to_string());
    assert_eq!(
        (dead.tries, &*dead.error, dead.widget.as_deref()),
        (1, "the receiver answered 410 Gone", Some("w"))
    );
    // Tried again, it is last, and no dead letter any more, also after a restart.
    assert_eq!(tried.outbox.retry("msg_0"), Err(NotSent::NoLetter));
    tried.outbox.retry(&dead.id).unwrap();
    tried.outbox.write();
    let tried = tried.again();
    let ids: Vec<_> = tried.waiting().into_iter().map(|(_, id)| id).collect();
    assert_eq!(ids, [limit_reached(3).id(), second.id]);
    assert!(tried.dead().is_empty());
}

#[test]
fn too_many_make_the_oldest_dead_letters_and_revocations_last() {
    let tried = tried();
    tried.outbox.tell(revoked(0));
    let mut number = 0;
    for _ in 0..4 {
        (0..3_000).for_each(|_| {
            number += 1;
            tried.outbox.tell(limit_reached(number));
        });
        tried.outbox.write();
    }
    let state = tried.outbox.state();
    assert_eq!(state.pending, 10_000);
    assert_eq!(
        (state.totals.dead, state.totals.dropped),
        (2_001, 1_001),
        "of dead letters, a thousand are kept"
    );
    tried.outbox.write();
    let tried = tried.again();
    let waiting = tried.waiting();
    assert_eq!((waiting.len(), &*waiting[0].0), (10_000, "session.revoked"));
    let dead = tried.dead();
    assert_eq!((dead.len(), &*dead[0].id), (1_000, &*limit_reached(2_001).id().to_string()));
    // A page at a time.
    let first = tried.outbox.dead_letters(None, 600);
    let after = first.next.and_then(|next| LetterPlace::parse(&next.to_string()));
    assert_eq!(after, first.next);
    let rest = tried.outbox.dead_letters(after, 600);
    assert_eq!((first.letters.len(), rest.letters.len(), rest.next), (600, 400, None));
    // The last one of the page may be gone meanwhile.
    tried.outbox.retry(&first.letters[599].id).unwrap();
    let again = tried.outbox.dead_letters(after, 600);
    assert_eq!((again.letters.len(), &again.letters[0].id), (400, &rest.letters[0].id));
}

#[test]
fn nobody_who_tells_is_held_up() {
    let tried = tried();
    (0..5_000).for_each(|number| tried.outbox.tell(limit_reached(number)));
    assert_eq!(tried.outbox.state().totals.dropped, 5_000 - 4_096);
    tried.outbox.write();
    for number in 0..100_000_u64 {
        let (widget, at) = (format!("w{number}"), Timestamp::now());
        tried.outbox.tell(Notice::RulesChanged { widget, revision: Some(1), actor: None, at });
    }
    assert_eq!(tried.outbox.state().totals.dropped, 5_000 - 4_096, "they are summed up");
    tried.outbox.write();
    let changes = tried.waiting().iter().filter(|(kind, _)| kind == "rules.changed").count();
    assert_eq!(changes, 200);
}

#[tokio::test]
async fn without_a_receiver_nothing_is_kept_and_the_events_tell() {
    let folder = tempfile::tempdir().unwrap();
    let events = Arc::new(EventFeed::new());
    let metrics = Metrics::new().unwrap().notifications;
    let path = folder.path().join("notify.redb");
    let outbox = Outbox::new(&path, Arc::clone(&events), metrics);
    let mut reader = events.reader(WantedEvents::default());
    outbox.tell(revoked(1));
    assert!(outbox.is_wanted());
    outbox.write();
    let NextEvent::Event(event) = reader.next().await else { panic!() };
    let event: serde_json::Value = serde_json::from_str(event.data()).unwrap();
    assert_eq!((&event["kind"], &event["type"]), (&"notification".into(), &"session.revoked".into()));
    assert_eq!((&event["widget"], &event["id"]), (&"w".into(), &revoked(1).id().to_string().into()));
    assert_eq!(event["data"]["sessions"], serde_json::json!(["s1"]));
    assert_eq!(outbox.state().pending, 0);
    assert!(!path.exists());
    assert_eq!(outbox.test().await, Err(NotSent::NoReceiver));
}

#[test]
fn the_file_goes_to_another_process_and_comes_back() {
    let tried = tried();
    tried.outbox.tell(revoked(1));
    tried.outbox.let_go();
    assert_eq!(tried.waiting(), []);
    assert!(!tried.outbox.is_wanted());
    let OutboxOnDisk { outbox: old, events, folder } = tried;
    // The other one has it all, and adds to it.
    let new = Outbox::new(&folder.path().join("notify.redb"), Arc::clone(&events), old.metrics.clone());
    new.set_receiver(Some(receiver(&folder)));
    new.tell(revoked(2));
    new.write();
    // What the old one is told meanwhile is told by the new one.
    old.tell(revoked(3));
    old.write();
    new.let_go();
    old.take_back();
    old.write();
    let tried = OutboxOnDisk { outbox: old, events, folder };
    let ids: Vec<_> = tried.waiting().into_iter().map(|(_, id)| id).collect();
    assert_eq!(ids, [revoked(1).id(), revoked(2).id()]);
}
