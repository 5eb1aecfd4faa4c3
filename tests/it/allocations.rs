//! From a parsed request to its verdict, and to the sighting that it leaves, nothing is allocated. What is counted on this thread alone, so tests beside it
//! don't disturb.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Instant;

use allocation_counter::measure;
use embedgate::activity::recorder::ActivityRecorder;
use embedgate::activity::sighting::Sighting;
use embedgate::app::edge_policy;
use embedgate::config;
use embedgate::edge::admission::fetch_metadata::FetchMetadata;
use embedgate::edge::admission::request::lines;
use embedgate::edge::admission::route::{RouteTable, Target};
use embedgate::edge::forward::upstream::Upstreams;
use embedgate::edge::http::http1::head;
use embedgate::edge::http::message::RequestHead;
use embedgate::limits::limiter::Limiter;
use embedgate::limits::opening::{Opened, OpenedAt, Opening};
use embedgate::notifications::notifier::Notifier;
use embedgate::rules::change::{Actor, ApplyOptions, Change};
use embedgate::rules::live::LiveRules;
use embedgate::rules::publisher::Publisher;
use embedgate::rules::source::SourceKind;
use embedgate::telemetry::metrics::Metrics;
use http::header;
use jiff::Timestamp;
use serde_json::json;

use embedgate_policy::decision::{Decision, EdgePolicy, Facts, TicketState, decide};
use embedgate_policy::limits::{LimitMode, Limits, PartLimits};
use embedgate_policy::origin::Embedder;
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::Widget;

/// What a verdict rests on beside the request.
struct Edge {
    routes: RouteTable,
    rules: LiveRules,
    policy: EdgePolicy,
    metrics: Metrics,
    activity: ActivityRecorder,
}

