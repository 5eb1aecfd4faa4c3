#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::notifications::notifier::Notifier;
use crate::rules::change::{Actor, ApplyOptions, Change};
use crate::rules::fixtures::{delete, put};
use crate::rules::publisher::Publisher;
use crate::rules::sessions::{SessionEmbedder, SessionFacts};
use embedgate_policy::decision::{Facts, TicketState};
use embedgate_policy::origin::{Embedder, Origin, OriginBuf, OriginSet};
use embedgate_policy::verdict::{Class, Reason};

mod limits;

struct House {
    publisher: Publisher,
    policy: Arc<ArcSwap<EdgePolicy>>,
    metrics: Arc<Metrics>,
    sessions: Arc<SessionRegistry>,
    activity: Arc<ActivityRecorder>,
    limiter: Arc<Limiter>,
}

impl House {
    fn with(changes: &[Change]) -> Self {
        let rules = LiveRules::new();
        let policy = EdgePolicy { open_allowed: true, ..EdgePolicy::default() };
        let policy = Arc::new(ArcSwap::from_pointee(policy));
        let metrics = Arc::new(Metrics::new().unwrap());
        let (policy_, metrics_) = (Arc::clone(&policy), Arc::clone(&metrics));
        let activity = Arc::new(ActivityRecorder::new(8));
        let (activity_, events) = (Arc::clone(&activity), Arc::new(EventFeed::new()));
        let limiter = Limiter::new(Notifier::new(), metrics.limits.clone());
        let limiter_ = Arc::clone(&limiter);
        let sessions = SessionRegistry::new(rules.clone(), policy_, metrics_, activity_, events, limiter_);
        let observer = Arc::clone(&sessions) as Arc<dyn Observer>;
        let publisher = Publisher::new(rules, SourceKind::STORE, "test").with_observer(observer);
        let house = Self { publisher, policy, metrics, sessions, activity, limiter };
        house.save(changes);
        house
    }

    fn save(&self, changes: &[Change]) {
        let (changes, options) = (changes.to_vec(), ApplyOptions::default());
        // However many there are.
        self.publisher.apply_confirmed(changes, options, Some(usize::MAX), Actor::CommandLine).unwrap();
    }

    fn open(&self, widget: &str, origin: &str) -> Option<SessionGuard> {
        self.sessions.open(widget, session(facts(origin)), DecisionId::new(Timestamp::UNIX_EPOCH))
    }
}

fn facts(origin: &str) -> SessionFacts {
    let facts = Facts {
        widget: "w",
        class: Class::Session,
        embedder: Embedder::Known(Origin::parse(origin).unwrap()),
        missing_denied: false,
        ticket: TicketState::Absent,
    };
    SessionFacts::keep(&facts).unwrap()
}

/// One that its widget does not limit.
fn session(facts: SessionFacts) -> NewSession {
    NewSession { facts, generation: 0, is_counted: true, address: None, charge: None }
}

fn revoked(guard: &SessionGuard) -> bool {
    guard.revocation().revoked_at().is_some()
}

const A: &str = "https://a.example";
const B: &str = "https://b.example";

