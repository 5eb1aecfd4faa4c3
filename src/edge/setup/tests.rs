#![allow(clippy::unwrap_used)]

use jiff::SignedDuration;

use super::*;
use crate::config;

const ROUTE: &str = "[upstreams.app]\nservers = [\"127.0.0.1:1\"]\n[[routes]]\npath = \"/w/{widget}/loader.js\"\n\
                     class = \"asset\"\nupstream = \"app\"\n";

/// A setup by these lines of a configuration.
fn setup(more: &str) -> Setup {
    let edge = "[edge]\nlisten = [\"127.0.0.1:1\"]\npublic_origins = [\"https://edge.example\"]";
    let settings = config::parse("test", &format!("{edge}\n{more}\n{ROUTE}"), []).unwrap();
    let ticket_keys = Arc::new(KeyFile::unsaved("ticket.keys".into()).unwrap());
    let parts = SetupParts { ticket_keys, metrics: Arc::new(Metrics::new().unwrap()) };
    Setup::prepare(&settings, &parts, None, None).unwrap()
}

fn aged(most: &str) -> Setup {
    setup(&format!("[policy]\nmax_staleness = \"{most}\""))
}

/// The instant by which requests are judged, which is that of sessions, and that which is told.
#[track_caller]
fn stale_at(live: &LiveSetup) -> Option<Timestamp> {
    let of_sessions = live.policy().load().stale_at;
    assert_eq!(live.borrow().policy().stale_at, of_sessions);
    assert_eq!(*live.stale_at().borrow(), of_sessions);
    of_sessions
}

fn ago(seconds: i64) -> Timestamp {
    Timestamp::now() - SignedDuration::from_secs(seconds)
}

fn after(at: Timestamp, seconds: i64) -> Option<Timestamp> {
    Some(at + SignedDuration::from_secs(seconds))
}

#[test]
fn rules_of_this_edge_alone_are_never_too_old() {
    let live = LiveSetup::new(aged("1s"));
    assert_eq!(stale_at(&live), None);
    live.replace(aged("2s"));
    live.forget_contact();
    assert_eq!(stale_at(&live), None);
}

#[test]
fn each_contact_moves_the_end_of_shared_rules_on() {
    let live = LiveSetup::new(aged("1m"));
    assert!(live.keep_contact(None, None));
    assert_eq!(stale_at(&live), Some(Timestamp::UNIX_EPOCH), "nothing is known");
    let (first, second) = (ago(30), ago(10));
    assert!(live.keep_contact(Some(first), None));
    assert_eq!(stale_at(&live), after(first, 60));
    assert!(!live.keep_contact(Some(first), None), "no news");
    assert!(live.keep_contact(Some(second), None));
    assert_eq!(stale_at(&live), after(second, 60));
    live.forget_contact();
    assert_eq!(stale_at(&live), Some(Timestamp::UNIX_EPOCH));
    assert!(live.keep_contact(Some(ago(0)), None));
    assert!(!live.policy().load().is_stale(Timestamp::now()));
}

#[test]
fn a_contact_ahead_of_the_clock_gives_no_more_time() {
    let live = LiveSetup::new(aged("1m"));
    live.keep_contact(after(Timestamp::now(), 3600), None);
    assert_eq!(stale_at(&live), Some(Timestamp::UNIX_EPOCH), "kept by another clock");
    live.keep_contact(after(Timestamp::now(), 3600), None);
    assert!(stale_at(&live) <= after(Timestamp::now(), 60), "heard a moment ago, at the latest");
}

#[test]
fn a_reload_changes_how_old_they_may_be_and_not_how_old_they_are() {
    let live = LiveSetup::new(setup(""));
    let contact = ago(30);
    assert!(!live.keep_contact(Some(contact), None));
    assert_eq!(stale_at(&live), None, "however old");
    for (reloaded, expected) in [
        (aged("1m"), after(contact, 60)),
        (aged("10s"), after(contact, 10)),
        (aged("0s"), None),
        (aged("1h"), after(contact, 3600)),
    ] {
        live.replace(reloaded);
        assert_eq!(stale_at(&live), expected);
    }
}

#[test]
fn what_the_process_says_that_has_taken_over_counts_alone() {
    let live = LiveSetup::new(aged("1m"));
    live.keep_contact(Some(ago(1)), None);
    let before = EdgePolicy::clone(&live.policy().load());
    let told = |seconds| EdgePolicy { stale_at: after(ago(0), seconds), ..before.clone() };
    let later = told(100);
    assert!(!live.replace_policy(later.clone()), "no session is denied by it");
    assert_eq!(stale_at(&live), later.stale_at);
    assert!(!live.keep_contact(Some(ago(0)), None), "this process has no contact of its own any more");
    assert_eq!(stale_at(&live), later.stale_at);
    assert!(live.replace_policy(EdgePolicy { open_allowed: false, ..later }), "another policy");
    assert!(live.replace_policy(told(-1)), "they are too old");
    assert!(!live.replace_policy(EdgePolicy { stale_at: None, ..before.clone() }), "never");
    assert!(!live.replace_policy(told(5)));
    live.forget_contact();
    assert_eq!(stale_at(&live), Some(Timestamp::UNIX_EPOCH));
}
