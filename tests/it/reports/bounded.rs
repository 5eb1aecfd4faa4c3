//! How much reports may cost: their number, and their bodies, which nobody reads.

use bytes::Bytes;
use http::Request;

use super::{SITE, STRANGER, address_for, await_outcomes, kept, outcomes, report, spec};
use crate::support::edge::Edge;
use crate::support::raw::{Connection, request};
use crate::support::tls::EdgeTls;
use crate::support::upstream::Upstream;

#[tokio::test]
async fn sixty_of_a_widget_count_from_one_address_in_a_minute() {
    let upstream = Upstream::start("app").await;
    let mut spec = spec(upstream.addr);
    spec.edge = "trusted_proxies = [\"127.0.0.1/32\"]\n".to_owned();
    let edge = Edge::start(spec).await;
    let [of_w, of_monitored] =
        [address_for(&edge, "w", Some(SITE)).await, address_for(&edge, "monitored", Some(SITE)).await];
    let mut connection = Connection::open(edge.http).await;
    let mut send = async |address: &str, client: &str| {
        let fields = [("Referer", STRANGER), ("X-Forwarded-For", client), ("Content-Length", "0")];
        let answer = connection.ask(request("POST", edge.http, address, &fields)).await;
        assert_eq!(answer.status, 204);
    };
    // Within two minutes, so one budget counts, or two.
    for _ in 0..200 {
        send(&of_w, "192.0.2.1").await;
    }
    let [flooded, _, bounded, _] = outcomes(&edge).await;
    assert!((60.0..=120.0).contains(&flooded), "{flooded}");
    assert_eq!(flooded + bounded, 200.0);
    // It is nobody else's fault. The address is the browser's, not the proxy's.
    for (address, client) in [(&of_w, "192.0.2.2"), (&of_w, "2001:db8::1"), (&of_monitored, "192.0.2.1")] {
        send(address, client).await;
    }
    assert_eq!(outcomes(&edge).await, [flooded + 3.0, 0.0, bounded, 0.0]);
}

/// Bodies of any form and length, and none: all are thrown away, and the next request is answered.
#[tokio::test]
async fn a_body_is_never_read() {
    let upstream = Upstream::start("app").await;
    let edge = Edge::start(spec(upstream.addr)).await;
    let address = address_for(&edge, "w", Some(SITE)).await;
    let head = |lines: &str| {
        format!("POST {address} HTTP/1.1\r\nHost: {}\r\nReferer: {STRANGER}/\r\n{lines}\r\n", edge.http)
    };
    let mut kept_open = Connection::open(edge.http).await;
    for request in [
        head("Content-Length: 0\r\n"),
        head("Content-Type: text/html\r\nContent-Length: 3\r\n") + "{{{",
        head(""),
    ] {
        assert_eq!(kept_open.ask(&request).await.status, 204, "{request}");
    }
    // Of a length that nobody knows, or too long to wait for: answered at once, and the connection ends.
    for request in [
        head("Transfer-Encoding: chunked\r\n") + "5\r\n\0\0\0\0\0\r\n0\r\n\r\n",
        head("Content-Length: 1000000000\r\n"),
    ] {
        let answer = Connection::open(edge.http).await.ask(&request).await;
        assert_eq!((answer.status, answer.field("connection")), (204, "close"), "{request}");
    }
    assert_eq!(outcomes(&edge).await, [5.0, 0.0, 0.0, 0.0]);
    assert_eq!(kept(&edge, "w").len(), 5);
    assert_eq!(upstream.requests(), 1, "the frame alone");
}

#[tokio::test]
async fn http_2_reports_the_same() {
    let upstream = Upstream::start("app").await;
    let tls = EdgeTls::of("chat.example");
    let mut spec = spec(upstream.addr);
    tls.add_to(&mut spec);
    let edge = Edge::start(spec).await;
    let address = address_for(&edge, "w", Some(SITE)).await;
    let mut client = tls.http2().await;
    for body in ["", "{}"] {
        let asked = Request::post(format!("https://chat.example{address}"))
            .header("referer", STRANGER)
            .header("origin", "null")
            .header("sec-fetch-dest", "report")
            .body(())
            .unwrap();
        client = client.ready().await.unwrap();
        let (answer, mut rest) = client.send_request(asked, body.is_empty()).unwrap();
        if !body.is_empty() {
            rest.send_data(Bytes::from_static(body.as_bytes()), true).unwrap();
        }
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 204);
    }
    await_outcomes(&edge, [2.0, 0.0, 0.0, 0.0]).await;
    // HTTP/1.1 on the other listener goes on as before.
    assert_eq!(report(&edge, &address, STRANGER).await.status, 204);
}
