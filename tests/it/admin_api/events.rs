//! What happens on the edge, as it happens and after a break.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::{LISTED, STRANGER, batch, call, is_problem, visit};
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::events::{EventStream, SentEvent};

/// Everything but notifications, which tell of the same a little later.
const VERDICTS_AND_RULES: &str = "?kind=decision,swap,refused,session_ended";

fn listed() -> EdgeSpec {
    let mut spec = EdgeSpec::stored(&json!([{ "id": "w", "allowed_domains": ["example.com"] }]));
    spec.more = "[log]\ndecisions = \"off\"\n".to_owned();
    spec
}

fn kinds(events: &[SentEvent]) -> Vec<&str> {
    events.iter().map(|event| &*event.kind).collect()
}

#[tokio::test]
async fn whoever_listens_hears_decisions_swaps_and_refusals_in_one_order() {
    let edge = Edge::start(listed()).await;
    let (mut first, mut second) = (
        EventStream::open(&edge, VERDICTS_AND_RULES).await,
        EventStream::open(&edge, VERDICTS_AND_RULES).await,
    );
    assert_eq!((visit(&edge, "w", LISTED).await, visit(&edge, "w", STRANGER).await), (200, 403));
    edge.put(&json!({ "id": "w", "allowed_domains": ["stranger.example"] })).await;
    edge.put(&json!({ "id": "w" })).await;
    assert_eq!(visit(&edge, "w", STRANGER).await, 200);
    let events = first.take(5).await;
    assert_eq!(events, second.take(5).await);
    assert_eq!(kinds(&events), ["decision", "decision", "swap", "refused", "decision"]);
    let data = |at: usize| &events[at].data;
    let decision =
        |at: usize| (data(at)["verdict"].as_str().unwrap(), data(at)["embedder"].as_str().unwrap());
    assert_eq!([0, 1, 4].map(decision), [("allow", LISTED), ("deny", STRANGER), ("allow", STRANGER)]);
    assert_eq!((&data(2)["generation"], &data(3)["code"]), (&json!(2), &json!("would_open_widget")));
    let changed = &data(2)["changed"][0];
    assert_eq!((&changed["id"], &changed["before"], &changed["after"]), (&json!("w"), &json!(1), &json!(2)));
    assert!(changed["actor"].as_str().unwrap().starts_with("token:write:"), "{changed}");
    assert!(edge.decisions().is_empty(), "listening writes no log");
}

#[tokio::test]
async fn a_reader_that_comes_back_misses_nothing() {
    let edge = Edge::start(listed()).await;
    let mut reader = EventStream::open(&edge, VERDICTS_AND_RULES).await;
    visit(&edge, "w", LISTED).await;
    let last = reader.next().await;
    drop(reader);
    visit(&edge, "w", STRANGER).await;
    edge.put(&json!({ "id": "w", "allowed_domains": ["stranger.example"] })).await;
    visit(&edge, "w", STRANGER).await;
    let mut back = EventStream::resume(&edge, VERDICTS_AND_RULES, &last.id).await;
    let events = back.take(3).await;
    assert_eq!(kinds(&events), ["decision", "swap", "decision"]);
    let verdicts: Vec<&Value> = events.iter().map(|event| &event.data["verdict"]).collect();
    assert_eq!(verdicts, [&json!("deny"), &Value::Null, &json!("allow")]);
    // Swaps are there without anybody who has listened.
    let mut swaps = EventStream::resume(&edge, "?kind=swap", &last.id).await;
    assert_eq!(swaps.next().await, events[1]);
    // And what comes then.
    edge.put(&json!({ "id": "w", "allowed_domains": ["example.com"] })).await;
    assert_eq!(back.next().await, swaps.next().await);
    assert_eq!(swaps.within(Duration::from_millis(200)).await, None);
}

