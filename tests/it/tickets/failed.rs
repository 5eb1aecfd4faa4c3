//! Requests that were let in by a ticket and failed: their kept decision names the ticket's page.

use serde_json::Value;

use super::{SITE, STRANGER, ask, body, own, spec, ticket};
use crate::support::edge::Edge;
use crate::support::ports;

const DASHBOARD: &str = "https://dashboard.example";

#[tokio::test]
async fn the_page_is_known_whatever_let_it_in() {
    let mut spec = spec(ports::free());
    spec.more.push_str(&format!("[policy]\nsystem_origins = [\"{DASHBOARD}\"]\n"));
    let edge = Edge::start(spec).await;
    for (widget, page, reason, would_deny) in [
        ("w", SITE, "ticket", None),
        ("w", DASHBOARD, "system_origin", None),
        ("open", STRANGER, "unrestricted", None),
        ("monitored", STRANGER, "unrestricted", Some("not_listed")),
    ] {
        let ticket = format!("Embed {}", ticket(&edge, widget, page, 60));
        let fields = [("Origin", &*own(&edge)), ("Authorization", &*ticket)];
        let answer = ask(&edge, "GET", &format!("/w/{widget}/session"), &fields).await;
        assert_eq!(answer.status, 502, "{answer:?}");
        let id = body(&answer)["decision_id"].as_str().unwrap().to_owned();
        let told = edge.admin(&format!("/v1/decisions/{id}")).await.text().await.unwrap();
        let told: Value = serde_json::from_str(&told).unwrap();
        let then = &told["decision"]["judged"];
        assert_eq!((&then["opened_by"], &then["verdict"]), (&page.into(), &"allow".into()), "{told}");
        assert_eq!(
            (then["reason"].as_str(), then["would_deny"].as_str()),
            (Some(reason), would_deny),
            "{told}"
        );
        // Judged again, it is the same request.
        assert_eq!(told["now"]["reason"], then["reason"], "{told}");
    }
}
