//! Browsers' own reports of the pages around a frame, on real sockets: who is asked for them, and what becomes of one.

use serde_json::{Value, json};

use crate::support::edge::{Edge, EdgeSpec};
use crate::support::eventually;
use crate::support::raw::{Answer, Connection, request, unreported};

mod asked;
mod bounded;
mod sent;

const SITE: &str = "https://site.example";
const STRANGER: &str = "https://stranger.example";
const ENFORCED: &str = "content-security-policy";
const MONITORED: &str = "content-security-policy-report-only";

fn widgets() -> Value {
    json!([
        { "id": "w", "allowed_domains": ["site.example", "other.example"] },
        { "id": "monitored", "access": "monitor", "allowed_domains": ["site.example"] },
        { "id": "locked", "access": "enforce" },
        { "id": "open", "access": "open" },
    ])
}

/// The widgets on an upstream, with every line of the log, which tells the pages that are kept.
fn spec(upstream: std::net::SocketAddr) -> EdgeSpec {
    let mut spec = EdgeSpec::on(upstream, &widgets());
    spec.more = spec.more.replace("[log]\n", "[log]\nlevel = \"debug\"\n");
    spec
}

async fn ask(edge: &Edge, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    Connection::open(edge.http).await.ask(request(method, edge.http, path, fields)).await
}

/// A frame's document, asked for by a page.
async fn frame(edge: &Edge, widget: &str, page: Option<&str>) -> Answer {
    let page = page.map(|page| ("Referer", page));
    let fields: Vec<_> = [("Sec-Fetch-Dest", "iframe")].into_iter().chain(page).collect();
    let answer = ask(edge, "GET", &format!("/w/{widget}/frame"), &fields).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

/// The address in a policy that browsers report to.
fn address(policy: &str) -> Option<String> {
    let (before, address) = policy.split_once("; report-uri ")?;
    assert_eq!(before, unreported(policy), "it is the last directive");
    assert!(address.starts_with('/') && !address.contains([';', ',', ' ', '\n']), "{address}");
    Some(address.to_owned())
}

/// Where a browser would report a page around a frame that this page has embedded.
async fn address_for(edge: &Edge, widget: &str, page: Option<&str>) -> String {
    let answer = frame(edge, widget, page).await;
    let found = [ENFORCED, MONITORED].into_iter().find_map(|name| address(answer.field(name)));
    found.unwrap_or_else(|| panic!("no address: {answer:?}"))
}

/// What Chromium sends from a page that the policy does not admit.
async fn report(edge: &Edge, address: &str, page: &str) -> Answer {
    let body = r#"{"csp-report":{"blocked-uri":"https://stranger.example"}}"#;
    let length = body.len().to_string();
    let fields = [
        ("Origin", "null"),
        ("Referer", page),
        ("Sec-Fetch-Dest", "report"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Content-Type", "application/csp-report"),
        ("Content-Length", &length),
    ];
    let asked = request("POST", edge.http, address, &fields) + body;
    Connection::open(edge.http).await.ask(asked).await
}

/// The pages that were kept of reports about a widget, in their order, by the log.
pub fn kept(edge: &Edge, widget: &str) -> Vec<String> {
    let told = "a browser reports a page around the widget";
    let value = |line: &str, name: &str| {
        let (_, rest) = line.split_once(&format!("{name}=\""))?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    let lines: Vec<String> =
        edge.log().lines().filter(|line| line.contains(told)).map(str::to_owned).collect();
    lines
        .iter()
        .filter(|line| value(line, "widget").as_deref() == Some(widget))
        .filter_map(|line| value(line, "page"))
        .collect()
}

/// The numbers of reports that were kept, told nothing new, were too many, and were refused.
pub async fn outcomes(edge: &Edge) -> [f64; 4] {
    let mut outcomes = [0.0; 4];
    for (place, name) in outcomes.iter_mut().zip(["kept", "nothing_new", "bounded", "refused"]) {
        *place = edge.metric(&format!("embedgate_reports_total{{outcome=\"{name}\"}}")).await;
    }
    outcomes
}

/// Waits until these are the outcomes.
pub async fn await_outcomes(edge: &Edge, expected: [f64; 4]) {
    let mut found = [0.0; 4];
    eventually(&format!("outcomes {expected:?}"), async || {
        found = outcomes(edge).await;
        found == expected
    })
    .await;
}
