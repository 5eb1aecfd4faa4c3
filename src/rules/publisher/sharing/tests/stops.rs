//! Kill switches while the bucket is away.

use super::*;

fn away() -> PublishError {
    PublishError::Unavailable("it is away".into())
}

#[test]
fn a_kill_switch_is_in_force_while_the_bucket_is_away() {
    let bus = Bus::new();
    let [one, two] = [Edge::start(&bus, "one"), Edge::start(&bus, "two")];
    one.save(vec![put("a", &["a.example"], ""), put("b", &["b.example"], "")]).unwrap();
    bus.settle(&[&one, &two]);
    one.port.fail(Some(away()));
    assert_eq!(one.edit("a", add("x.example"), Precondition::None).unwrap_err().code(), "bucket_unavailable");
    let stopped = one.edit("a", Edit::Disable, Precondition::None).unwrap();
    assert_eq!((stopped.durable, stopped.sequence), (false, None));
    assert_eq!(stopped.outcomes, [Outcome::Updated { revision: 2 }]);
    assert_eq!(stopped.document.map(|document| document.enabled), Some(false));
    assert_eq!((one.is_enabled("a"), two.is_enabled("a")), (Some(false), Some(true)));
    let not_kept = || one.publisher.not_kept().into_iter().map(|stop| stop.revision).collect::<Vec<_>>();
    assert_eq!(not_kept(), [2]);
    // Those that are refused are refused.
    let refused = one.edit("nobody", Edit::Disable, Precondition::None).unwrap_err();
    assert_eq!(refused.code(), "unknown_widget");
    let again = one.edit("a", Edit::Disable, Precondition::None).unwrap();
    assert_eq!((again.durable, again.outcomes[0]), (false, Outcome::Unchanged { revision: 2 }));
    assert_eq!(one.publisher.keep_stops().unwrap_err().code(), "bucket_unavailable");
    assert!(one.publisher.lend().is_err());

    // A change that arrives doesn't lift it: the kill switch comes on top of it.
    two.edit("a", add("c.example"), Precondition::None).unwrap();
    bus.settle(&[&one, &two]);
    assert_eq!((one.is_enabled("a"), not_kept()), (Some(false), vec![3]));
    let document = one.document("a").unwrap();
    assert_eq!((document.enabled, document.allowed_domains.len(), document.revision), (false, 2, Some(3)));
    // What the bucket says is what is kept, and what is told of it.
    assert_eq!(one.publisher.digest(), two.publisher.digest());
    assert_eq!(one.publisher.entries(None, 1).unwrap()[0].revision, 2);
    one.wait_until_kept();
    assert_eq!(one.storage.kept.documents().get("a").unwrap().unwrap().revision, Some(2));

    one.port.fail(None);
    one.publisher.keep_stops().unwrap();
    bus.settle(&[&one, &two]);
    assert_eq!((one.publisher.not_kept(), two.is_enabled("a")), (vec![], Some(false)));
    assert_eq!(two.document("a"), one.document("a"));
    assert_eq!(two.document("a").unwrap().revision, Some(3));
    two.wait_until_kept();
    assert_eq!(two.ledger.lines.lock().last().unwrap(), "token:one a Some(2) 3");
    // It was in force already.
    let generation = one.publisher.live().load().generation();
    assert_eq!(one.notebook.generations().last(), Some(&generation));
    one.publisher.lend().unwrap();
    one.publisher.take_back().unwrap();
    let on = two.edit("a", Edit::Patch(json!({ "enabled": true })), Precondition::None).unwrap();
    bus.settle(&[&one, &two]);
    assert_eq!((on.outcomes[0].revision(), one.is_enabled("a")), (4, Some(true)));
}

/// Whoever enables a widget again on the edge that has stopped it has seen the kill switch.
#[test]
fn a_later_change_replaces_a_kill_switch() {
    let bus = Bus::new();
    let edge = Edge::start(&bus, "one");
    edge.save(vec![put("a", &["a.example"], "")]).unwrap();
    edge.port.fail(Some(away()));
    edge.edit("a", Edit::Disable, Precondition::None).unwrap();
    edge.port.fail(None);
    let on = edge.edit("a", Edit::Patch(json!({ "enabled": true })), Precondition::revision(2)).unwrap();
    assert_eq!((on.outcomes[0], on.sequence), (Outcome::Updated { revision: 3 }, Some(2)));
    assert_eq!((edge.is_enabled("a"), edge.publisher.not_kept()), (Some(true), vec![]));
    edge.publisher.keep_stops().unwrap();
    assert_eq!((edge.is_enabled("a"), bus.last()), (Some(true), 2));
}

#[test]
fn a_kill_switch_ends_with_its_widget() {
    let bus = Bus::new();
    let [one, two] = [Edge::start(&bus, "one"), Edge::start(&bus, "two")];
    one.save(vec![put("a", &["a.example"], "")]).unwrap();
    bus.settle(&[&one, &two]);
    one.port.fail(Some(away()));
    one.edit("a", Edit::Disable, Precondition::None).unwrap();
    two.save(vec![delete("a", None)]).unwrap();
    bus.settle(&[&one, &two]);
    assert_eq!((one.ids().len(), one.publisher.not_kept()), (0, vec![]));
    one.port.fail(None);
    one.publisher.keep_stops().unwrap();
    assert_eq!(bus.last(), 2);
}

/// It is published, and doesn't come back: it is in force here all the same.
#[test]
fn a_kill_switch_that_does_not_come_back_is_in_force() {
    let bus = Bus::new();
    let [one, two] = [Edge::start(&bus, "one"), Edge::start(&bus, "two")];
    one.save(vec![put("a", &["a.example"], "")]).unwrap();
    bus.settle(&[&one, &two]);
    one.port.hold(true);
    let stopped = one.edit("a", Edit::Disable, Precondition::None).unwrap();
    assert_eq!((stopped.sequence, stopped.durable), (Some(2), true));
    assert_eq!((one.is_enabled("a"), one.publisher.not_kept()), (Some(false), vec![]));
    one.publisher.keep_stops().unwrap();
    assert_eq!(bus.last(), 2, "it is published once");
    two.edit("a", Edit::Patch(json!({ "enabled": true })), Precondition::None).unwrap();
    assert_eq!(one.is_enabled("a"), Some(false));
    one.port.hold(false);
    bus.settle(&[&one, &two]);
    assert_eq!((one.is_enabled("a"), bus.last()), (Some(true), 3));
    assert_eq!(one.document("a"), two.document("a"));
}
