#![allow(clippy::unwrap_used)]

use http::Method;
use serde_json::{Value, json};

use crate::admin::tests::served_counting;
use crate::limits::usage::{LimitReader, LimitUsage};
use embedgate_policy::limits::{LimitKind, LimitPart, Limits};

/// Reader that has counted twelve of everything.
struct Twelve;

impl LimitReader for Twelve {
    fn usage(&self, widget: &str, limits: &Limits, embedder: Option<&str>) -> Vec<LimitUsage> {
        assert_eq!(widget, "w");
        let all = LimitPart::ALL.into_iter().flat_map(|part| LimitKind::ALL.map(|kind| (part, kind)));
        let used = |(part, kind): (LimitPart, LimitKind)| {
            let whose = embedder.filter(|_| part == LimitPart::Embedder).map(str::to_owned);
            Some(LimitUsage { part, kind, limit: limits.of(part).of(kind)?.get(), used: 12, whose })
        };
        all.filter_map(used).collect()
    }
}

#[tokio::test]
async fn an_explanation_says_how_much_of_the_limits_is_used() {
    let served = served_counting(std::sync::Arc::new(Twelve));
    let ask = async |origin: &str, class: &str, limits: Value| {
        let draft = json!({ "id": "w", "allowed_domains": ["a.example"], "limits": limits });
        let question = json!({ "widget": "w", "origin": origin, "class": class, "draft": draft });
        let answer = served.call(Method::POST, "/v1/explain", false).json(&question).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200);
        answer.json::<Value>().await.unwrap()
    };
    let limits = json!({ "embedder": { "opens_per_minute": 20 }, "widget": { "sessions": 12 } });
    let told = ask("https://a.example", "session", limits.clone()).await;
    let embedder = json!({ "part": "embedder", "kind": "opens_per_minute", "limit": 20, "used": 12, "whose": "https://a.example" });
    let widget = json!({ "part": "widget", "kind": "sessions", "limit": 12, "used": 12 });
    assert_eq!((&told["verdict"], &told["limits"]), (&json!("allow"), &json!([embedder, widget])));
    let hint = "one more open is refused now (limit_sessions): widget: 12 of 12 sessions open";
    assert_eq!(told["hints"], json!([hint]));

    let of_asset = ask("https://a.example", "asset", limits.clone()).await;
    assert_eq!((of_asset.get("hints"), of_asset["limits"].as_array().unwrap().len()), (None, 2));
    let denied = ask("https://b.example", "session", limits).await;
    assert_eq!((&denied["verdict"], denied.get("hints")), (&json!("deny"), None));
    assert_eq!(denied["limits"][0]["whose"], "https://b.example");
    let unlimited = ask("https://a.example", "session", json!({ "mode": "monitor" })).await;
    assert_eq!(unlimited.get("limits"), None);
}
