//! Buckets that have lost something, and what was on its way meanwhile.

use std::thread;

use super::*;
use crate::rules::shared::BucketPosition;

fn document(name: &str, sequence: u64, rest: &str) -> SharedChange {
    let widget = widget(&format!(r#"{{"id":"{name}"{rest}}}"#));
    let state = SharedState::Document(Box::new(widget));
    SharedChange { id: id(name), sequence, state, actor: "somebody".into(), at: jiff::Timestamp::UNIX_EPOCH }
}

fn obey(edge: &Edge, changes: Vec<SharedChange>, position: BucketPosition, taking: Taking) {
    let batch = SharedBatch { changes, gone: Vec::new(), position: Some(position), taking };
    edge.publisher.obey(batch).unwrap();
}

#[test]
fn a_save_takes_no_other_message_for_its_own() {
    let bus = Bus::new();
    let edge = Edge::start(&bus, "one");
    edge.port.hold(true);
    let error = thread::scope(|scope| {
        let save = scope.spawn(|| edge.save(vec![put("a", &["a.example"], "")]));
        bus.wait_for(1);
        // The bucket has lost it, and somebody else's message has its sequence.
        obey(&edge, vec![document("b", 1, r#","revision":1"#)], bus::position(1), Taking::Newer);
        save.join().unwrap().unwrap_err()
    });
    assert_eq!((error.code(), edge.ids()), ("save_uncertain", vec!["b".to_owned()]));
}

#[test]
fn in_doubt_nothing_goes_backwards() {
    let bus = Bus::new();
    let edge = Edge::start(&bus, "one");
    edge.port.hold(true);
    obey(&edge, vec![document("a", 5, r#","revision":5"#)], bus::position(5), Taking::Newer);
    let revision = || edge.publisher.live().load().get("a").unwrap().revision;
    obey(&edge, vec![document("a", 4, r#","revision":4"#)], bus::position(5), Taking::NotOlder);
    assert_eq!(revision(), 5);
    obey(&edge, vec![document("a", 5, r#","revision":7"#)], bus::position(5), Taking::NotOlder);
    assert_eq!(revision(), 7, "the same message, which has led to something else here");
    obey(&edge, vec![document("a", 4, r#","revision":4"#)], bus::position(4), Taking::All);
    assert_eq!(revision(), 4);
}

/// The kill switch is published at the same moment, in vain.
#[test]
fn a_change_in_place_of_a_kill_switch_is_not_lost() {
    let bus = Bus::new();
    let edge = Edge::start(&bus, "one");
    edge.save(vec![put("a", &["a.example"], "")]).unwrap();
    edge.port.hold(true);
    edge.port.fail(Some(PublishError::Unavailable("it is away".into())));
    edge.edit("a", Edit::Disable, Precondition::None).unwrap();
    edge.port.fail(Some(PublishError::Uncertain("no answer".into())));
    let on = Edit::Patch(json!({ "enabled": true }));
    assert_eq!(edge.edit("a", on, Precondition::None).unwrap_err().code(), "save_uncertain");
    edge.port.fail(Some(PublishError::Conflict { last: Some(2) }));
    assert_eq!(edge.publisher.keep_stops().unwrap_err().code(), "contended");
    let change = document("a", 2, r#","allowed_domains":["a.example"],"revision":3"#);
    obey(&edge, vec![change], bus::position(2), Taking::Newer);
    assert_eq!((edge.is_enabled("a"), edge.publisher.not_kept()), (Some(true), vec![]));
}
