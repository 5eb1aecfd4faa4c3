//! What several tests of the cache build on.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Instant;

use bytes::Bytes;
use http::StatusCode;
use jiff::Timestamp;

use super::storable::{Received, freshness};
use super::stored::Stored;
use super::vary::{Selected, Selecting};
use crate::config;
use crate::edge::decision_id::DecisionId;
use crate::edge::fields::Fields;
use crate::edge::message::RequestHead;
use crate::edge::route::{RouteTable, Target};
use crate::edge::upstream::Upstreams;
use crate::edge::visit::Visit;
use crate::policy::decision::{Decision, Reason, Verdict};
use crate::policy::origin::{Embedder, Origin};
use crate::rules::fixtures::widget;

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

/// An allowed visit of a page of this origin, or of nobody's.
pub(super) fn visit(origin: Option<&str>) -> Visit {
    let settings = config::parse("test", CONFIG, []).unwrap();
    let (upstreams, _) = Upstreams::prepare(&settings.upstreams, None).unwrap();
    let routes = RouteTable::prepare(&settings.routes, &settings.tickets.path, &upstreams, None).unwrap();
    let Target::Route { route, .. } = routes.find(|| "", "/w/w/assets/a.js") else { panic!("no route") };
    let embedder = origin.map_or(Embedder::Absent, |origin| Embedder::Known(Origin::parse(origin).unwrap()));
    let decision = Decision {
        verdict: Verdict::Allow,
        reason: Reason::Exact,
        would_deny: None,
        entry: None,
        near_miss: None,
    };
    let rules = widget(r#"{"id":"w","allowed_domains":["example.com"]}"#).compile();
    Visit::new(route, DecisionId::new(Timestamp::now()), rules.as_rules(), &decision, &embedder, None, None)
}

/// An answer in memory, received now.
pub(super) fn stored(
    status: StatusCode,
    fields: &[(&'static str, &'static str)],
    body: &'static str,
) -> Stored {
    let headers = Fields::of(fields);
    let at = Timestamp::now();
    let received =
        Received { status, headers: &headers, authorized: false, delay: std::time::Duration::ZERO, at };
    // Its age is not what these tests are about.
    let mut freshness = freshness(&received).unwrap();
    freshness.age = std::time::Duration::ZERO;
    let none = Fields::default();
    let selected = Selected::read(&headers, Selecting { fields: &none, embedder: None }).unwrap();
    let about = (selected, freshness, Instant::now());
    Stored::prepare(
        status,
        &headers,
        Bytes::from_static(body.as_bytes()),
        about,
        (&visit(None).shared, false),
    )
}
