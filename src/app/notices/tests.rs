#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use jiff::SignedDuration;
use parking_lot::Mutex;

use super::*;
use crate::certificates::CertificateExpiry;
use crate::rules::change::{Actor, ApplyOptions, Change};
use crate::rules::fixtures::{delete, widget};
use crate::rules::publisher::Publisher;

/// Taker that keeps what it is told.
struct Told {
    notices: Mutex<Vec<Notice>>,
    is_wanted: AtomicBool,
}

impl Notify for Told {
    fn tell(&self, notice: Notice) {
        self.notices.lock().push(notice);
    }

    fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }
}

/// Writer of rules whose changes are told.
struct Watched {
    publisher: Publisher,
    source: Arc<ChangeNotices>,
    told: Arc<Told>,
}

impl Watched {
    fn new() -> Self {
        let told = Arc::new(Told { notices: Mutex::default(), is_wanted: AtomicBool::new(true) });
        let source = ChangeNotices::new(Arc::clone(&told) as Arc<dyn Notify>);
        let publisher = Publisher::new(LiveRules::new(), SourceKind::STORE, "");
        let publisher = publisher.with_observer(Arc::clone(&source) as Arc<dyn Observer>);
        Self { publisher, source, told }
    }

    fn apply(&self, change: Change, actor: Actor) -> Vec<Notice> {
        self.publisher.apply(vec![change], ApplyOptions::default(), actor).unwrap();
        self.taken()
    }

    fn taken(&self) -> Vec<Notice> {
        std::mem::take(&mut *self.told.notices.lock())
    }
}

