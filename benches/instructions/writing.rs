//! What the edge writes: toward the upstream, toward the browser, and a denial of its own.

use std::hint::black_box;
use std::sync::Arc;

use embedgate::edge::body::Length;
use embedgate::edge::client::Client;
use embedgate::edge::decision_id::DecisionId;
use embedgate::edge::exchange::head::Outgoing;
use embedgate::edge::forward;
use embedgate::edge::judge::Told;
use embedgate::edge::message::{RequestHead, ResponseHead};
use embedgate::edge::reply::{Denial, Recipient, Reply};
use embedgate::edge::visit::Visit;
use embedgate::policy::decision::Class;
use embedgate::policy::headers::{DenialShape, Destination, OwnProfile};
use embedgate::policy::origin::{Embedder, Origin};
use gungraun::{library_benchmark, library_benchmark_group};
use http::{HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;

use crate::edge::{Edge, request};

library_benchmark_group!(name = headers, benchmarks = [to_upstream, to_browser, denial]);

/// An allowed request, on its way.
#[derive(Clone)]
struct Way {
    request: RequestHead,
    response: ResponseHead,
    client: Client,
    visit: &'static Visit,
}

/// One that others went before: what is made at its first use is there, and so is memory to take again.
fn way() -> Way {
    let request = request(Some("https://example.com"));
    let visit = Edge::alone().allow(&request).visit;
    let field = |(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
    let response = ResponseHead::new(StatusCode::OK, crate::served::ANSWER.map(field).into_iter().collect());
    let client = Client::read(&request, Some([192, 0, 2, 1].into()), true, &[]);
    let way = Way { request, response, client, visit: Box::leak(Box::new(visit)) };
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
    let shaped = Shaped { to, shape: DenialShape::of(Class::Asset, destination) };
    drop(deny(shaped));
    shaped
}

fn upward(way: &Way) -> Vec<u8> {
    let Way { request, client, visit, .. } = way;
    let outgoing =
        Outgoing { request, visit, client, host: None, length: Length::Absent, is_handshake: false };
    outgoing.http1()
}

fn downward(mut way: Way) -> Way {
    forward::to_browser(&mut way.response, way.visit, true);
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
