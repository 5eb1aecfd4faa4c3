//! What becomes of a report: it is always answered 204, and kept where it tells of a page that no request has shown.

use jiff::Timestamp;

use super::{SITE, STRANGER, address_for, ask, await_outcomes, kept, outcomes, report, spec};
use crate::support::edge::Edge;
use crate::support::raw::{Answer, Connection, request};
use crate::support::upstream::Upstream;
use embedgate_policy::origin::Origin;
use embedgate_policy::report::{ReportKeys, ReportedFrame};
use embedgate_policy::ticket::{Ticket, TicketKeys};

/// Says nothing, whatever the report was worth.
fn assert_silent(answer: &Answer) {
    assert_eq!((answer.status, &*answer.body), (204, ""), "{answer:?}");
    assert_eq!(answer.field("cache-control"), "no-store");
    for name in ["content-type", "content-length", "access-control-allow-origin", "set-cookie"] {
        assert_eq!(answer.field(name), "", "{name}");
    }
}

#[tokio::test]
async fn the_page_around_is_kept_apart_from_verdicts() {
    let upstream = Upstream::start("app").await;
    let edge = Edge::start(spec(upstream.addr)).await;
    let address = address_for(&edge, "w", Some(SITE)).await;
    let monitored = address_for(&edge, "monitored", Some("https://new.example")).await;
    let (asked, decided) = (upstream.requests(), edge.decisions().len());
    // A stranger's page; one that is listed by now; and one that is known by its verdict.
    assert_silent(&report(&edge, &address, &format!("{STRANGER}/page?secret=1")).await);
    assert_silent(&report(&edge, &address, "https://other.example/").await);
    assert_silent(&report(&edge, &monitored, STRANGER).await);
    assert_silent(&report(&edge, &monitored, "https://new.example/").await);
    assert_eq!(kept(&edge, "w"), [STRANGER]);
    assert_eq!(kept(&edge, "monitored"), [STRANGER]);
    assert_eq!(outcomes(&edge).await, [2.0, 2.0, 0.0, 0.0]);
    assert_eq!(
        (upstream.requests(), edge.decisions().len()),
        (asked, decided),
        "it is no request of a widget"
    );
    let answered = "embedgate_requests_total{class=\"none\",status=\"204\"}";
    assert_eq!(edge.metric(answered).await, 4.0);
    assert!(!edge.log().contains("secret"), "{}", edge.log());
}

#[tokio::test]
async fn what_is_no_report_of_this_edge_is_refused_and_told_nothing() {
    let upstream = Upstream::start("app").await;
    let edge = Edge::start(spec(upstream.addr)).await;
    let address = address_for(&edge, "w", Some(SITE)).await;
    let token = address.split_once("?r=").unwrap().1;
    let ticket_keys = std::fs::read_to_string(edge.folder().join("data/ticket.keys")).unwrap();
    let ticket_keys = TicketKeys::parse(&ticket_keys).unwrap();
    let site = Origin::parse(SITE).unwrap();
    let signed = |keys: &TicketKeys, minutes: i64| {
        let at = Timestamp::now() - jiff::SignedDuration::from_mins(minutes);
        ReportedFrame::issue(&ReportKeys::derive(keys).unwrap(), "w", [7; 16], Some(site), at).unwrap()
    };
    let foreign = TicketKeys::parse("QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=").unwrap();
    let in_an_hour = Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let ticket = Ticket::issue(&ticket_keys, "w", site, in_an_hour).unwrap();
    let refused = [
        "/w/w/embed-report".to_owned(),
        "/w/w/embed-report?r=".to_owned(),
        "/w/w/embed-report?r=no-token".to_owned(),
        format!("/w/w/embed-report?r={}", "a".repeat(4000)),
        format!("/w/w/embed-report?x=1&r={token}"),
        format!("/w/w/embed-report?r={token}&r={token}"),
        format!("/w/monitored/embed-report?r={token}"),
        format!("/w/nobody/embed-report?r={token}"),
        format!("/w/no%20id/embed-report?r={token}"),
        format!("/w/w/embed-report?r={}", signed(&ticket_keys, 60)),
        format!("/w/w/embed-report?r={}", signed(&foreign, 0)),
        format!("/w/w/embed-report?r={ticket}"),
    ];
    for address in &refused {
        assert_silent(&report(&edge, address, STRANGER).await);
    }
    // A script's call is no report, and the browser says so.
    for destination in ["empty", "script", "report\r\nSec-Fetch-Dest: empty"] {
        let fields = [("Referer", STRANGER), ("Sec-Fetch-Dest", destination), ("Content-Length", "0")];
        assert_silent(&ask(&edge, "POST", &address, &fields).await);
    }
    assert_eq!(outcomes(&edge).await, [0.0, 0.0, 0.0, 15.0]);
    assert_eq!(kept(&edge, "w"), <[&str; 0]>::default());
    // Just in time, and one from a browser that says less.
    let last = format!("/w/w/embed-report?r={}", signed(&ticket_keys, 59));
    assert_silent(&ask(&edge, "POST", &last, &[("Referer", STRANGER), ("Content-Length", "0")]).await);
    assert_eq!(kept(&edge, "w"), [STRANGER]);
}

#[tokio::test]
async fn nothing_but_a_post_is_one() {
    let upstream = Upstream::start("app").await;
    let edge = Edge::start(spec(upstream.addr)).await;
    let address = address_for(&edge, "w", Some(SITE)).await;
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
        let mut connection = Connection::open(edge.http).await;
        connection.send(request(method, edge.http, &address, &[("Origin", STRANGER)])).await;
        let head = connection.head().await;
        assert_eq!((head.status, head.field("allow")), (405, "POST"), "{method}");
    }
    assert_eq!(outcomes(&edge).await, [0.0; 4]);
}

/// A frame under a name of its own, whose id is not in its path, reports to the path that every host has.
#[tokio::test]
async fn a_frame_elsewhere_reports_to_its_own_origin() {
    let upstream = Upstream::start("app").await;
    let mut spec = spec(upstream.addr);
    let route = |more: &str| format!("[[routes]]\nclass = \"frame\"\nupstream = \"app\"\n{more}\n");
    spec.routes = Some(
        [
            route("host = \"{widget}.chat.example\"\npath = \"/{*rest}\""),
            route("path = \"/help/{*rest}\"\nwidget = \"fixed:w\""),
        ]
        .concat(),
    );
    let edge = Edge::start(spec).await;
    for (host, path) in [("w.chat.example", "/deep/page"), ("chat.example", "/help/me")] {
        let asked = |method: &str, path: &str, referer: &str| {
            format!(
                "{method} {path} HTTP/1.1\r\nHost: {host}\r\nReferer: {referer}/\r\nContent-Length: 0\r\n\r\n"
            )
        };
        let mut connection = Connection::open(edge.http).await;
        let frame = connection.ask(asked("GET", path, SITE)).await;
        assert_eq!(frame.status, 200, "{frame:?}");
        let address = super::address(frame.field(super::ENFORCED)).unwrap();
        assert!(address.starts_with("/w/w/embed-report?r="), "{address}");
        assert_silent(&connection.ask(asked("POST", &address, STRANGER)).await);
    }
    await_outcomes(&edge, [2.0, 0.0, 0.0, 0.0]).await;
}
