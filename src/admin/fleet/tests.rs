//! Calls about a fleet, on a real listener, with a fleet that does what it is told to.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::fake::FakeFleet;
use crate::admin::tests::{Served, served_in};
use crate::rules::error::{BucketError, SaveError, StoreError};
use crate::rules::fleet::{EdgeState, Fleet, FleetError, FleetFault, FleetLink};
use embedgate_policy::decision::EdgePolicy;

fn served() -> (Served, Arc<FakeFleet>) {
    let fleet = FakeFleet::new();
    (served_in(Vec::new(), Some(Arc::clone(&fleet) as Arc<dyn Fleet>)), fleet)
}

fn asked(fleet: &FakeFleet) -> Vec<String> {
    std::mem::take(&mut *fleet.asked.lock())
}

#[tokio::test]
async fn every_edge_is_listed() {
    let (served, fleet) = served();
    *fleet.other.lock() = EdgeState::Silent;
    let (status, told) = served.read(Method::GET, "/v1/fleet").await;
    assert_eq!(
        (status, &told["bucket"], &told["edge"]),
        (200, &json!("embedgate-widgets"), &json!("edge-1"))
    );
    assert_eq!(told["edges"][1]["state"], "silent", "{told}");
    served.read(Method::GET, "/v1/fleet?timeout=250ms").await;
    assert_eq!(asked(&fleet), ["status 1s", "status 250ms"]);
    assert_eq!(served.read(Method::GET, "/v1/fleet?timeout=5").await.1["code"], "invalid_parameter");
}

#[tokio::test]
async fn decisions_are_a_writers() {
    let (served, fleet) = served();
    for path in ["/v1/fleet/restore", "/v1/fleet/accept?confirm=9", "/v1/fleet/forget"] {
        let (status, told) = served.read(Method::POST, path).await;
        assert_eq!((status, &told["code"]), (403, &json!("forbidden")), "{path}");
    }
    assert!(asked(&fleet).is_empty());
    let (status, told) = served.write("/v1/fleet/restore", None).await;
    assert_eq!((status, told), (200, json!({ "written": 5, "unchanged": 2, "sequence": 12 })));
    let (status, told) = served.write("/v1/fleet/accept?confirm=9", None).await;
    assert_eq!((status, told), (200, json!({ "touched": 4, "sequence": 12 })));
    let (status, told) = served.write("/v1/fleet/accept", None).await;
    assert_eq!((status, &told["code"], &told["confirm"]), (422, &json!("wide_change"), &json!(0)), "{told}");
    let (status, told) = served.write("/v1/fleet/forget", Some(json!({ "edge": "edge-2" }))).await;
    assert_eq!((status, told), (200, json!({ "edge": "edge-2" })));
    assert_eq!(
        asked(&fleet),
        ["restore by token:operator", "accept 9 by token:operator", "forget edge-2 by token:operator"]
    );
    for body in [json!({}), json!({ "edge": 7 }), json!({ "edge": "a", "also": 1 }), json!([])] {
        let (status, told) = served.write("/v1/fleet/forget", Some(body)).await;
        assert_eq!((status, &told["code"]), (422, &json!("invalid_document")), "{told}");
        assert!(told["detail"].as_str().unwrap().contains("{\"edge\": \"edge-3\"}"), "{told}");
    }
    assert!(asked(&fleet).is_empty());
}

#[tokio::test]
async fn what_keeps_a_decision_from_being_carried_out_has_a_code() {
    let (served, fleet) = served();
    let text = String::from;
    let unavailable = FleetError::Unavailable { detail: text("no responders") };
    let save = |error: BucketError| FleetError::Save(SaveError::Bucket(error));
    let full = StoreError::NoStore { name: "w.json".into() };
    for (failure, status, code, retry) in [
        (FleetError::Behind { edge: text("edge-2"), ahead: 9, own: 7 }, 409, "edge_ahead", false),
        (FleetError::Alive { edge: text("edge-2") }, 409, "edge_alive", false),
        (FleetError::UnknownEdge { edge: text("edge-9") }, 404, "unknown_edge", false),
        (FleetError::NoBucket { bucket: text("b") }, 404, "no_bucket", false),
        (unavailable, 503, "bucket_unavailable", true),
        (save(BucketError::Unavailable { detail: "no quorum".into() }), 503, "bucket_unavailable", true),
        (save(BucketError::Faulted { detail: "another".into() }), 503, "fleet_fault", true),
        (save(BucketError::Uncertain { detail: "timed out".into() }), 503, "save_uncertain", true),
        (save(BucketError::Contended { tries: 8 }), 503, "contended", true),
        (save(BucketError::NotInForce { sequence: 9 }), 503, "not_in_force_yet", true),
        (save(BucketError::TooLarge { changes: 2000, most: 1000 }), 413, "too_large", false),
        (FleetError::Save(SaveError::Storage(full)), 409, "no_store", false),
    ] {
        let detail = failure.to_string();
        *fleet.failure.lock() = Some(failure);
        let answer = served.call(Method::POST, "/v1/fleet/restore", true).send().await.unwrap();
        assert_eq!(answer.status(), status, "{code}");
        assert_eq!(answer.headers().contains_key("retry-after"), retry, "{code}");
        let told: Value = answer.json().await.unwrap();
        assert_eq!((&told["code"], &told["detail"]), (&json!(code), &json!(detail)));
    }
    *fleet.failure.lock() = Some(FleetError::Wide { touched: 31 });
    let (status, told) = served.write("/v1/fleet/accept?confirm=30", None).await;
    assert_eq!((status, &told["code"], &told["confirm"]), (422, &json!("wide_change"), &json!(31)), "{told}");
}

