//! Whole requests over real sockets: read, checked, judged, answered or proxied, counted and logged. Ten each, so
//! that what happens now and then weighs little.

use bench_support::edge::{BROWSER, WIDGET};
use gungraun::{library_benchmark, library_benchmark_group};

use crate::over_http2::Http2;
use crate::served::{Served, body};

library_benchmark_group!(name = requests, benchmarks = [ten_requests, ten_over_http2, ten_without_the_edge]);

const LISTED: &str = "https://example.com";
const STRANGER: &str = "https://stranger.example";

fn asset(origin: &str, status: &str) -> Served {
    served(format!("GET /w/{WIDGET}/loader.js"), &[("origin", origin)], status)
}

fn session(origin: &str, status: &str) -> Served {
    served(format!("GET /w/{WIDGET}/session"), &[("origin", origin)], status)
}

fn session_posted(origin: &str, status: &str) -> Served {
    let (body, target) = (body(), format!("POST /w/{WIDGET}/session"));
    let length = body.len().to_string();
    let fields = [("origin", origin), ("content-type", "text/plain"), ("content-length", &length)];
    let served = Served::by_the_edge([head(&target, &fields), body].concat());
    assert_eq!(served.status(), status, "{target}");
    served
}

fn asset_over_http2(origin: &str, status: u16) -> Http2 {
    let fields = [&BROWSER[..], &[("origin", origin)]].concat();
    Http2::by_the_edge(&format!("/w/{WIDGET}/loader.js"), &fields, status)
}

fn preflight(origin: &str, status: &str) -> Served {
    let asks =
        [("access-control-request-method", "POST"), ("access-control-request-headers", "content-type")];
    served(format!("OPTIONS /w/{WIDGET}/session"), &[&[("origin", origin)][..], &asks].concat(), status)
}

fn served(target: String, fields: &[(&str, &str)], status: &str) -> Served {
    let served = Served::by_the_edge(head(&target, fields));
    assert_eq!(served.status(), status, "{target}");
    served
}

fn upstream() -> Served {
    Served::by_the_upstream(head("GET /", &[("origin", LISTED)]))
}

fn head(target: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let fields = BROWSER.iter().chain(fields).map(|(name, value)| format!("{name}: {value}\r\n"));
    format!("{target} HTTP/1.1\r\n{}\r\n", fields.collect::<String>()).into_bytes()
}

#[library_benchmark]
#[bench::asset_denied(args = (STRANGER, "403"), setup = asset)]
#[bench::asset_proxied(args = (LISTED, "200"), setup = asset)]
#[bench::session_proxied(args = (LISTED, "200"), setup = session)]
#[bench::session_posted(args = (LISTED, "200"), setup = session_posted)]
#[bench::preflight_allowed(args = (LISTED, "204"), setup = preflight)]
#[bench::preflight_denied(args = (STRANGER, "204"), setup = preflight)]
fn ten_requests(mut served: Served) -> Served {
    served.ask(10);
    served
}

// The client's part and TLS on both sides are in these counts.
#[library_benchmark]
#[bench::asset_denied(args = (STRANGER, 403), setup = asset_over_http2)]
#[bench::asset_proxied(args = (LISTED, 200), setup = asset_over_http2)]
fn ten_over_http2(mut served: Http2) -> Http2 {
    served.ask(10);
    served
}

// The client and the upstream, which are in the counts of proxied requests, too.
#[library_benchmark]
#[bench::asset(setup = upstream)]
fn ten_without_the_edge(mut served: Served) -> Served {
    served.ask(10);
    served
}
