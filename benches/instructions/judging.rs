//! From a parsed request to its verdict.

use std::hint::black_box;

use bench_support::edge::{Edge, WIDGET, request, session_request};
use embedgate::activity::recorder::ActivityRecorder;
use embedgate::activity::sighting::{ClientClass, Sighting, SightingKind};
use embedgate::edge::admission::judge::Judged;
use embedgate::edge::admission::request::lines;
use embedgate::edge::admission::route::Target;
use embedgate::edge::http::message::RequestHead;
use gungraun::{library_benchmark, library_benchmark_group};
use http::header;
use jiff::Timestamp;

use embedgate_policy::decision::{Decision, Facts, TicketState, decide};
use embedgate_policy::origin::Embedder;
use embedgate_policy::verdict::{Class, Reason};

library_benchmark_group!(name = verdict, benchmarks = [identify, route, decision, judge, open, record]);

/// What is measured is given by reference, so that nothing of it is dropped inside.
struct Asked {
    edge: &'static Edge,
    request: RequestHead,
    now: Timestamp,
}

/// A request that was made once before: counters are looked up at their first use.
fn asked(origin: &str) -> &'static Asked {
    let asked = Asked { edge: Edge::alone(), request: request(Some(origin)), now: Timestamp::now() };
    drop(asked.edge.judge(&asked.request, asked.now));
    Box::leak(Box::new(asked))
}

fn facts(origin: &str) -> (&'static Asked, Facts<'static>) {
    let asked = asked(origin);
    let (class, embedder) = (Class::Asset, embedder(&asked.request));
    (asked, Facts { widget: WIDGET, class, embedder, missing_denied: false, ticket: TicketState::Absent })
}

fn embedder(request: &RequestHead) -> Embedder<'_> {
    Embedder::identify(lines(request, header::ORIGIN), lines(request, header::REFERER))
}

// Who embeds.
#[library_benchmark(setup = asked)]
#[bench::known("https://www.example.com:8443")]
#[bench::malformed("https://Example.com")]
fn identify(asked: &'static Asked) -> Embedder<'static> {
    black_box(embedder(black_box(&asked.request)))
}

// Which route, and which widget.
#[library_benchmark(setup = asked)]
#[bench::found("https://example.com")]
fn route(asked: &'static Asked) -> Target<'static> {
    black_box(asked.edge.setup.routes.find(black_box(&asked.request)))
}

// The rules in force, the widget's look-up among them, and the verdict.
#[library_benchmark(setup = facts)]
#[bench::exact("https://example.com")]
#[bench::wildcard("https://shop.example.org")]
#[bench::glob("https://pr-12.preview.example.com")]
#[bench::not_listed("https://stranger.example")]
#[bench::malformed("https://Example.com")]
fn decision((asked, facts): (&'static Asked, Facts<'static>)) -> Decision {
    let (book, policy) = (asked.edge.rules.load(), asked.edge.setup.policy());
    black_box(decide(black_box(&facts), book.get(black_box(WIDGET)), &policy, asked.now))
}

// All of it, with what is counted, logged and kept for the answer. A denial is logged, as it is by default.
#[library_benchmark(setup = asked)]
#[bench::allowed("https://example.com")]
#[bench::denied("https://stranger.example")]
fn judge(asked: &'static Asked) -> Judged<'static> {
    black_box(asked.edge.judge(black_box(&asked.request), asked.now))
}

/// A handshake that was made before, so that each part of the limits has its counter, and the allocator has room in each page
/// that is used: it looks for more once in many times, which is a cost of neither.
fn opened(edge: fn() -> &'static Edge) -> &'static Asked {
    let asked =
        Asked { edge: edge(), request: session_request("https://example.com"), now: Timestamp::now() };
    drop([(); 4].map(|()| asked.edge.judge_open(&asked.request, asked.now)));
    Box::leak(Box::new(asked))
}

// The same for what opens a session: on a widget without limits, and on one with all three parts.
#[library_benchmark(setup = opened)]
#[bench::unlimited(Edge::alone)]
#[bench::limited(Edge::limited)]
fn open(asked: &'static Asked) -> Judged<'static> {
    black_box(asked.edge.judge_open(black_box(&asked.request), asked.now))
}

/// A sighting, and a recorder that has room for it.
struct Noted {
    recorder: ActivityRecorder,
    sighting: Sighting<'static>,
}

fn noted(embedder: &str) -> &'static Noted {
    let sighting = Sighting {
        widget: WIDGET,
        embedder: embedder.to_owned().leak(),
        kind: SightingKind::Refused { reason: Reason::NotListed },
        client: Some(ClientClass::Browser),
        at: Timestamp::now(),
    };
    let noted = Noted { recorder: ActivityRecorder::new(1024), sighting };
    noted.recorder.record(&noted.sighting);
    Box::leak(Box::new(noted))
}

/// The same with the longest name that there can be, and a port.
fn longest() -> &'static Noted {
    let (label, last) = ("a".repeat(63), "a".repeat(61));
    noted(&format!("https://{label}.{label}.{label}.{last}:65535"))
}

// What is left of a verdict for those who ask who embeds.
#[library_benchmark]
#[bench::usual(args = ("https://stranger.example"), setup = noted)]
#[bench::longest(setup = longest)]
fn record(noted: &'static Noted) {
    noted.recorder.record(black_box(&noted.sighting));
}
