//! Who gets a ticket, and who a fresh one.

use serde_json::{Value, json};

use super::{
    SITE, STRANGER, ask, body, call, given, logged, opened_by, outcome, own, renew, save, session, signed,
    spec, ticket,
};
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::eventually;
use crate::support::raw::{Answer, request, send};
use crate::support::upstream::Upstream;

const PATH: &str = "/w/w/embed-ticket";

#[tokio::test]
async fn a_page_that_may_embed_gets_one() {
    let upstream = Upstream::start("app").await;
    let spec = EdgeSpec { edge: "trusted_proxies = [\"127.0.0.0/8\"]".to_owned(), ..spec(upstream.addr) };
    let edge = Edge::start(spec).await;
    let answer = call(&edge, "w", &[("Origin", SITE), ("X-Forwarded-Proto", "https")]).await;
    assert_eq!(opened_by(&edge, "w", &given(&answer)), SITE);
    assert_eq!(body(&answer)["expires_in"], 60);
    for (name, value) in [
        ("content-type", "application/json"),
        ("cache-control", "no-store"),
        ("access-control-allow-origin", SITE),
        ("access-control-allow-credentials", ""),
        ("vary", "Origin, Referer, Sec-Fetch-Dest"),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-resource-policy", "cross-origin"),
        ("strict-transport-security", "max-age=31536000"),
    ] {
        assert_eq!(answer.field(name), value, "{name}");
    }
    // A body that nobody asked for does no harm.
    let fields = [("Origin", SITE), ("Content-Length", "2")];
    let with_body = request("POST", edge.http, PATH, &fields) + "{}";
    assert_eq!(send(edge.http, with_body.as_bytes()).await.status, 200);
    assert_eq!(outcome(&edge, "issued").await, 2.0);
    assert_eq!(upstream.requests(), 0, "the edge answers by itself");
}

#[tokio::test]
async fn who_asks_is_told_by_origin_alone() {
    let upstream = Upstream::start("app").await;
    let edge = Edge::start(spec(upstream.addr)).await;
    for (fields, reason, cors) in [
        (&[("Referer", "https://a.example/page")][..], "no_embedder", ""),
        (&[("Origin", STRANGER), ("Referer", "https://a.example/")], "not_listed", STRANGER),
        (&[("Origin", "null")], "opaque_origin", "null"),
        (&[("Origin", "https://a.example/")], "malformed_origin", ""),
        (&[("Origin", "http://a.example")], "insecure_scheme", "http://a.example"),
    ] {
        let answer = call(&edge, "w", fields).await;
        assert_eq!((answer.status, answer.field("access-control-allow-origin")), (403, cors), "{fields:?}");
        assert_eq!(answer.field("cache-control"), "no-store");
        let line = logged(&edge, &answer).await;
        assert_eq!((&line["reason"], &line["class"]), (&json!(reason), &json!("session")), "{line}");
        assert!(line.get("ticket_fault").is_none());
    }
    assert_eq!(outcome(&edge, "refused").await, 5.0);
    let (denied, unknown) =
        (call(&edge, "w", &[("Origin", STRANGER)]).await, call(&edge, "none", &[("Origin", STRANGER)]).await);
    assert_eq!(without_ids(denied), without_ids(unknown), "a denied and an unknown widget look alike");
}

/// An answer, ids and dates aside.
fn without_ids(answer: Answer) -> (u16, Vec<(String, String)>, Value) {
    let mut told = body(&answer);
    told.as_object_mut().unwrap().remove("decision_id");
    (answer.status, answer.fields.into_iter().filter(|(name, _)| name != "date").collect(), told)
}

#[tokio::test]
async fn other_methods_are_refused_and_preflights_pass() {
    let upstream = Upstream::start("app").await;
    let edge = Edge::start(spec(upstream.addr)).await;
    for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
        let mut request = request(method, edge.http, PATH, &[("Origin", SITE)]);
        request.insert_str(request.len() - 2, "Connection: close\r\n");
        let answer = send(edge.http, request.as_bytes()).await;
        assert_eq!((answer.status, answer.field("allow")), (405, "POST, OPTIONS"), "{method}");
    }
    let preflight = async |origin: &str| {
        let fields = [
            ("Origin", origin),
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "authorization"),
        ];
        ask(&edge, "OPTIONS", PATH, &fields).await
    };
    for (origin, max_age) in [(SITE, "60"), (STRANGER, "0"), (&*own(&edge), "0")] {
        let answer = preflight(origin).await;
        let told = (
            answer.status,
            answer.field("access-control-allow-origin"),
            answer.field("access-control-max-age"),
        );
        assert_eq!(told, (204, origin, max_age));
        assert_eq!(answer.field("access-control-allow-headers"), "authorization");
        assert_eq!(answer.body, "");
    }
    assert_eq!(outcome(&edge, "issued").await + outcome(&edge, "refused").await, 0.0, "nobody asked yet");
}

