//! What the edge writes: toward the upstream, toward the browser, and a denial of its own.

use std::hint::black_box;
use std::sync::Arc;

use bench_support::edge::{Edge, request};
use embedgate::edge::admission::client::ClientInfo;
use embedgate::edge::admission::decision_id::DecisionId;
use embedgate::edge::admission::judge::Told;
use embedgate::edge::admission::reply::{Denial, Recipient, Reply};
use embedgate::edge::admission::terms::Admission;
use embedgate::edge::forward;
use embedgate::edge::forward::exchange::head::Outgoing;
use embedgate::edge::http::body::BodyLength;
use embedgate::edge::http::message::{RequestHead, ResponseHead};
use gungraun::{library_benchmark, library_benchmark_group};
use http::{HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;

use embedgate_policy::headers::{DenialShape, Destination, OwnProfile};
use embedgate_policy::origin::{Embedder, Origin};
use embedgate_policy::verdict::{Class, Reason};

library_benchmark_group!(name = headers, benchmarks = [to_upstream, to_browser, denial]);

/// An allowed request, on its way.
#[derive(Clone)]
struct Way {
    request: RequestHead,
    response: ResponseHead,
    client: ClientInfo,
    admission: &'static Admission,
}

/// One that others went before: what is made at its first use is there, and so is memory to take again.
fn way() -> Way {
    let request = request(Some("https://example.com"));
    let admission = Edge::alone().allow(&request).admission;
    let field = |(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
    let response = ResponseHead::new(StatusCode::OK, crate::served::ANSWER.map(field).into_iter().collect());
    let client = ClientInfo::read(&request, Some([192, 0, 2, 1].into()), true, &[]);
    let way = Way { request, response, client, admission: Box::leak(Box::new(admission)) };
    drop(upward(&downward(way.clone())));
    way
}

/// A denial to be given in a shape that was given before.
#[derive(Clone, Copy)]
struct Shaped {
    to: Recipient<'static>,
    shape: DenialShape,
}

fn shaped(destination: Destination) -> Shaped {
    let request = Box::leak(Box::new(request(Some("https://stranger.example"))));
    let own = Box::leak(Box::new(Arc::new(OwnProfile::new([]))));
    let to = Recipient { request, own, https: true };
    let shaped = Shaped { to, shape: DenialShape::of(Reason::NotListed, Class::Asset, destination) };
    drop(deny(shaped));
    shaped
}

fn upward(way: &Way) -> Vec<u8> {
    let Way { request, client, admission, .. } = way;
    let outgoing =
        Outgoing { request, admission, client, host: None, length: BodyLength::Absent, is_handshake: false };
    outgoing.http1()
}

fn downward(mut way: Way) -> Way {
    forward::headers::to_browser(&mut way.response, way.admission, true);
    way
}

fn deny(Shaped { to, shape }: Shaped) -> Reply {
    let embedder = Embedder::Known(Origin::parse(black_box("https://stranger.example")).unwrap());
    let denial =
        Denial { told: Told::Embedder(embedder), decision_id: &DecisionId::new(Timestamp::now()), shape };
    Reply::denial(to, &denial, None)
}

#[library_benchmark]
#[bench::asset(setup = way)]
fn to_upstream(way: Way) -> (Way, Vec<u8>) {
    let head = black_box(upward(black_box(&way)));
    (way, head)
}

#[library_benchmark]
#[bench::asset(setup = way)]
fn to_browser(way: Way) -> Way {
    black_box(downward(black_box(way)))
}

// Everything of a denial but its way through the proxy.
#[library_benchmark(setup = shaped)]
#[bench::problem(Destination::Other)]
#[bench::script(Destination::Script)]
#[bench::page(Destination::Document)]
fn denial(shaped: Shaped) -> Reply {
    black_box(deny(black_box(shaped)))
}
