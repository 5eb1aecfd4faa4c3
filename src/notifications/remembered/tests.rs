#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicU64, AtomicUsize};

use redb::Database;
use redb::backends::InMemoryBackend;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

use super::learning::KEPT_WITHIN;
use super::*;
use crate::database::DatabaseError;
use crate::notifications::notice::Notice;
use crate::rules::change::{Actor, ApplyOptions, Change};
use crate::rules::fixtures::{delete, put};
use crate::rules::publisher::Publisher;
use embedgate_policy::decision::{Facts, TicketState};
use embedgate_policy::origin::{Embedder, Origin};
use embedgate_policy::verdict::Class;

const A: &str = "https://a.example";
const B: &str = "https://b.example";

type Job = (Vec<Notice>, LedgerChange, oneshot::Sender<Result<(), DatabaseError>>);

/// File in memory, which can be made to fail.
struct TestLedger {
    jobs: mpsc::UnboundedSender<Job>,
    disk: Arc<Disk>,
}

struct Disk {
    database: Database,
    /// What was told, each with the sessions that the file had right after.
    told: Mutex<Vec<(Notice, Vec<String>)>>,
    fails: AtomicBool,
    /// It takes so many milliseconds for each write.
    slow: AtomicUsize,
    /// It has room for so many notices.
    room: AtomicUsize,
    begun_anew: AtomicU64,
}

impl Disk {
    fn new() -> Arc<Self> {
        let database = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
        Arc::new(Self {
            database,
            told: Mutex::default(),
            fails: AtomicBool::new(false),
            slow: AtomicUsize::new(0),
            room: AtomicUsize::new(usize::MAX),
            begun_anew: AtomicU64::new(0),
        })
    }

    fn rows(&self) -> Vec<String> {
        let transaction = self.database.begin_write().unwrap();
        let rows = row::all(&transaction).unwrap();
        let mut rows: Vec<String> =
            rows.iter().map(|row| format!("{} {}", row.name.source.widget, row.name.id)).collect();
        rows.sort();
        rows
    }

    /// The embedders and the sessions that were told.
    fn told(&self) -> Vec<(String, Vec<String>)> {
        let told = self.told.lock();
        let told = told.iter().map(|(notice, _)| match notice {
            Notice::SessionRevoked { embedder, sessions, .. } => (embedder.clone(), sessions.clone()),
            other => panic!("{other:?}"),
        });
        told.collect()
    }
}

impl TestLedger {
    fn on(disk: &Arc<Disk>) -> Arc<Self> {
        let (jobs, mut queue) = mpsc::unbounded_channel::<Job>();
        let disk_ = Arc::clone(disk);
        tokio::spawn(async move {
            while let Some((notices, change, done)) = queue.recv().await {
                let slow = disk_.slow.load(Ordering::Relaxed) as u64;
                sleep(Duration::from_millis(slow)).await;
                let failed = disk_.fails.load(Ordering::Relaxed);
                if !failed {
                    let transaction = disk_.database.begin_write().unwrap();
                    change(&transaction).unwrap();
                    transaction.commit().unwrap();
                }
                let rows = disk_.rows();
                disk_.told.lock().extend(notices.into_iter().map(|notice| (notice, rows.clone())));
                let error = || DatabaseError { detail: "the disk is full".to_owned() };
                let _ = done.send(if failed { Err(error()) } else { Ok(()) });
            }
        });
        Arc::new(Self { jobs, disk: Arc::clone(disk) })
    }
}

impl Ledger for TestLedger {
    fn commit(&self, notices: Vec<Notice>, change: LedgerChange) -> LedgerCommit {
        let (done, answer) = oneshot::channel();
        self.jobs.send((notices, change, done)).unwrap();
        Box::pin(async move { answer.await.unwrap() })
    }

    fn room(&self, _bytes: usize) -> usize {
        self.disk.room.load(Ordering::Relaxed)
    }

    fn times_begun_anew(&self) -> u64 {
        self.disk.begun_anew.load(Ordering::Relaxed)
    }
}