#[tokio::test]
async fn an_iframe_exchanges_the_one_it_has() {
    let upstream = Upstream::start("app").await;
    let mut spec = spec(upstream.addr);
    spec.more.push_str("[tickets]\nrenewable_for = \"2h\"\nlifetime = \"30s\"\n");
    let edge = Edge::start(spec).await;
    for left in [20, -1, -7_100] {
        let answer = renew(&edge, "w", &ticket(&edge, "w", SITE, left)).await;
        let fresh = given(&answer);
        assert_eq!(
            (opened_by(&edge, "w", &fresh).as_str(), &body(&answer)["expires_in"]),
            (SITE, &json!(30))
        );
        assert_eq!(session(&edge, &fresh).await.status, 200);
        assert_eq!(answer.field("access-control-allow-origin"), own(&edge));
    }
    assert_eq!(outcome(&edge, "renewed").await, 3.0);
    assert_eq!(outcome(&edge, "accepted").await, 3.0);
    let foreign = signed(&keys_of_another(), "w", SITE, 20);
    for (presented, reason, fault, by) in [
        (ticket(&edge, "w", SITE, -7_300), "ticket_expired", None, Some(SITE)),
        (ticket(&edge, "other", SITE, 20), "ticket_invalid", Some("other_widget"), None),
        (foreign, "ticket_invalid", Some("unknown_key"), None),
        (ticket(&edge, "w", STRANGER, 20), "not_listed", None, Some(STRANGER)),
    ] {
        let answer = renew(&edge, "w", &presented).await;
        assert_eq!((answer.status, answer.field("access-control-allow-origin")), (403, &*own(&edge)));
        let line = logged(&edge, &answer).await;
        let found = (line["reason"].as_str(), line["ticket_fault"].as_str(), line["opened_by"].as_str());
        assert_eq!(found, (Some(reason), fault, by), "{line}");
    }
    let without = call(&edge, "w", &[("Origin", &own(&edge))]).await;
    assert_eq!((without.status, &logged(&edge, &without).await["reason"]), (403, &json!("ticket_missing")));
    // A page's own origin counts, whatever it presents.
    let presented = ticket(&edge, "w", SITE, 20);
    let fields = [("Origin", STRANGER), ("Authorization", &*format!("Embed {presented}"))];
    assert_eq!(call(&edge, "w", &fields).await.status, 403);

    let held = ticket(&edge, "w", SITE, 20);
    save(&edge, &json!(["b.example"])).await;
    let answer = renew(&edge, "w", &held).await;
    assert_eq!(logged(&edge, &answer).await["reason"], "not_listed", "by the rules of the moment");
    assert!(answer.body.contains("a.example") && !answer.body.contains("localhost"), "{}", answer.body);
}

fn keys_of_another() -> embedgate_policy::ticket::TicketKeys {
    embedgate_policy::ticket::TicketKeys::parse("QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=").unwrap()
}

#[tokio::test]
async fn where_none_is_needed_one_is_given_if_it_can_name_somebody() {
    let upstream = Upstream::start("app").await;
    let edge = Edge::start(spec(upstream.addr)).await;
    for id in ["open", "monitored"] {
        let given = given(&call(&edge, id, &[("Origin", STRANGER)]).await);
        assert_eq!(opened_by(&edge, id, &given), STRANGER);
        let answer = call(&edge, id, &[("Origin", &own(&edge))]).await;
        assert_eq!((answer.status, body(&answer)), (200, json!({ "ticket": null, "expires_in": 0 })));
        let fresh = renew(&edge, id, &given).await;
        assert_eq!(opened_by(&edge, id, &super::given(&fresh)), STRANGER);
        for fields in [vec![], vec![("Authorization", format!("Embed {given}"))]] {
            let mut fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let own = own(&edge);
            fields.push(("Origin", &own));
            assert_eq!(ask(&edge, "GET", &format!("/w/{id}/session"), &fields).await.status, 200);
        }
    }
    let of_session = |line: &Value| {
        line["widget"] == "monitored" && line["method"] == "GET" && line["opened_by"] == STRANGER
    };
    eventually("the page is logged", async || {
        let lines = edge.decisions();
        lines.iter().any(|line| of_session(line) && line["would_deny"] == "not_listed")
    })
    .await;
    for id in ["open", "monitored"] {
        for opaque in ["null", "file://"] {
            let answer = call(&edge, id, &[("Origin", opaque)]).await;
            assert_eq!(
                (answer.status, &body(&answer)["ticket"]),
                (200, &Value::Null),
                "there is nobody to name"
            );
        }
    }
}
