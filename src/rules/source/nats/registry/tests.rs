#![allow(clippy::unwrap_used)]

use super::*;

fn announcement(name: &str, instance: &str) -> Announcement {
    Announcement {
        name: name.into(),
        instance: instance.into(),
        version: "1".into(),
        max_staleness_seconds: None,
        signed_off: false,
        forgotten: false,
    }
}

fn report(name: &str, instance: &str) -> Report {
    Report {
        name: name.into(),
        instance: instance.into(),
        version: "1".into(),
        created: 7,
        sequence: 3,
        changed: 0,
        digest: String::new(),
        followed: 0,
        age_seconds: None,
        sessions: 0,
        ticket_keys: String::new(),
        fault: None,
        ended: false,
    }
}

fn waited_for(registry: &EdgeRegistry) -> Vec<String> {
    registry
        .waited_for(Instant::now())
        .into_iter()
        .map(|(name, instance)| format!("{name}:{instance}"))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn an_edge_is_waited_for_from_its_announcement_until_it_signs_off() {
    let mut registry = EdgeRegistry::default();
    registry.begin(7);
    registry.announce(announcement("a", "a1"), 1);
    registry.announce(announcement("b", "b1"), 2);
    assert_eq!(waited_for(&registry), ["a:a1", "b:b1"]);
    registry.announce(Announcement { signed_off: true, ..announcement("a", "a1") }, 3);
    registry.announce(Announcement { forgotten: true, ..announcement("b", "b1") }, 4);
    assert_eq!(waited_for(&registry), [""; 0]);
    // What is older than what is known changes nothing: the registry is read while messages come.
    registry.announce(announcement("a", "a1"), 1);
    assert_eq!(waited_for(&registry), [""; 0]);
    assert!(registry.get("a").is_some() && registry.get("b").is_none());
    registry.announce(announcement("a", "a2"), 5);
    assert_eq!(waited_for(&registry), ["a:a2"]);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_an_edge_that_denies_by_itself() {
    let mut registry = EdgeRegistry::default();
    let limited = Announcement { max_staleness_seconds: Some(10.0), ..announcement("a", "a1") };
    registry.announce(limited.clone(), 1);
    registry.announce(announcement("b", "b1"), 2);
    // Not before its own clock says so, however it runs.
    tokio::time::advance(Duration::from_secs(11)).await;
    assert_eq!(waited_for(&registry), ["a:a1", "b:b1"]);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(waited_for(&registry), ["b:b1"]);
    assert_eq!(registry.states("b", Duration::from_secs(5))[&EdgeState::Stale], 1);
    registry.announce(limited, 3);
    assert_eq!(waited_for(&registry), ["a:a1", "b:b1"]);
}

#[tokio::test(start_paused = true)]
async fn an_edge_of_another_bucket_is_still_waited_for() {
    let mut registry = EdgeRegistry::default();
    registry.begin(7);
    registry.note_key("fleet.edge.a");
    registry.announce(announcement("a", "a1"), 100);
    registry.begin(8);
    assert_eq!((registry.keys(), waited_for(&registry)), (0, vec!["a:a1".to_owned()]));
    // Sequences of two buckets can't be compared.
    registry.announce(announcement("a", "a2"), 1);
    assert_eq!(waited_for(&registry), ["a:a2"]);
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_has_lost_its_end_says_who_is_there() {
    let mut registry = EdgeRegistry::default();
    registry.begin(7);
    registry.announce(announcement("a", "a1"), 50);
    registry.announce(Announcement { signed_off: true, ..announcement("b", "b1") }, 51);
    // The same bucket, which ends before these messages now.
    registry.begin(7);
    registry.announce(announcement("a", "a2"), 41);
    registry.announce(announcement("b", "b2"), 42);
    assert_eq!(waited_for(&registry), ["a:a2", "b:b2"]);
}

#[tokio::test(start_paused = true)]
async fn an_edge_may_deny_after_ages() {
    let mut registry = EdgeRegistry::default();
    let limited = Announcement { max_staleness_seconds: Some(1.8e19), ..announcement("a", "a1") };
    assert!(limited.max_staleness().is_some());
    registry.announce(limited, 1);
    assert_eq!(waited_for(&registry), ["a:a1"]);
}

#[tokio::test(start_paused = true)]
async fn edges_are_known_after_a_restart() {
    let mut registry = EdgeRegistry::default();
    registry.begin(7);
    registry.announce(announcement("a", "a1"), 1);
    registry.announce(announcement("b", "b1"), 2);
    registry.announce(Announcement { signed_off: true, ..announcement("b", "b1") }, 3);
    let kept = registry.take_unkept().unwrap();
    registry.announce(announcement("a", "a1"), 4);
    assert_eq!(registry.take_unkept(), None, "it says what it has said");
    registry.was_not_kept();
    assert_eq!(registry.take_unkept().as_ref(), Some(&kept));

    let mut registry = EdgeRegistry::of_kept(&kept);
    assert_eq!(
        (waited_for(&registry), registry.keys(), registry.take_unkept()),
        (vec!["a:a1".to_owned()], 0, None)
    );
    registry.begin(8);
    registry.announce(announcement("a", "a2"), 1);
    assert_eq!(waited_for(&registry), ["a:a2"]);
    assert!(registry.take_unkept().is_some());
}

#[tokio::test(start_paused = true)]
async fn states_are_those_of_the_last_reports() {
    let mut registry = EdgeRegistry::default();
    for (sequence, name) in [(1, "a"), (2, "b"), (3, "own")] {
        registry.announce(announcement(name, "1"), sequence);
    }
    let report = report("a", "1");
    registry.hear(report.clone(), EdgeState::Behind);
    registry.hear(Report { name: "stranger".into(), ..report }, EdgeState::Current);
    let interval = Duration::from_secs(5);
    let states = registry.states("own", interval);
    assert_eq!(states.len(), EdgeState::ALL.len());
    assert_eq!(
        (states[&EdgeState::Behind], states[&EdgeState::Silent], states[&EdgeState::Current]),
        (1, 1, 0)
    );
    assert!(registry.get("a").unwrap().report().is_some() && registry.get("b").unwrap().report().is_none());
    tokio::time::advance(interval * INTERVALS).await;
    assert_eq!(registry.states("own", interval)[&EdgeState::Silent], 2);
}

#[tokio::test(start_paused = true)]
async fn a_process_is_known_beside_the_announced_one_until_it_ends_or_is_silent() {
    let mut registry = EdgeRegistry::default();
    let interval = Duration::from_secs(5);
    registry.announce(announcement("a", "a1"), 1);
    for instance in ["a1", "a2", "a3"] {
        registry.hear(report("a", instance), EdgeState::Current);
    }
    registry.announce(announcement("a", "a3"), 2);
    let others = |registry: &EdgeRegistry| {
        let others = registry.other_processes(interval).remove("a").unwrap_or_default();
        others.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(others(&registry), ["a1", "a2"]);
    registry.has_ended(&report("a", "a1"));
    assert_eq!(others(&registry), ["a2"]);
    tokio::time::advance(interval * INTERVALS).await;
    assert_eq!(others(&registry), [""; 0]);
}
