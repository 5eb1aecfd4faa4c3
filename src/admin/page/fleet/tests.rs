//! What the view of a fleet shows.
#![allow(clippy::unwrap_used)]

use http::Method;
use jiff::Timestamp;

use super::*;
use crate::admin::fleet::fake::FakeFleet;
use crate::admin::tests::served_in;
use crate::rules::fleet::Fleet;

fn edge(name: &str, state: EdgeState, keys: &str) -> EdgeStatus {
    EdgeStatus {
        name: name.to_owned(),
        state,
        version: Some("0.1.0".to_owned()),
        sequence: Some(5),
        age_seconds: Some(90_000),
        sessions: Some(3),
        ticket_keys: Some(keys.to_owned()),
        digest: None,
        heard_at: Some(Timestamp::UNIX_EPOCH),
    }
}

fn fleet(edges: Vec<EdgeStatus>) -> FleetStatus {
    let (bucket, name) = ("widgets".to_owned(), "edge-1".to_owned());
    FleetStatus { bucket, edge: name, connected: true, last_sequence: 7, fault: None, edges }
}

#[test]
fn edges_are_told_with_what_they_lack() {
    let edges = ["edge-1", "edge-2"].map(|name| edge(name, EdgeState::Current, "aa")).into_iter();
    let status = fleet(edges.chain([edge("edge-3", EdgeState::Silent, "bb")]).collect());
    let shown = content(&status, Role::Write).into_string();
    for text in
        ["edge-3", "silent", "other keys", "25 h", "Not all edges have the same ticket keys", "this one"]
    {
        assert!(shown.contains(text), "{text}");
    }
    assert!(shown.contains(r#"<td class="number">2</td>"#), "behind by two: {shown}");
    assert_eq!(shown.matches("data-opens=\"forget\"").count(), 1, "only one that is away can be forgotten");
    let alike =
        fleet(vec![edge("edge-1", EdgeState::Current, "aa"), edge("edge-2", EdgeState::Behind, "aa")]);
    assert!(!content(&alike, Role::Write).into_string().contains("other keys"));
}

#[test]
fn a_fault_is_for_writers_to_decide() {
    let mut status =
        fleet(vec![edge("edge-1", EdgeState::Fault, "aa"), edge("edge-2", EdgeState::Stale, "aa")]);
    let (code, detail) = ("another_bucket".to_owned(), "it was made anew".to_owned());
    status.fault = Some(FleetFault { code, detail, since: Timestamp::UNIX_EPOCH });
    let (reader, writer) = (content(&status, Role::Read), content(&status, Role::Write));
    let (reader, writer) = (reader.into_string(), writer.into_string());
    assert!(reader.contains("it was made anew") && writer.contains("it was made anew"));
    assert!(!reader.contains("<button") && !reader.contains("<dialog"), "{reader}");
    for change in ["restore", "accept", "forget"] {
        assert!(writer.contains(&format!("data-opens=\"{change}\"")), "{change}");
        assert!(writer.contains(&format!("<dialog id=\"{change}\"")), "{change}");
    }
}

#[test]
fn an_age_has_one_unit() {
    for (seconds, told) in [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7_200, "2 h"), (172_800, "2 d")] {
        assert_eq!(age(seconds), told);
    }
}

#[tokio::test]
async fn the_fleet_has_a_place_where_there_is_one() {
    let shown = async |fleet| {
        let served = served_in(Vec::new(), fleet);
        let asked = served.call(Method::GET, "/fleet", false).send().await.unwrap();
        (asked.status().as_u16(), asked.text().await.unwrap())
    };
    let (status, page) = shown(Some(FakeFleet::new() as Arc<dyn Fleet>)).await;
    assert!(status == 200 && page.contains("edge-2") && page.contains("href=\"/fleet\""), "{page}");
    let (status, page) = shown(None).await;
    assert!(
        status == 200 && page.contains("its rules for itself") && !page.contains("href=\"/fleet\""),
        "{page}"
    );
}