#[tokio::test]
async fn a_reader_hears_only_what_it_asks_for() {
    let edge = Edge::start(listed()).await;
    let mut of_v = EventStream::open(&edge, "?widget=v&kind=decision,swap").await;
    let mut swaps = EventStream::open(&edge, "?kind=swap").await;
    let mut two = EventStream::open(&edge, "?kind=refused,decision&widget=w").await;
    let mut repeated = EventStream::open(&edge, "?kind=refused&kind=swap").await;
    edge.put(&json!({ "id": "v", "allowed_domains": ["example.com"] })).await;
    edge.put(&json!({ "id": "w" })).await;
    visit(&edge, "v", LISTED).await;
    visit(&edge, "w", LISTED).await;
    let lines: Vec<Value> = (0..150).map(|n| json!({ "put": { "id": format!("n{n:03}") } })).collect();
    assert_eq!(batch(&edge, "", &lines).await.0, 200);
    assert_eq!(kinds(&of_v.take(3).await), ["swap", "decision", "swap"], "a wide swap may be about it");
    let wide = &swaps.take(2).await[1].data;
    assert_eq!((wide["changed"].as_array().unwrap().len(), &wide["changed_omitted"]), (100, &json!(50)));
    assert_eq!(kinds(&two.take(1).await), ["decision"], "a refusal is about no widget");
    assert_eq!(kinds(&repeated.take(3).await), ["swap", "refused", "swap"]);
    for stream in [&mut of_v, &mut swaps, &mut two, &mut repeated] {
        assert_eq!(stream.within(Duration::from_millis(50)).await, None);
    }
    for (query, code, part) in [
        ("?kind=swaps", "invalid_parameter", "`decision`, `swap`, `refused`, `session_ended`"),
        ("?kind=swap,", "invalid_parameter", "is no kind of event"),
        ("?widget=no%20id", "invalid_parameter", "widget"),
        ("?widget=a&widget=b", "invalid_parameter", "widget"),
        ("?kinds=swap", "unknown_parameter", "kind"),
        ("?after=3", "unknown_parameter", "kind"),
    ] {
        let refused = call(&edge, Method::GET, &format!("/v1/events{query}")).await;
        is_problem(&refused, 400, code);
        assert!(refused.1["detail"].as_str().unwrap().contains(part), "{query}: {}", refused.1);
    }
}

/// A page or a program keeps an id for as long as it likes.
#[tokio::test]
async fn an_id_that_is_of_no_use_is_told() {
    let mut edge = Edge::start(listed()).await;
    let mut reader = EventStream::open(&edge, "?kind=swap").await;
    edge.put(&json!({ "id": "v" })).await;
    let last = reader.next().await;
    let mut decisions = EventStream::resume(&edge, "", &last.id).await;
    assert_eq!(decisions.next().await.data, json!({ "kind": "lagged", "reason": "not_told" }));
    drop((reader, decisions));
    edge.signal("TERM");
    edge.exit_code().await;
    edge.restart().await;
    for id in [&*last.id, "nonsense"] {
        let mut back = EventStream::resume(&edge, "?kind=swap", id).await;
        assert_eq!(back.next().await.data, json!({ "kind": "lagged", "reason": "restarted" }), "{id}");
        // What there is of this process follows: the book that it has started with.
        assert_eq!(back.next().await.data["changed"], json!([]));
    }
}

#[tokio::test]
async fn a_reader_that_was_away_for_too_long_is_told_what_it_missed() {
    let edge = Edge::start(listed()).await;
    let mut reader = EventStream::open(&edge, "?kind=decision").await;
    visit(&edge, "w", LISTED).await;
    let last = reader.next().await;
    drop(reader);
    let (client, url) = (reqwest::Client::new(), edge.url("/w/w/loader.js"));
    let mut answered = 0;
    for _ in 0..21 {
        let visits = (0..500).map(|_| client.get(&url).header("origin", STRANGER).send());
        answered += join_all(visits).await.into_iter().filter(Result::is_ok).count() as u64;
    }
    let mut back = EventStream::resume(&edge, "?kind=decision", &last.id).await;
    let lagged = back.next().await;
    // On a busy machine a visit may not come through, and a client sends one again whose connection was lost.
    let missed = lagged.data["missed"].as_u64().unwrap();
    assert!((answered - 10_000..=600).contains(&missed), "{missed} of {answered}");
    assert_eq!(lagged.data, json!({ "kind": "lagged", "reason": "not_kept", "missed": missed }));
    let rest = back.take(10_000).await;
    assert!(kinds(&rest).iter().all(|kind| *kind == "decision"));
    assert_eq!(back.within(Duration::from_millis(50)).await, None);
    // Whoever breaks off at the gap goes on after it.
    let mut again = EventStream::resume(&edge, "?kind=decision", &lagged.id).await;
    assert_eq!(again.next().await, rest[0]);
}
