//! What goes over the wires, byte by byte: every protocol of a client with every protocol of an upstream. A request
//! stays one request, an answer one answer, and what is said in one protocol is said in the other.

mod agreement;
mod answers;
mod bodies;
mod claims;
mod client;
mod cookies;
mod corpus;
mod desync;
mod faults;
mod heads;
mod interim;
mod recorder;
mod refused;
mod self_check;
mod strict;
mod trailers;

use serde_json::json;
use tokio::net::TcpStream;

use self::client::{Http1, Http2};
use self::recorder::{Recorder, Reply, Request};
use crate::support::edge::{Edge, EdgeSpec, usual_routes};
use crate::support::tls::{EdgeTls, UpstreamTls};

const LISTED: &str = "https://example.com";
const STRANGER: &str = "https://stranger.example";

/// An edge for `chat.example`, with TLS and without, that serves the widgets `w` and `v`. What is below `/w/` is on an
/// upstream over HTTP/1.1, what is below `/x/` on one over HTTP/2.
struct Stage {
    edge: Edge,
    one: Recorder,
    two: Recorder,
    tls: EdgeTls,
}

impl Stage {
    /// Both upstreams answer so; they get the request without its body.
    async fn start(answer: impl Fn(&Request) -> Reply + Clone + Send + Sync + 'static) -> Self {
        Self::with("", 1, answer).await
    }

    /// The same, with these keys of `[edge]` and so many servers over HTTP/2.
    async fn with(
        keys: &str,
        servers: usize,
        answer: impl Fn(&Request) -> Reply + Clone + Send + Sync + 'static,
    ) -> Self {
        let tls = EdgeTls::of("chat.example");
        let one = Recorder::http1(answer.clone()).await;
        let behind = UpstreamTls::new();
        let two = Recorder::http2(servers, behind.acceptor(), answer).await;
        let widgets = json!([
            { "id": "w", "allowed_domains": ["example.com"] },
            { "id": "v", "allowed_domains": ["example.com"] },
        ]);
        let mut spec = EdgeSpec::on(one.addrs[0], &widgets);
        // What is in memory goes no way at all.
        let servers: Vec<String> = two.addrs.iter().map(ToString::to_string).collect();
        spec.more.push_str(&format!(
            "[cache]\nbytes = \"0B\"\n[upstreams.two]\nservers = {servers:?}\n{}",
            behind.keys()
        ));
        let routes = [usual_routes("app"), usual_routes("two").replace("\"/w/", "\"/x/")].concat();
        // One has headers of its own.
        let own = "headers = { \"Strict-Transport-Security\" = \"\", \"X-Robots-Tag\" = \"none\" }";
        let loader = "/{widget}/loader.js\"\n";
        spec.routes = Some(routes.replace(loader, &format!("{loader}{own}\n")));
        spec.edge = keys.to_owned();
        tls.add_to(&mut spec);
        spec.public_origins = Some("[\"https://chat.example\"]".to_owned());
        let edge = Edge::start(spec).await;
        Self { edge, one, two, tls }
    }

    /// The upstream of what is below `/w/` or `/x/`.
    fn upstream(&self, below: &str) -> &Recorder {
        if below == "x" { &self.two } else { &self.one }
    }

    /// A connection without TLS.
    async fn plain(&self) -> Http1 {
        Http1::over(TcpStream::connect(self.edge.http).await.unwrap())
    }

    /// One with TLS, and HTTP/1.1.
    async fn http1(&self) -> Http1 {
        Http1::over(self.tls.http1().await)
    }

    /// One with TLS, and HTTP/2.
    async fn http2(&self) -> Http2 {
        Http2::over(self.tls.h2().await).await
    }

    /// That no upstream saw anything but well-formed requests.
    #[track_caller]
    fn assert_well_formed(&self) {
        self.one.saw_nothing_else();
        self.two.saw_nothing_else();
    }
}

/// 200 with the request's target as its body.
fn echo(request: &Request) -> Reply {
    Reply::ok(request.target.clone())
}