#[tokio::test]
async fn an_edge_without_its_bucket_is_ready_and_says_so() {
    let (served, fleet) = served();
    let at: Timestamp = "2031-01-31T12:00:00Z".parse().unwrap();
    let fault = FleetFault {
        code: "bucket_missing".to_owned(),
        detail: "there is no bucket; `embedgate fleet restore` makes it".to_owned(),
        since: at,
    };
    let link = FleetLink {
        connected: true,
        current_at: Some(at),
        announced_limit: None,
        behind_since: None,
        fault: None,
    };
    for (link, line) in [
        (link.clone(), ""),
        (
            FleetLink { connected: false, ..link.clone() },
            "rules: the bucket embedgate-widgets can't be reached; the rules of 2031-01-31T12:00:00Z are served\n",
        ),
        (
            FleetLink { connected: false, current_at: None, ..link.clone() },
            "rules: the bucket embedgate-widgets can't be reached; the rules that were kept are served\n",
        ),
        (
            FleetLink { fault: Some(fault), ..link.clone() },
            "rules: the bucket embedgate-widgets has not been followed since 2031-01-31T12:00:00Z (bucket_missing): there is \
             no bucket; `embedgate fleet restore` makes it; the rules of 2031-01-31T12:00:00Z are served\n",
        ),
    ] {
        let (connected, fault) = (link.connected, link.fault.is_some());
        fleet.link.send_replace(link);
        assert_eq!(served.get("/readyz").await, (200, format!("ready\n{line}")));
        let (_, told) = served.read(Method::GET, "/v1/status").await;
        assert_eq!(told["rules"]["connected"], connected, "{told}");
        let block = &told["fleet"];
        assert_eq!((&block["connected"], &block["sequence"]), (&json!(connected), &json!(7)), "{block}");
        assert_eq!((&block["edge"], block["fault"].is_object()), (&json!("edge-1"), fault), "{block}");
        assert_eq!(served.metric("embedgate_rules_source_connected").await > 0.0, connected);
    }
    fleet.link.send_replace(link.clone());
    served.admin.policy.store(Arc::new(EdgePolicy { stale_at: Some(at), ..EdgePolicy::default() }));
    // It is in the future.
    assert_eq!(served.read(Method::GET, "/v1/status").await.1["fleet"]["stale_at"], json!(at));
    assert_eq!(served.get("/readyz").await, (200, "ready\n".to_owned()));
    served
        .admin
        .policy
        .store(Arc::new(EdgePolicy { stale_at: Some(Timestamp::UNIX_EPOCH), ..EdgePolicy::default() }));
    for (connected, trouble) in [(false, "can't be reached"), (true, "is not caught up with")] {
        fleet.link.send_replace(FleetLink { connected, ..link.clone() });
        let line = format!(
            "rules: the bucket embedgate-widgets {trouble}; the rules have been too old since 1970-01-01T00:00:00Z \
             (policy.max_staleness), so all but public pages are denied\n"
        );
        assert_eq!(served.get("/readyz").await, (200, format!("ready\n{line}")));
    }
    let old = FleetLink { connected: false, current_at: Some(Timestamp::UNIX_EPOCH), ..link };
    fleet.link.send_replace(old);
    assert!(served.metric("embedgate_rules_source_lag_seconds").await > 1e9);
}

#[tokio::test]
async fn edges_are_counted_by_state() {
    let (served, fleet) = served();
    for other in EdgeState::ALL {
        *fleet.other.lock() = other;
        for state in EdgeState::ALL {
            let expected = f64::from(u8::from(state == other) + u8::from(state == EdgeState::Current));
            let metric = format!("embedgate_fleet_edges{{state=\"{}\"}}", state.as_str());
            assert_eq!(served.metric(&metric).await, expected, "{other:?} {metric}");
        }
    }
}

#[tokio::test]
async fn without_a_fleet_there_is_none_to_ask() {
    let served = served_in(Vec::new(), None);
    for (answer, path) in [
        (served.read(Method::GET, "/v1/fleet").await, "/v1/fleet"),
        (served.write("/v1/fleet/restore", None).await, "restore"),
        (served.write("/v1/fleet/accept", None).await, "accept"),
        (served.write("/v1/fleet/forget", Some(json!({ "edge": "a" }))).await, "forget"),
    ] {
        let (status, told) = answer;
        assert_eq!((status, &told["code"]), (404, &json!("no_fleet")), "{path}");
        assert!(told["detail"].as_str().unwrap().contains("rules.source to \"nats\""), "{told}");
    }
    assert_eq!(served.get("/readyz").await, (200, "ready\n".to_owned()));
    assert_eq!(served.read(Method::GET, "/v1/status").await.1["fleet"], Value::Null);
    assert_eq!(served.metric("embedgate_fleet_edges{state=\"current\"}").await, 0.0);
}