#[test]
fn a_save_ends_exactly_what_it_denies() {
    let house = House::with(&[put("w", &["a.example", "b.example"], ""), put("other", &["a.example"], "")]);
    let (a, b) = (house.open("w", A).unwrap(), house.open("w", B).unwrap());
    let other = house.open("other", A).unwrap();
    house.save(&[put("w", &["b.example"], "")]);
    assert!(revoked(&a) && !revoked(&b) && !revoked(&other));
    house.save(&[put("other", &["a.example"], r#""enabled":false"#)]);
    assert!(revoked(&other) && !revoked(&b));
    house.save(&[delete("w", None)]);
    assert!(revoked(&b));
    assert_eq!(house.metrics.sessions_revoked.get(), 3, "each once");
}

#[test]
fn a_page_is_seen_once_however_many_sessions_it_loses() {
    let house = House::with(&[put("w", &["a.example", "b.example"], ""), put("other", &["a.example"], "")]);
    let open = |widget: &str, origin: &str| -> Vec<SessionGuard> {
        (0..50).map(|_| house.open(widget, origin).unwrap()).collect()
    };
    let guards = [open("w", A), open("w", B), open("other", A)].into_iter().flatten().collect::<Vec<_>>();
    house.save(&[put("w", &["c.example"], ""), put("other", &["c.example"], "")]);
    assert!(guards.iter().all(revoked));
    let mut seen = Vec::new();
    house.activity.drain(|sighting| {
        seen.push((sighting.widget.to_owned(), sighting.embedder.to_owned()));
        true
    });
    seen.sort();
    let expected =
        [("other", A), ("w", A), ("w", B)].map(|(widget, page)| (widget.to_owned(), page.to_owned()));
    assert_eq!((seen, house.activity.dropped()), (expected.to_vec(), 0));
}

#[test]
fn monitor_ends_nothing() {
    let house = House::with(&[put("w", &["a.example"], "")]);
    let a = house.open("w", A).unwrap();
    house.save(&[put("w", &["b.example"], r#""access":"monitor""#)]);
    assert!(!revoked(&a));
    house.save(&[put("w", &["b.example"], "")]);
    assert!(revoked(&a));
}

#[test]
fn a_session_that_other_rules_deny_by_now_does_not_open() {
    let house = House::with(&[put("w", &["a.example"], "")]);
    let was_allowed = facts(A);
    house.save(&[put("w", &["b.example"], "")]);
    assert!(house.sessions.open("w", session(was_allowed), DecisionId::new(Timestamp::UNIX_EPOCH)).is_none());
    assert!(house.open("unknown", A).is_none());
    assert_eq!((house.sessions.count(), house.metrics.sessions_open.get()), (0, 0));
}

#[test]
fn a_policy_for_all_ends_what_it_denies() {
    let house = House::with(&[put("w", &["a.example"], ""), put("x", &[], r#""access":"open""#)]);
    let system: OriginBuf = "https://dashboard.example".parse().unwrap();
    let preview = |on: bool| EdgePolicy {
        system_origins: if on { OriginSet::new([system.clone()]) } else { OriginSet::default() },
        open_allowed: true,
        ..EdgePolicy::default()
    };
    house.policy.store(Arc::new(preview(true)));
    let dashboard = house.open("w", system.as_str()).unwrap();
    let (a, open) = (house.open("w", A).unwrap(), house.open("x", A).unwrap());
    house.policy.store(Arc::new(preview(false)));
    house.sessions.judge_all();
    assert!(revoked(&dashboard) && !revoked(&a) && !revoked(&open));
    house.policy.store(Arc::new(EdgePolicy { open_allowed: false, ..preview(false) }));
    house.sessions.judge_all();
    assert!(revoked(&open) && !revoked(&a));
}

#[tokio::test]
async fn rules_that_are_too_old_end_all_sessions_and_let_none_open() {
    let house = House::with(&[
        put("w", &["a.example"], ""),
        put("monitors", &["b.example"], r#""access":"monitor""#),
        put("open", &[], r#""access":"open""#),
    ]);
    let stale_at = tokio::sync::watch::Sender::new(None);
    let forgotten = AtomicUsize::new(0);
    let forget = || {
        forgotten.fetch_add(1, Ordering::Relaxed);
    };
    let watching = house.sessions.watch_staleness(stale_at.subscribe(), forget);
    let set = |at: Option<Timestamp>| {
        let policy = EdgePolicy { stale_at: at, ..EdgePolicy::clone(&house.policy.load()) };
        house.policy.store(Arc::new(policy));
        stale_at.send_replace(at);
    };
    let tried = async {
        let open = || ["w", "monitors", "open"].map(|widget| house.open(widget, A));
        let soon = Timestamp::now() + jiff::SignedDuration::from_millis(200);
        set(Some(soon));
        let sessions = open().map(Option::unwrap);
        for session in &sessions {
            let soon_after = Duration::from_secs(10);
            tokio::time::timeout(soon_after, session.revocation().revoked()).await.unwrap();
            assert!(Timestamp::now() >= soon);
            assert_eq!(session.revocation().reason(), Some(Reason::StaleRules));
        }
        assert!(open().iter().all(Option::is_none));
        set(Some(Timestamp::now() + jiff::SignedDuration::from_hours(1)));
        assert!(open().iter().all(Option::is_some), "at once");
        assert_eq!(house.metrics.sessions_revoked.get(), 3);
        assert_eq!(forgotten.load(Ordering::Relaxed), 0);
    };
    tokio::select! {
        () = watching => panic!("it runs for ever"),
        () = tried => {}
    }
}

#[test]
fn many_changes_find_few_sessions() {
    let many: Vec<Change> = (0..500).map(|n| put(&format!("w{n}"), &["a.example"], "")).collect();
    let house = House::with(&many);
    let (hit, miss) = (house.open("w250", A).unwrap(), house.open("w7", A).unwrap());
    let changes: Vec<Change> =
        (0..500).filter(|n| *n != 7).map(|n| put(&format!("w{n}"), &["b.example"], "")).collect();
    house.save(&changes);
    assert!(revoked(&hit) && !revoked(&miss));
}

#[test]
fn a_closed_session_leaves_nothing_behind() {
    let entry = r#"{"pattern":"a.example","expires_at":"2999-01-01T00:00:00Z"}"#;
    let widget = crate::rules::fixtures::widget(&format!(r#"{{"id":"w","allowed_domains":[{entry}]}}"#));
    let house = House::with(&[Change::put(widget)]);
    let guards: Vec<SessionGuard> = (0..3).map(|_| house.open("w", A).unwrap()).collect();
    assert_eq!((house.sessions.count(), house.metrics.sessions_open.get()), (3, 3));
    let listed = house.sessions.of_widget("w");
    assert_eq!(listed.len(), 3);
    assert_eq!(listed[0].facts.embedder(), &SessionEmbedder::Known(A.parse().unwrap()));
    assert!(house.sessions.of_widget("other").is_empty());
    assert_eq!(house.sessions.expiries.planned(), 1);
    drop(guards);
    assert_eq!((house.sessions.count(), house.metrics.sessions_open.get()), (0, 0));
    assert_eq!(house.sessions.expiries.planned(), 0);
    assert!(house.sessions.shards.iter().all(|shard| shard.lock().is_empty()));
}

/// A list whose entry for `a.example` expires in so many milliseconds.
fn expiring(in_ms: i64, more: &str) -> Change {
    let at = Timestamp::from_millisecond(Timestamp::now().as_millisecond() + in_ms).unwrap();
    let entries = format!(r#"[{{"pattern":"a.example","expires_at":"{at}"}},"b.example"]"#);
    Change::put(crate::rules::fixtures::widget(&format!(r#"{{"id":"w","allowed_domains":{entries}{more}}}"#)))
}

#[tokio::test]
async fn an_entry_ends_its_sessions_at_its_instant() {
    let house = House::with(&[expiring(300, "")]);
    let (a, b) = (house.open("w", A).unwrap(), house.open("w", B).unwrap());
    let sessions = Arc::clone(&house.sessions);
    let watch = tokio::spawn(async move { sessions.watch_expiries().await });
    let started = Instant::now();
    tokio::time::timeout(Duration::from_secs(5), a.revocation().revoked()).await.unwrap();
    let took = started.elapsed();
    assert!((200..1_300).contains(&took.as_millis()), "{took:?}");
    assert!(!revoked(&b));
    assert_eq!(house.sessions.expiries.planned(), 0);

    // A save puts off what was planned, and brings forward what was not.
    house.save(&[expiring(200, "")]);
    let a = house.open("w", A).unwrap();
    house.save(&[expiring(3_600_000, "")]);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(!revoked(&a) && house.sessions.expiries.planned() == 1);
    house.save(&[expiring(100, "")]);
    tokio::time::timeout(Duration::from_secs(5), a.revocation().revoked()).await.unwrap();
    watch.abort();
}

/// However saves and openings meet, no session is left that the rules deny.
#[test]
fn no_save_slips_between_verdict_and_registration() {
    let house = House::with(&[put("w", &["a.example"], "")]);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let openers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut kept = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        kept.extend(house.open("w", A));
                        kept.retain(|guard| !revoked(guard));
                    }
                    kept
                })
            })
            .collect();
        for turn in 0..300 {
            house.save(&[put("w", &["b.example"], r#""access":"enforce""#)]);
            let denied: BTreeSet<bool> = {
                let book = house.publisher.live().load();
                let sessions = house.sessions.shard("w");
                let entries = sessions.get("w").into_iter().flat_map(|of_widget| of_widget.sessions.values());
                entries
                    .filter(|entry| {
                        !entry.facts.judge(book.get("w"), &house.policy.load(), Timestamp::now()).is_allowed()
                    })
                    .map(|entry| entry.revocation.revoked_at().is_some())
                    .collect()
            };
            assert!(!denied.contains(&false), "turn {turn}: an open session that the rules deny");
            house.save(&[put("w", &["a.example"], "")]);
        }
        stop.store(true, Ordering::Relaxed);
        let kept: Vec<_> = openers.into_iter().flat_map(|opener| opener.join().expect("opener")).collect();
        house.save(&[put("w", &["b.example"], "")]);
        assert!(kept.iter().all(revoked), "a session that no swap found");
    });
}