fn put(id: &str, entries: &str) -> Change {
    Change::put(widget(&format!(r#"{{"id":"{id}","allowed_domains":[{entries}]}}"#)))
}

fn expiring(pattern: &str, expires_at: Timestamp) -> String {
    format!(r#"{{"pattern":"{pattern}","expires_at":"{expires_at}"}}"#)
}

fn changed(notice: &Notice) -> (&str, Option<u64>, Option<&str>) {
    let Notice::RulesChanged { widget, revision, actor, .. } = notice else { panic!("{notice:?}") };
    (widget, *revision, actor.as_deref())
}

/// A day that is soon, and the same in a form that a document has.
fn in_hours(hours: i64) -> Timestamp {
    let at = Timestamp::now() + SignedDuration::from_hours(hours);
    Timestamp::from_second(at.as_second()).unwrap()
}

#[test]
fn changes_are_told_with_their_author_and_the_first_rules_are_not() {
    let watched = Watched::new();
    let seed = Actor::Source(SourceKind::STORE);
    assert_eq!(watched.apply(put("w", r#""a.example""#), seed.clone()), []);
    let told = watched.apply(put("w", r#""b.example""#), Actor::Token("jane".into()));
    assert_eq!(told.iter().map(changed).collect::<Vec<_>>(), [("w", Some(2), Some("token:jane"))]);
    let told = watched.apply(delete("w", None), seed);
    assert_eq!(told.iter().map(changed).collect::<Vec<_>>(), [("w", None, Some("source:store"))]);

    // The first save of somebody is a change.
    let watched = Watched::new();
    let told = watched.apply(put("x", r#""a.example""#), Actor::CommandLine);
    assert_eq!(told.iter().map(changed).collect::<Vec<_>>(), [("x", Some(1), Some("command line"))]);

    watched.told.is_wanted.store(false, Ordering::Relaxed);
    assert_eq!(watched.apply(delete("x", None), Actor::CommandLine), []);
}

#[test]
fn entries_that_expire_soon_are_told() {
    let watched = Watched::new();
    let (soon, later, over) = (in_hours(13 * 24), in_hours(15 * 24), in_hours(-1));
    let list = [expiring("a.example", soon), expiring("b.example", later), expiring("c.example", over)];
    let told = watched.apply(put("w", &list.join(",")), Actor::CommandLine);
    let expires = |widget: &str| {
        let (widget, entry) = (widget.to_owned(), "a.example".to_owned());
        Notice::EntryExpiring { widget, entry, expires_at: soon }
    };
    assert_eq!(told[1..], [expires("w")]);

    // What the first rules have, a walk finds.
    let watched = Watched::new();
    watched.source.is_walk_due.store(false, Ordering::Relaxed);
    let told = watched.apply(put("w", &list.join(",")), Actor::Source(SourceKind::FILE));
    assert_eq!((told, watched.source.is_walk_due.load(Ordering::Relaxed)), (vec![], true));
    watched.apply(put("v", r#""a.example""#), Actor::CommandLine);
    let book = watched.publisher.live().load_full();
    assert_eq!(page(&book, 0, Timestamp::now()), (vec![expires("w")], None));
}

#[test]
fn a_walk_goes_on_after_each_page() {
    let (watched, soon) = (Watched::new(), in_hours(24));
    let entries: Vec<_> = (0..400).map(|number| expiring(&format!("n{number}.example"), soon)).collect();
    for id in ["a", "b", "c", "d", "e", "f"] {
        watched.apply(put(id, &entries.join(",")), Actor::CommandLine);
    }
    let book = watched.publisher.live().load_full();
    let (mut next, mut widgets) = (Some(0), Vec::new());
    while let Some(from) = next {
        let (found, after) = page(&book, from, Timestamp::now());
        assert_eq!(found.len(), 1200, "whole widgets, as many as make a page");
        for notice in found {
            let Notice::EntryExpiring { widget, .. } = notice else { panic!("{notice:?}") };
            widgets.push(widget);
        }
        next = after;
    }
    widgets.dedup();
    widgets.sort_unstable();
    assert_eq!(widgets, ["a", "b", "c", "d", "e", "f"]);
}

struct OneCertificate(i64);

impl Expiring for OneCertificate {
    fn expiries(&self) -> Vec<CertificateExpiry> {
        vec![CertificateExpiry { file: Path::new("site.pem").to_owned(), at: self.0 }]
    }
}

#[test]
fn certificates_that_expire_soon_or_have_are_told_once() {
    let (watched, mut before) = (Watched::new(), HashSet::new());
    let now = Timestamp::now();
    for (hours, is_told) in [(15 * 24, false), (13 * 24, true), (-5, true)] {
        let expires_at = in_hours(hours);
        let certificates: [Arc<dyn Expiring>; 1] = [Arc::new(OneCertificate(expires_at.as_second()))];
        watched.source.tell_certificates(&certificates, &mut before, now);
        watched.source.tell_certificates(&certificates, &mut before, now);
        let certificate = "site.pem".to_owned();
        let expected = is_told.then_some(Notice::CertificateExpiring { certificate, expires_at });
        assert_eq!(watched.taken(), Vec::from_iter(expected), "{hours}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_expires_is_told_each_day_while_anybody_is_told() {
    let watched = Watched::new();
    watched.told.is_wanted.store(false, Ordering::Relaxed);
    let soon = in_hours(24);
    watched.apply(put("w", &expiring("a.example", soon)), Actor::CommandLine);
    let certificates: Vec<Arc<dyn Expiring>> = vec![Arc::new(OneCertificate(soon.as_second()))];
    let rules = watched.publisher.live().clone();
    let watching = tokio::spawn(Arc::clone(&watched.source).watch(rules, certificates));
    sleep(LOOK * 3).await;
    assert_eq!(watched.taken(), []);
    watched.told.is_wanted.store(true, Ordering::Relaxed);
    for day in 0..3 {
        sleep(if day == 0 { LOOK * 3 } else { DAY }).await;
        let told = watched.taken();
        assert!(
            matches!(&told[..], [Notice::CertificateExpiring { .. }, Notice::EntryExpiring { .. }]),
            "{day}: {told:?}"
        );
    }
    watching.abort();
}
