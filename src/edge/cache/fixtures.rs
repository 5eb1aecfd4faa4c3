//! Fixtures for tests of the cache.
#![allow(clippy::unwrap_used, clippy::panic)]

use bytes::Bytes;
use http::StatusCode;
use jiff::Timestamp;
use tokio::time::Instant;

use super::storable::{UpstreamAnswer, freshness};
use super::stored::StoredAnswer;
use super::vary::{Selected, Selecting};
use crate::config;
use crate::edge::admission::decision_id::DecisionId;
use crate::edge::admission::route::{RouteTable, Target};
use crate::edge::admission::terms::Admission;
use crate::edge::forward::upstream::Upstreams;
use crate::edge::http::fields::Fields;
use crate::edge::http::message::RequestHead;
use crate::rules::fixtures::widget;
use embedgate_policy::decision::Decision;
use embedgate_policy::origin::{Embedder, Origin};
use embedgate_policy::verdict::{Reason, Verdict};

const CONFIG: &str = r#"
    upstreams.app.servers = ["127.0.0.1:1"]
    [[routes]]
    path = "/w/{widget}/assets/{*rest}"
    class = "asset"
    upstream = "app"
"#;

/// A request for an asset of the widget `w`, on HTTP/1.1.
pub(super) fn request(method: &str, fields: &[(&'static str, &str)]) -> RequestHead {
    let fields = [&[("host", "edge.example")], fields].concat();
    RequestHead::of(method, "/w/w/assets/a.js?v=1", &fields)
}

/// An admission of a page with this origin, or without an embedder.
pub(super) fn admission(origin: Option<&str>) -> Admission {
    let settings = config::parse("test", CONFIG, []).unwrap();
    let upstreams = Upstreams::prepare(&settings.upstreams, None, None).unwrap();
    let routes = RouteTable::prepare(&settings, &upstreams, None).unwrap();
    let asked = request("GET", &[]);
    let Target::Route { route, .. } = routes.find(&asked) else { panic!("no route") };
    let embedder = origin.map_or(Embedder::Absent, |origin| Embedder::Known(Origin::parse(origin).unwrap()));
    let decision = Decision {
        verdict: Verdict::Allow,
        reason: Reason::Exact,
        would_deny: None,
        entry: None,
        near_miss: None,
    };
    let rules = widget(r#"{"id":"w","allowed_domains":["example.com"]}"#).compile();
    Admission::new(
        route,
        DecisionId::new(Timestamp::now()),
        rules.as_rules(),
        &decision,
        &embedder,
        None,
        None,
    )
}

/// An answer in memory, received now.
pub(super) fn stored(
    status: StatusCode,
    fields: &[(&'static str, &'static str)],
    body: &'static str,
) -> StoredAnswer {
    let headers = Fields::of(fields);
    let at = Timestamp::now();
    let received =
        UpstreamAnswer { status, headers: &headers, authorized: false, delay: std::time::Duration::ZERO, at };
    // These tests are not about the age.
    let mut freshness = freshness(&received).unwrap();
    freshness.age = std::time::Duration::ZERO;
    let none = Fields::default();
    let selected = Selected::read(&headers, Selecting { fields: &none, embedder: None }).unwrap();
    let about = (selected, freshness, Instant::now());
    StoredAnswer::prepare(
        status,
        &headers,
        Bytes::from_static(body.as_bytes()),
        about,
        (&admission(None).shared, false),
    )
}
