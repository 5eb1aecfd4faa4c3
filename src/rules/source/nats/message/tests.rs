#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::rules::change::Actor;
use crate::rules::documents::canonical;
use crate::rules::storage::{Author, Write};
use crate::rules::tombstone::Tombstone;

const WRITTEN: u64 = 1_800_000_000_123_456_789;

fn suffixes() -> &'static PublicSuffixes {
    PublicSuffixes::shipped()
}

fn message(key: &str, payload: &str) -> BucketMessage {
    let payload = Bytes::copy_from_slice(payload.as_bytes());
    BucketMessage { key: key.into(), sequence: 7, written: WRITTEN, headers: None, payload }
}

fn change(message: &BucketMessage) -> SharedChange {
    match message.read(suffixes()) {
        WidgetMessage::Change(change) => change,
        other => panic!("{other:?}"),
    }
}

fn refused(message: &BucketMessage) -> RuleFault {
    match message.read(suffixes()) {
        WidgetMessage::Refused(fault) => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_put_by_hand_has_the_bucket_as_its_author() {
    let change = change(&message("wgt", r#"{"id":"wgt","allowed_domains":["example.com"],"revision":3}"#));
    assert_eq!((change.id.as_str(), change.sequence, &*change.actor), ("wgt", 7, "source:nats"));
    assert_eq!(change.at.as_nanosecond(), i128::from(WRITTEN));
    let SharedState::Document(widget) = change.state else { panic!("no document") };
    assert_eq!((widget.revision, widget.allowed_domains.len()), (Some(3), 1));
}

#[test]
fn what_an_edge_writes_is_read_again_with_its_author() {
    let widget = Widget::parse(br#"{"id":"wgt","access":"open","labels":{"a":"}"}}"#, suffixes()).unwrap();
    for revision in [1, 9, (1 << 53) - 1] {
        let json = canonical(&mut widget.clone());
        let state = WidgetState::Put { revision, json, record: [].into() };
        let author = Author::now(Actor::Token("ann\nb".into()), 4);
        let write = Write { id: widget.id.clone(), state };
        let signed = SignedWrite { write, author: Arc::clone(&author) };
        let written = NewMessage::of_write(&signed, 5, "edge-1");
        assert_eq!((written.key.as_str(), written.expected), ("wgt", 5));
        let read = BucketMessage {
            headers: Some(written.headers.clone()),
            payload: written.payload,
            ..message("wgt", "")
        };
        let change = change(&read);
        // A line break in a name would be another header.
        assert_eq!((&*change.actor, change.at), ("token:ann b", author.at));
        assert_eq!(written.headers.get(EDGE).map(|edge| edge.as_str()), Some("edge-1"));
        let SharedState::Document(read) = change.state else { panic!("no document") };
        assert_eq!(*read, Widget { revision: Some(revision), ..widget.clone() });
    }
}

#[test]
fn a_tombstone_is_read_again() {
    for was_restricted in [true, false] {
        let tombstone = Tombstone { revision: 12, was_restricted, withdrawn: None };
        let write = Write { id: WidgetId::parse("gone").unwrap(), state: WidgetState::Deleted(tombstone) };
        let signed = SignedWrite { write, author: Author::now(Actor::CommandLine, 1) };
        let written = NewMessage::of_write(&signed, 0, "edge-1");
        let read = BucketMessage { payload: written.payload, ..message("gone", "") };
        let SharedState::Deleted { revision, was_restricted: read } = change(&read).state else {
            panic!("no deletion")
        };
        assert_eq!((revision, read), (12, was_restricted));
    }
    // Nothing is known of how it was: it was restricted.
    let by_hand = change(&message("gone", r#"{"id":"gone","revision":2,"deleted":true}"#));
    assert!(matches!(by_hand.state, SharedState::Deleted { was_restricted: true, .. }), "{by_hand:?}");
}

#[test]
fn what_can_t_be_taken_says_where_it_stands() {
    for (key, payload, code) in [
        ("not an id!", "{}", "invalid_id"),
        ("wgt", r#"{"id":"wgt","access":"open"}"#, "invalid_revision"),
        ("wgt", r#"{"id":"other","access":"open","revision":1}"#, "other_id"),
        ("wgt", r#"{"id":"other","revision":1,"deleted":true}"#, "other_id"),
        ("wgt", r#"{"id":"wgt","revision":9007199254740992}"#, "invalid_revision"),
        ("wgt", "garbage", "invalid_json"),
        ("wgt", "", "invalid_json"),
        ("wgt", r#"{"id":"wgt","revision":1,"deleted":false}"#, "unknown_field"),
    ] {
        let fault = refused(&message(key, payload));
        assert_eq!(fault.code, code, "{payload}: {fault:?}");
        assert!(fault.detail.starts_with(&format!("message 7 of the bucket, key '{key}': ")), "{fault}");
    }
}

#[test]
fn a_key_deleted_by_hand_is_a_marker() {
    for (operation, is_marker) in [("DEL", true), ("PURGE", true), ("PUT", false)] {
        let mut headers = HeaderMap::new();
        headers.insert(OPERATION, operation);
        let deleted = BucketMessage { headers: Some(headers), ..message("wgt", "") };
        assert_eq!(matches!(deleted.read(suffixes()), WidgetMessage::Marker), is_marker, "{operation}");
    }
    assert!(message("wgt", "").deleted_by_hand().to_string().contains("it stays in force"));
}

#[test]
fn batches_and_keys_of_the_fleet_are_told_apart() {
    let mut headers = HeaderMap::new();
    headers.insert(NATS_BATCH_ID, "b1");
    let piece = BucketMessage { headers: Some(headers.clone()), ..message("wgt", "") };
    assert_eq!(piece.batch(), Some(("b1", false)));
    headers.insert(NATS_BATCH_COMMIT, "1");
    let last = BucketMessage { headers: Some(headers), ..message("wgt", "") };
    assert_eq!(last.batch(), Some(("b1", true)));
    assert_eq!(message("wgt", "").batch(), None);
    assert!(message("wgt", "").is_of_widget() && !message("fleet.edge.a", "").is_of_widget());
}