/// Places that are taken: the embedder, and how many.
#[derive(Default)]
struct Places(Arc<Mutex<Vec<String>>>);

struct Taken(Arc<Mutex<Vec<String>>>, String);

impl Drop for Taken {
    fn drop(&mut self) {
        let mut places = self.0.lock();
        let place = places.iter().position(|place| *place == self.1).unwrap();
        places.remove(place);
    }
}

impl Occupies for Places {
    fn occupy(&self, Seat { widget, embedder, address, is_listed, .. }: &Seat<'_>) -> TakenSeat {
        assert!(is_listed);
        let place =
            format!("{widget} {embedder} {}", address.map_or(String::new(), |address| address.to_string()));
        self.0.lock().push(place.clone());
        Box::new(Taken(Arc::clone(&self.0), place))
    }
}

struct House {
    publisher: Publisher,
    policy: Arc<ArcSwap<EdgePolicy>>,
    metrics: Metrics,
    ledger: Arc<TestLedger>,
    places: Arc<Mutex<Vec<String>>>,
    sessions: Arc<RememberedSessions>,
}

impl House {
    /// An edge on this disk, of which nothing runs yet.
    fn on(disk: &Arc<Disk>, changes: &[Change]) -> Self {
        let (rules, metrics) = (LiveRules::new(), Metrics::new().unwrap());
        let policy =
            Arc::new(ArcSwap::from_pointee(EdgePolicy { open_allowed: true, ..EdgePolicy::default() }));
        let (ledger, places) = (TestLedger::on(disk), Places::default());
        let taken = Arc::clone(&places.0);
        let sessions = RememberedSessions::new(
            rules.clone(),
            Arc::clone(&policy),
            Arc::clone(&ledger) as _,
            Arc::new(places),
            metrics.remembered.clone(),
            Duration::from_secs(3600),
        );
        let observer = Arc::clone(&sessions) as Arc<dyn Observer>;
        let publisher = Publisher::new(rules, SourceKind::STORE, "test").with_observer(observer);
        let house = Self { publisher, policy, metrics, ledger, places: taken, sessions };
        house.save(changes);
        house
    }

    /// A running one.
    fn running(disk: &Arc<Disk>, changes: &[Change]) -> Self {
        let house = Self::on(disk, changes);
        house.run();
        house
    }

    fn run(&self) {
        tokio::spawn(Arc::clone(&self.sessions).run());
    }

    fn save(&self, changes: &[Change]) {
        let (changes, options) = (changes.to_vec(), ApplyOptions::default());
        self.publisher.apply_confirmed(changes, options, Some(usize::MAX), Actor::CommandLine).unwrap();
    }

    async fn learn(&self, widget: &str, page: &str, begun: &[&str], ended: &[&str]) {
        let request = NamingRequest {
            widget,
            facts: facts(widget, page),
            address: Some(IpAddr::from([192, 0, 2, 1])),
            upstream: "app",
        };
        let lines = |lines: &[&str]| lines.iter().map(|line| line.as_bytes().to_vec()).collect::<Vec<_>>();
        let (begun, ended) = (lines(begun), lines(ended));
        let named = NamedSessions::read(begun.iter().map(Vec::as_slice), ended.iter().map(Vec::as_slice));
        self.sessions.learn(request, named).await;
    }

    fn outcome(&self, outcome: &str) -> f64 {
        let text = self.metrics.render().unwrap();
        let line = format!("embedgate_remembered_sessions_total{{outcome=\"{outcome}\"}} ");
        text.lines().find_map(|text| text.strip_prefix(&line)?.parse().ok()).unwrap()
    }

    fn disk(&self) -> &Arc<Disk> {
        &self.ledger.disk
    }
}

fn facts(widget: &str, page: &str) -> SessionFacts {
    let facts = Facts {
        widget,
        class: Class::Session,
        embedder: Embedder::Known(Origin::parse(page).unwrap()),
        missing_denied: false,
        ticket: TicketState::Absent,
    };
    SessionFacts::keep(&facts).unwrap()
}