impl Edge {
    fn new() -> Self {
        let text = std::fs::read_to_string("conf/embedgate.toml").unwrap();
        let system =
            ("EMBEDGATE__POLICY__SYSTEM_ORIGINS".to_owned(), r#"["https://dashboard.example"]"#.to_owned());
        let settings = config::parse("shipped", &text, [system]).unwrap();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
        let upstreams = Upstreams::prepare(&settings.upstreams, Some(nowhere), None).unwrap();
        let entries =
            json!(["example.com", "*.example.org", "https://pr-*.preview.example.com", "localhost"]);
        let many: Vec<String> = (0..1000).map(|n| format!("*.shop{n}.example.org")).collect();
        let publisher = Publisher::new(LiveRules::new(), SourceKind::STORE, "");
        let widgets = [
            json!({ "id": "listed", "allowed_domains": entries }),
            json!({ "id": "monitored", "allowed_domains": entries, "access": "monitor" }),
            json!({ "id": "open", "access": "open" }),
            json!({ "id": "disabled", "enabled": false }),
            json!({ "id": "many", "allowed_domains": many }),
        ];
        let put = |widget: &serde_json::Value| {
            Change::put(Widget::parse(widget.to_string().as_bytes(), PublicSuffixes::shipped()).unwrap())
        };
        let changes = widgets.iter().map(put).collect();
        publisher.apply(changes, ApplyOptions::default(), Actor::CommandLine).unwrap();
        Self {
            routes: RouteTable::prepare(&settings, &upstreams, None).unwrap(),
            rules: publisher.live().clone(),
            policy: edge_policy(&settings),
            metrics: Metrics::new().unwrap(),
            // Fewer than there are requests here: what has no room is counted.
            activity: ActivityRecorder::new(512),
        }
    }

    /// The steps that a request takes, in their order.
    fn judge(&self, request: &RequestHead) -> Decision {
        let Target::Route { route, widget } = self.routes.find(request) else {
            panic!("{} is no route", request.uri);
        };
        let started = Instant::now();
        let fetch = FetchMetadata::read(&request.fields);
        let facts = Facts {
            widget,
            class: route.class,
            embedder: Embedder::identify(fetch.origins(), lines(request, header::REFERER)),
            missing_denied: route.missing_denied,
            ticket: TicketState::Absent,
        };
        let now = Timestamp::now();
        let decision = decide(&facts, self.rules.load().get(widget), &self.policy, now);
        self.metrics.decided(route.class, &decision, started.elapsed());
        let client = fetch.client(|| !facts.is_from_own_origin(&self.policy));
        let sighting =
            Sighting::of_verdict(&facts, facts.counted_embedder(&self.policy), &decision, client, now);
        if let Some(sighting) = sighting.filter(|_| !fetch.is_ahead()) {
            self.activity.record(&sighting);
        }
        decision
    }
}

fn request(widget: &str, path: &str, fields: &[(&'static str, &str)]) -> RequestHead {
    let target = format!("/w/{widget}/{path}");
    let fields = [("host", "chat.example.net")].iter().chain(fields);
    let fields: String = fields.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    head::read(&format!("GET {target} HTTP/1.1\r\n{fields}\r\n").into()).unwrap().request
}

#[test]
fn a_verdict_allocates_nothing() {
    let edge = Edge::new();
    let mut allocations = BTreeMap::new();
    let mut reasons = std::collections::BTreeSet::new();
    for widget in ["listed", "monitored", "open", "disabled", "many", "unknown", "no%20id"] {
        for path in ["loader.js", "assets/a/b.css", "frame", "session", "session/events", "trust"] {
            for fields in [
                &[("origin", "https://example.com"), ("sec-fetch-site", "cross-site")][..],
                &[("origin", "https://example.com"), ("sec-fetch-site", "same-origin")],
                &[("referer", "https://example.com/"), ("sec-purpose", "prefetch")],
                &[("origin", "https://a.www.example.org")],
                &[("origin", "https://pr-12.preview.example.com")],
                &[("origin", "http://localhost:3000")],
                &[("origin", "https://www.shop7.example.org")],
                &[("referer", "https://example.com/a/page?of=it")],
                &[("origin", "https://stranger.example")],
                &[("origin", "http://example.com")],
                &[("origin", "https://example.com:8443")],
                &[("origin", "https://dashboard.example")],
                &[("origin", "http://localhost:8080")],
                &[("origin", "null")],
                &[("origin", "https://Example.com/")],
                &[("origin", "https://example.com"), ("origin", "https://example.com")],
                &[],
            ] {
                let request = request(&widget.replace(' ', "%20"), path, fields);
                // A counter is looked up at its first use, and a thread's hold on the rules is made at its first.
                let decision = edge.judge(&request);
                let counted = measure(|| assert_eq!(edge.judge(&request), decision)).count_total;
                reasons.insert(decision.reason);
                if counted > 0 {
                    allocations.insert(format!("{} {fields:?}", request.uri), counted);
                }
            }
        }
    }
    assert!(allocations.is_empty(), "{allocations:#?}");
    assert!(reasons.len() >= 14, "{reasons:?}");
    assert!(edge.activity.dropped() > 0, "sightings were taken until there was no room");
}

/// What an open takes of all three parts, and gives back at its end, needs no memory: the first one of a page and of an
/// address has made the counters. A session has its entry in the registry, and nothing beside it for its limits.
#[test]
fn an_open_within_its_limits_allocates_nothing() {
    let part = PartLimits {
        sessions: NonZeroU32::new(1_000),
        opens_per_minute: NonZeroU32::new(1_000),
        opens_per_day: NonZeroU32::new(1_000),
    };
    let limits = Limits { mode: LimitMode::Enforce, widget: part, embedder: part, address: part };
    let limiter = Limiter::new(Notifier::new(), Metrics::new().unwrap().limits);
    let opening = Opening {
        widget: "listed",
        limits: &limits,
        embedder: "https://example.com",
        is_listed: &|| true,
        address: Some([203, 0, 113, 9].into()),
        is_open: true,
        is_session: true,
        may_wait: false,
    };
    let open = || match limiter.open(&opening, OpenedAt::now()) {
        Opened::Admitted { mut charge, beyond: None } => {
            charge.keep();
            charge
        }
        other => panic!("{other:?}"),
    };
    // Those of a minute need room, which grows as it does in any list.
    drop(open());
    let counted: Vec<u64> = (0..100).map(|_| measure(|| drop(open())).count_total).collect();
    let allocating = counted.iter().filter(|count| **count > 0).count();
    assert!(allocating <= 3 * 7 && counted.iter().all(|count| *count <= 3), "{counted:?}");
    let refused = Limits { widget: PartLimits { sessions: NonZeroU32::new(1), ..part }, ..limits };
    let _open = open();
    let opening = Opening { limits: &refused, ..opening };
    let refuse = || assert!(matches!(limiter.open(&opening, OpenedAt::now()), Opened::Refused(_)));
    refuse();
    assert_eq!(measure(refuse).count_total, 0, "nor does a refusal");
}

#[test]
fn allocations_are_counted() {
    assert_eq!(measure(|| drop(std::hint::black_box(Box::new(7)))).count_total, 1);
    assert_eq!(measure(|| ()).count_total, 0);
}
