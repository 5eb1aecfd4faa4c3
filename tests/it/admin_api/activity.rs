//! Who embeds, as a running edge has seen it: by widget, as a draft, and what a trial makes of it.

use reqwest::{Client, Method};
use serde_json::{Value, json};

use super::{LISTED, STRANGER, call, post, read, visit};
use crate::support::edge::{Edge, EdgeSpec, READ_TOKEN};
use crate::support::eventually;

/// The activity of a widget, once its last visit is kept.
async fn seen(edge: &Edge, widget: &str, is_kept: impl Fn(&Value) -> bool) -> Value {
    let mut told = Value::Null;
    eventually("the last visit is kept", async || {
        let (status, answer) = call(edge, Method::GET, &format!("/v1/widgets/{widget}/activity")).await;
        assert_eq!(status, 200, "{answer}");
        told = answer;
        is_kept(&told)
    })
    .await;
    told
}

#[tokio::test]
async fn visits_are_told_by_entry_and_by_reason() {
    let document =
        json!({ "id": "w", "allowed_domains": ["example.com", "*.wide.example", "never.example"] });
    let edge = Edge::start(EdgeSpec::stored(&json!([document, { "id": "open" }]))).await;
    for (origin, status) in [
        (LISTED, 200),
        (LISTED, 200),
        ("https://a.wide.example", 200),
        (STRANGER, 403),
        ("http://example.com", 403),
        ("null", 403),
    ] {
        assert_eq!(visit(&edge, "w", origin).await, status, "{origin}");
    }
    let told = seen(&edge, "w", |told| told["refused"]["sites"].as_array().unwrap().len() == 3).await;
    let entries = told["entries"].as_array().unwrap();
    let counts: Vec<_> = entries.iter().map(|entry| (&entry["entry"], &entry["count"])).collect();
    assert_eq!(
        counts,
        [
            (&json!("example.com"), &json!(2)),
            (&json!("*.wide.example"), &json!(1)),
            (&json!("never.example"), &json!(0))
        ]
    );
    assert_eq!(entries[1]["hosts"][0]["host"], "a.wide.example");
    assert!(entries[0]["last"].is_string() && entries[2]["last"].is_null(), "{told}");
    let refused = |origin: &str| {
        let sites = told["refused"]["sites"].as_array().unwrap();
        let site = sites.iter().find(|site| site["origin"] == origin).unwrap();
        (site["reason"].clone(), site["entry_to_add"].clone())
    };
    assert_eq!(refused(STRANGER), (json!("not_listed"), json!("stranger.example")));
    assert_eq!(refused("http://example.com"), (json!("insecure_scheme"), json!("http://example.com")));
    assert_eq!(refused("null"), (json!("opaque_origin"), Value::Null));

    assert_eq!(visit(&edge, "open", STRANGER).await, 200);
    let told = seen(&edge, "open", |told| told["admitted"]["sites"] != json!([])).await;
    assert_eq!(told["would_refuse"], json!({ "sites": 1, "requests": 1 }));
    let (_, all) = call(&edge, Method::GET, "/v1/activity").await;
    let most = all["most_refused"].as_array().unwrap();
    assert!(most.iter().any(|site| site["widget"] == "w" && site["origin"] == STRANGER), "{all}");
    assert_eq!((&all["unrestricted"], &all["looked_at"]), (&json!(1), &json!(2)));
}

#[tokio::test]
async fn a_trial_names_the_sites_that_it_would_refuse_and_admit() {
    let edge =
        Edge::start(EdgeSpec::stored(&json!([{ "id": "w", "allowed_domains": ["example.com"] }]))).await;
    for (origin, status) in [(LISTED, 200), (STRANGER, 403)] {
        assert_eq!(visit(&edge, "w", origin).await, status);
    }
    seen(&edge, "w", |told| told["refused"]["sites"] != json!([])).await;
    let other = json!({ "id": "w", "allowed_domains": ["stranger.example"] });
    let (status, told) = post(&edge, "/v1/widgets/w/dry-run", &other).await;
    assert_eq!(status, 200, "{told}");
    let effects = &told["embedders"];
    assert_eq!((&effects["newly_refused"], &effects["newly_admitted"]), (&json!(1), &json!(1)));
    assert_eq!(
        (&effects["refused"][0]["origin"], &effects["refused"][0]["reason"]),
        (&json!(LISTED), &json!("not_listed"))
    );
    assert_eq!(effects["admitted"][0]["origin"], STRANGER);
    assert_eq!(
        effects["summary"],
        "1 site that loaded the widget in the last 30 days would be refused, 1 site that is refused now would be admitted"
    );
    // What it told is what the save does.
    assert_eq!(edge.put(&other).await.0, 200);
    assert_eq!((visit(&edge, "w", LISTED).await, visit(&edge, "w", STRANGER).await), (403, 200));
}

#[tokio::test]
async fn a_draft_is_asked_for_by_a_token_that_may_only_read() {
    let document = json!({ "id": "w", "access": "monitor", "allowed_domains": ["example.com"] });
    let edge = Edge::start(EdgeSpec::stored(&json!([document]))).await;
    for origin in [LISTED, STRANGER] {
        assert_eq!(visit(&edge, "w", origin).await, 200);
    }
    seen(&edge, "w", |told| told["refused"]["sites"] != json!([])).await;
    let propose = Client::new().post(format!("http://{}/v1/widgets/w/propose", edge.admin));
    let (status, told) = read(propose.bearer_auth(READ_TOKEN).send().await.unwrap()).await;
    assert_eq!(status, 200, "{told}");
    let list = json!(["example.com", "stranger.example"]);
    assert_eq!((&told["draft"]["allowed_domains"], &told["draft"]["access"]), (&list, &json!("enforce")));
    let standings: Vec<_> = told["sites"].as_array().unwrap().iter().map(|site| &site["standing"]).collect();
    assert_eq!(standings, ["added", "listed"]);
    let (_, stored) = call(&edge, Method::GET, "/v1/widgets/w").await;
    assert_eq!(stored["access"], "monitor", "nothing was saved");
    assert_eq!(edge.put(&told["draft"]).await.0, 409, "the draft has the revision that it is based on");
    let put = edge.api(Method::PUT, "/v1/widgets/w").header("if-match", "\"1\"").json(&told["draft"]);
    assert_eq!(put.send().await.unwrap().status(), 200);
    assert_eq!((visit(&edge, "w", LISTED).await, visit(&edge, "w", STRANGER).await), (200, 200));
    assert_eq!(visit(&edge, "w", "https://another.example").await, 403);
}