async fn eventually(what: &str, done: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < until, "{what}");
        sleep(Duration::from_millis(2)).await;
    }
}

fn told(page: &str, sessions: &[&str]) -> (String, Vec<String>) {
    (page.to_owned(), sessions.iter().map(|session| (*session).to_owned()).collect())
}

fn both() -> Change {
    put("w", &["a.example", "b.example"], "")
}

#[tokio::test]
async fn a_save_tells_exactly_what_it_denies() {
    let house = House::running(&Disk::new(), &[both(), put("other", &["a.example"], "")]);
    house.learn("w", A, &["a1", "a2"], &[]).await;
    house.learn("w", B, &["b1"], &[]).await;
    house.learn("other", A, &["o1"], &[]).await;
    assert_eq!(house.disk().rows().len(), 4, "they are on the disk when the answer passes");
    house.save(&[put("w", &["b.example"], "")]);
    eventually("it is told", || house.disk().told().len() == 1).await;
    assert_eq!(house.disk().told(), [told(A, &["a1", "a2"])]);
    let (_, rows) = house.disk().told.lock()[0].clone();
    assert_eq!(rows, ["other o1", "w b1"], "what is told is forgotten in the same transaction");
    house.save(&[put("other", &["a.example"], r#""enabled":false"#)]);
    house.save(&[delete("w", None)]);
    eventually("so is the rest", || house.disk().told().len() == 3).await;
    assert_eq!((house.sessions.count(), house.disk().rows().len()), (0, 0));
    assert_eq!((house.outcome("named"), house.outcome("revoked")), (4.0, 4.0));
}

#[tokio::test]
async fn monitor_and_what_has_ended_tell_nothing() {
    let house = House::running(&Disk::new(), &[both()]);
    house.learn("w", A, &["a1", "a2"], &[]).await;
    house.learn("w", B, &["b1"], &["a1"]).await;
    house.save(&[put("w", &["b.example"], r#""access":"monitor""#)]);
    house.save(&[put("w", &["b.example"], "")]);
    eventually("it is told", || !house.disk().told().is_empty()).await;
    assert_eq!(house.disk().told(), [told(A, &["a2"])], "a1 was over, as another page has said");
    assert_eq!(house.outcome("ended"), 1.0);
}

#[tokio::test]
async fn a_notice_has_a_thousand_at_most() {
    let house = House::running(&Disk::new(), &[both()]);
    let ids: Vec<String> = (0..2_500).map(|id| format!("s{id:04}")).collect();
    for line in ids.chunks(MOST_NAMED) {
        house.learn("w", A, &[&line.join(",")], &[]).await;
    }
    house.save(&[delete("w", None)]);
    eventually("all are told", || house.disk().told().len() == 3).await;
    let told = house.disk().told();
    assert_eq!(told.iter().map(|(_, sessions)| sessions.len()).collect::<Vec<_>>(), [1000, 1000, 500]);
    assert_eq!(told.into_iter().flat_map(|(_, sessions)| sessions).collect::<Vec<_>>(), ids, "in order");
}

#[tokio::test]
async fn what_is_named_under_rules_that_deny_it_is_told_at_once() {
    let house = House::running(&Disk::new(), &[both()]);
    house.save(&[put("w", &["b.example"], "")]);
    house.learn("w", A, &["late"], &[]).await;
    assert_eq!(house.disk().told(), [told(A, &["late"])], "before the answer passes");
    assert_eq!((house.sessions.count(), house.disk().rows().len()), (0, 0));
}

#[tokio::test]
async fn an_entry_that_expires_tells() {
    let soon = Timestamp::from_millisecond(Timestamp::now().as_millisecond() + 300).unwrap();
    let entries = format!(r#"[{{"pattern":"a.example","expires_at":"{soon}"}},"b.example"]"#);
    let widget = format!(r#"{{"id":"w","allowed_domains":{entries}}}"#);
    let house = House::running(&Disk::new(), &[Change::put(crate::rules::fixtures::widget(&widget))]);
    house.learn("w", A, &["a"], &[]).await;
    house.learn("w", B, &["b"], &[]).await;
    eventually("it is told", || !house.disk().told().is_empty()).await;
    assert!(Timestamp::now() >= soon);
    assert_eq!(house.disk().told(), [told(A, &["a"])]);
}

#[tokio::test]
async fn another_policy_and_rules_that_are_too_old_tell() {
    let house = House::running(&Disk::new(), &[put("open", &[], r#""access":"open""#), both()]);
    house.learn("open", A, &["o"], &[]).await;
    house.learn("w", A, &["a"], &[]).await;
    house.policy.store(Arc::new(EdgePolicy::default()));
    house.sessions.judge_all();
    eventually("it is told", || !house.disk().told().is_empty()).await;
    assert_eq!(house.disk().told(), [told(A, &["o"])]);
    let stale_at = Some(Timestamp::now());
    house.policy.store(Arc::new(EdgePolicy { stale_at, ..EdgePolicy::default() }));
    eventually("it is told", || house.disk().told().len() == 2).await;
    assert_eq!(house.disk().told()[1], told(A, &["a"]));
}

#[tokio::test]
async fn a_start_reads_and_judges_them() {
    let disk = Disk::new();
    let before = House::running(&disk, &[both()]);
    before.learn("w", A, &["a;max-age=3600"], &[]).await;
    before.learn("w", B, &["b;max-age=3600"], &[]).await;
    drop(before);
    let limits = r#""limits":{"widget":{"sessions":9}}"#;
    let house = House::on(&disk, &[put("w", &["b.example"], limits)]);
    // Before the file is read.
    house.learn("w", B, &["c"], &[]).await;
    assert_eq!(house.sessions.count(), 1);
    house.run();
    eventually("it is told", || !disk.told().is_empty()).await;
    assert_eq!(disk.told(), [told(A, &["a"])]);
    assert_eq!((disk.rows(), house.sessions.count()), (vec!["w b".to_owned(), "w c".to_owned()], 2));
    assert_eq!(*house.places.lock(), [format!("w {B} ")], "its place is taken again, without an address");
}

#[tokio::test]
async fn what_ends_before_the_file_is_read_has_ended() {
    let disk = Disk::new();
    let before = House::running(&disk, &[both()]);
    before.learn("w", A, &["a1", "a2"], &[]).await;
    drop(before);
    let house = House::on(&disk, &[both()]);
    house.learn("w", B, &[], &["a1"]).await;
    house.run();
    eventually("it is read", || house.sessions.count() > 0).await;
    assert_eq!((disk.rows(), house.sessions.count()), (vec!["w a2".to_owned()], 1));
}

#[tokio::test]
async fn a_disk_that_takes_nothing_holds_nobody_up() {
    let house = House::running(&Disk::new(), &[both()]);
    house.learn("w", A, &["before"], &[]).await;
    house.disk().fails.store(true, Ordering::Relaxed);
    house.learn("w", A, &["a"], &["before"]).await;
    house.learn("w", B, &["b"], &[]).await;
    assert_eq!((house.sessions.count(), house.disk().rows()), (2, vec!["w before".to_owned()]));
    assert_eq!(house.outcome("not_kept"), 2.0);
    house.save(&[put("w", &["b.example"], "")]);
    eventually("it is told all the same", || !house.disk().told().is_empty()).await;
    assert_eq!(house.disk().told(), [told(A, &["a"])]);
    house.disk().fails.store(false, Ordering::Relaxed);
    eventually("the file catches up", || house.disk().rows() == ["w b"]).await;
}

#[tokio::test]
async fn a_file_that_can_t_be_read_keeps_nobody_from_being_told() {
    let disk = Disk::new();
    let before = House::running(&disk, &[both()]);
    before.learn("w", A, &["before"], &[]).await;
    drop(before);
    disk.fails.store(true, Ordering::Relaxed);
    let house = House::running(&disk, &[both()]);
    house.learn("w", A, &["a"], &[]).await;
    house.save(&[put("w", &["b.example"], "")]);
    eventually("it is told", || !disk.told().is_empty()).await;
    assert_eq!(disk.told(), [told(A, &["a"])]);
    disk.fails.store(false, Ordering::Relaxed);
    eventually("so is what the file has", || disk.told().len() == 2).await;
    assert_eq!(disk.told()[1], told(A, &["before"]));
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_holds_an_answer_up_for_a_second() {
    let house = House::running(&Disk::new(), &[both()]);
    house.learn("w", A, &["before"], &[]).await;
    house.disk().slow.store(60_000, Ordering::Relaxed);
    let begun = Instant::now();
    house.learn("w", A, &["a"], &[]).await;
    assert!(begun.elapsed() <= KEPT_WITHIN + Duration::from_millis(100), "{:?}", begun.elapsed());
    assert_eq!(house.sessions.count(), 2);
}

#[tokio::test]
async fn those_that_count_have_their_places() {
    let limits = r#""limits":{"widget":{"sessions":9}}"#;
    let house = House::running(&Disk::new(), &[both(), put("other", &["a.example"], limits)]);
    house.learn("w", A, &["a;max-age=3600", "uncounted"], &[]).await;
    house.learn("other", A, &["o;max-age=3600", "uncounted"], &[]).await;
    let other = format!("other {A} 192.0.2.1");
    assert_eq!(*house.places.lock(), std::slice::from_ref(&other), "only where sessions are limited");
    house.save(&[put("w", &["a.example", "b.example"], limits)]);
    eventually("they are now", || house.places.lock().len() == 2).await;
    house.learn("w", A, &["a;max-age=1800"], &[]).await;
    assert_eq!(house.places.lock().len(), 2, "named again, it is the same session");
    house.learn("w", A, &[], &["a"]).await;
    assert_eq!(*house.places.lock(), [other]);
    house.learn("w", B, &["short;max-age=1"], &[]).await;
    assert_eq!(house.places.lock().len(), 2);
    eventually("its time is over", || house.places.lock().len() == 1).await;
    assert!(house.disk().rows().contains(&"w short".to_owned()), "it is remembered all the same");
    house.save(&[delete("other", None)]);
    eventually("a denied session frees its place", || house.places.lock().is_empty()).await;
}

#[tokio::test]
async fn another_process_has_them_after_they_were_let_go_of() {
    let limits = r#""limits":{"widget":{"sessions":9}}"#;
    let disk = Disk::new();
    let house = House::running(&disk, &[put("w", &["a.example", "b.example"], limits)]);
    house.learn("w", A, &["a;max-age=3600"], &[]).await;
    house.sessions.let_go();
    assert_eq!((house.sessions.count(), house.places.lock().len()), (0, 0));
    house.save(&[put("w", &["b.example"], limits)]);
    sleep(Duration::from_millis(50)).await;
    assert_eq!(disk.told(), [], "the other process judges");
    house.sessions.take_back();
    eventually("unless it has not taken over", || !disk.told().is_empty()).await;
    assert_eq!(disk.told(), [told(A, &["a"])]);
}

#[tokio::test]
async fn what_is_named_to_the_old_process_reaches_the_new_one() {
    let (old, new) = (Disk::new(), Disk::new());
    let (old, new) = (House::running(&old, &[both()]), House::running(&new, &[both()]));
    new.learn("w", A, &["over"], &[]).await;
    assert!(old.sessions.take_passed_on().is_none());
    old.sessions.let_go();
    old.learn("w", A, &["a;max-age=60"], &["over"]).await;
    old.learn("w", B, &["b"], &[]).await;
    assert_eq!(old.disk().rows().len(), 0);
    let passed = serde_json::to_string(&old.sessions.take_passed_on().unwrap()).unwrap();
    assert!(old.sessions.take_passed_on().is_none());
    new.sessions.take_over(serde_json::from_str(&passed).unwrap());
    eventually("they are kept", || new.disk().rows() == ["w a", "w b"]).await;
    new.save(&[put("w", &["b.example"], "")]);
    eventually("it is told", || !new.disk().told().is_empty()).await;
    assert_eq!(new.disk().told(), [told(A, &["a"])]);

    old.learn("w", A, &["late"], &[]).await;
    old.sessions.take_back();
    eventually("unless it has not taken over", || old.disk().rows() == ["w late"]).await;
}

#[tokio::test]
async fn many_saves_and_many_answers_lose_none() {
    let house = House::running(&Disk::new(), &[both()]);
    let mut named = 0;
    for round in 0..50 {
        let entries: &[&str] = if round % 2 == 0 { &["b.example"] } else { &["a.example"] };
        for page in [A, B] {
            let id = format!("s{named}");
            house.learn("w", page, &[&id], &[]).await;
            named += 1;
        }
        house.save(&[put("w", entries, "")]);
    }
    house.save(&[delete("w", None)]);
    let count = || house.disk().told().iter().map(|(_, sessions)| sessions.len()).sum::<usize>();
    eventually("all are told", || count() >= named).await;
    let mut all: Vec<String> = house.disk().told().into_iter().flat_map(|(_, sessions)| sessions).collect();
    all.sort();
    let before = all.len();
    all.dedup();
    assert_eq!((before, all.len(), house.disk().rows().len()), (named, named, 0), "each once");
}

#[tokio::test]
async fn nothing_is_judged_before_there_are_rules() {
    let disk = Disk::new();
    let before = House::running(&disk, &[both()]);
    before.learn("w", A, &["a"], &[]).await;
    before.learn("w", B, &["b"], &[]).await;
    drop(before);
    let house = House::running(&disk, &[]);
    eventually("they are read", || house.sessions.count() == 2).await;
    sleep(Duration::from_millis(200)).await;
    assert_eq!(disk.told(), [], "an edge that has no rules yet revokes nobody");
    house.save(&[put("w", &["b.example"], "")]);
    eventually("it is told", || !disk.told().is_empty()).await;
    assert_eq!((disk.told(), house.sessions.count()), (vec![told(A, &["a"])], 1));
}

#[tokio::test]
async fn what_there_is_no_room_for_is_told_later() {
    let house = House::running(&Disk::new(), &[both()]);
    house.learn("w", A, &["a"], &[]).await;
    house.learn("w", B, &["b"], &[]).await;
    house.disk().room.store(1, Ordering::Relaxed);
    house.save(&[delete("w", None)]);
    eventually("the first is told", || !house.disk().told().is_empty()).await;
    house.disk().room.store(0, Ordering::Relaxed);
    sleep(Duration::from_millis(250)).await;
    let told = house.disk().told().len();
    assert_eq!(house.sessions.count(), 2 - told, "what is not told is remembered");
    house.disk().room.store(usize::MAX, Ordering::Relaxed);
    eventually("so is the second", || house.disk().told().len() == 2).await;
    assert_eq!(house.disk().rows(), Vec::<String>::new());
}

#[tokio::test]
async fn a_file_that_was_begun_anew_gets_its_rows_again() {
    let house = House::running(&Disk::new(), &[both()]);
    house.learn("w", A, &["a"], &[]).await;
    let transaction = house.disk().database.begin_write().unwrap();
    row::replace(&transaction, Vec::new()).unwrap();
    transaction.commit().unwrap();
    assert_eq!(house.disk().rows(), Vec::<String>::new());
    house.disk().begun_anew.store(1, Ordering::Relaxed);
    eventually("they are there again", || house.disk().rows() == ["w a"]).await;
}

#[tokio::test]
async fn what_is_passed_on_keeps_its_order() {
    let (old, new) = (Disk::new(), Disk::new());
    let (old, new) = (House::running(&old, &[both()]), House::running(&new, &[both()]));
    old.sessions.let_go();
    old.learn("w", A, &["a1", "a2"], &[]).await;
    old.learn("w", A, &[], &["a1", "a3"]).await;
    old.learn("w", A, &["a3"], &[]).await;
    new.sessions.take_over(old.sessions.take_passed_on().unwrap());
    eventually("they are kept", || new.disk().rows() == ["w a2", "w a3"]).await;
}
