//! Requests that servers are known to read in different ways, and thousands of their kin, each on a connection with a
//! request behind it: whoever reads what the edge passes on, and however, sees nothing but requests that the edge has
//! judged. Also where nginx or HAProxy is in front of the edge, or behind it.

mod cases;
mod mutations;
mod peers;
mod readings;

use std::collections::{HashMap, HashSet};
use std::io::Cursor;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use self::cases::{Case, Sending, cases};
use self::mutations::mutation;
use self::peers::{Peer, Places};
use self::readings::{Reading, read};
use super::client::{Answer, Http1};
use super::recorder::Recorder;
use super::{LISTED, STRANGER, echo};
use crate::support::edge::{Edge, EdgeSpec, usual_routes};
use crate::support::scale;

/// The number of the first request, with as many digits as all others.
const FIRST: usize = 1_000_000;

/// How a request comes to a server: the first part of its path picks the server behind the edge.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// From the client to the edge to an upstream that notes every byte.
    Direct,
    NginxBehind,
    HaproxyBehind,
    NginxInFront,
    HaproxyInFront,
}
use Way::{Direct, HaproxyBehind, HaproxyInFront, NginxBehind, NginxInFront};

impl Way {
    fn below(self) -> &'static str {
        match self {
            Direct => "w",
            NginxBehind => "n",
            HaproxyBehind => "h",
            NginxInFront | HaproxyInFront => "f",
        }
    }

    fn is_in_front(self) -> bool {
        matches!(self, NginxInFront | HaproxyInFront)
    }
}

/// An edge with everything around it.
struct Ground {
    edge: Edge,
    origin: Recorder,
    nginx: Peer,
    haproxy: Peer,
}

impl Ground {
    async fn start() -> Self {
        let origin = Recorder::keeping_bytes(echo).await;
        let (nginx, haproxy) = (Places::free(), Places::free());
        let widgets = json!([{ "id": "w", "allowed_domains": ["example.com"] }]);
        let mut spec = EdgeSpec::on(origin.addrs[0], &widgets);
        let mut routes = String::new();
        for (below, upstream) in [("w", "app"), ("f", "app"), ("n", "nginx"), ("h", "haproxy")] {
            routes.push_str(&usual_routes(upstream).replace("\"/w/", &format!("\"/{below}/")));
        }
        for (name, places) in [("nginx", nginx), ("haproxy", haproxy)] {
            spec.more.push_str(&format!("[upstreams.{name}]\nservers = [\"{}\"]\n", places.back));
        }
        spec.routes = Some(routes);
        let edge = Edge::prepare(spec);
        let nginx = Peer::nginx(nginx, edge.http).await;
        let haproxy = Peer::haproxy(haproxy, edge.http).await;
        Self { edge: edge.start_in(|_| {}).await, origin, nginx, haproxy }
    }

    fn addr(&self, way: Way) -> SocketAddr {
        match way {
            Direct | NginxBehind | HaproxyBehind => self.edge.http,
            NginxInFront => self.nginx.places.front,
            HaproxyInFront => self.haproxy.places.front,
        }
    }

    async fn assert_all_judged(&self) {
        let unjudged = self.unjudged().await;
        let some = &unjudged[..unjudged.len().min(20)];
        assert!(unjudged.is_empty(), "{} unjudged, of which {some:#?}", unjudged.len());
    }

    /// Everything that any server would take for a request, and that the edge did not judge.
    async fn unjudged(&self) -> Vec<String> {
        let decisions = self.edge.decisions();
        let allowed: HashSet<&str> = decisions
            .iter()
            .filter(|line| line["verdict"] == "allow")
            .filter_map(|line| line["decision_id"].as_str())
            .collect();
        let mut unjudged = self.origin.faults();
        // Read strictly, while they came.
        let (mut strictly, mut once, mut fronts) =
            (HashMap::<usize, Vec<String>>::new(), HashSet::new(), HashSet::new());
        for request in self.origin.requests() {
            let asked = format!("{} {}", request.method, request.target);
            match request.field("x-decision-id")[..] {
                [id] if allowed.contains(id) && once.insert(id.to_owned()) => {}
                _ => unjudged.push(format!("by a strict reading, {asked}")),
            }
            if request.target.starts_with("/f/") {
                match request.field("x-front-id")[..] {
                    [id] if fronts.insert(id.to_owned()) => {}
                    _ => unjudged.push(format!("by the proxy in front, {asked}")),
                }
            }
            strictly.entry(request.connection).or_default().push(asked);
        }
        // And by those who are less strict, from the same bytes.
        for (connection, bytes) in self.origin.bytes() {
            for reading in [Reading::Length, Reading::Chunks] {
                let seen = read(&bytes, reading);
                let asked: Vec<&str> = seen.iter().map(|seen| &*seen.asked).collect();
                let strictly = strictly.get(&connection).map(Vec::as_slice).unwrap_or_default();
                if asked != strictly {
                    unjudged.push(format!("{reading:?}: {asked:?} instead of {strictly:?}"));
                }
                for seen in seen {
                    if !matches!(&seen.decisions[..], [id] if allowed.contains(&**id)) {
                        unjudged.push(format!("{reading:?}: {}", seen.asked));
                    }
                }
            }
        }
        // nginx refuses some methods before it reads a field, so that the decision can only be told by the method.
        let methods: HashSet<&str> = decisions.iter().filter_map(|line| line["method"].as_str()).collect();
        let is_odd =
            |method: &str| !method.bytes().all(|byte| byte.is_ascii_uppercase() || b"_-".contains(&byte));
        for peer in [&self.nginx, &self.haproxy] {
            for (decision, first) in peer.seen().await {
                let method = first.split(' ').next().unwrap_or_default();
                let is_unread = decision == "-" && is_odd(method) && methods.contains(method);
                if !allowed.contains(&*decision) && !is_unread {
                    unjudged.push(format!("by {}, {first}", peer.name));
                }
            }
        }
        unjudged
    }

    /// How many requests reached the upstream that notes bytes, nginx and HAProxy.
    async fn reached(&self) -> [usize; 3] {
        [self.origin.requests().len(), self.nginx.seen().await.len(), self.haproxy.seen().await.len()]
    }
}

/// Sends pieces and reads until the request behind them is answered, the connection ends, or nothing comes for a while.
async fn converse(
    addr: SocketAddr,
    pieces: impl IntoIterator<Item = Vec<u8>>,
    marker: &str,
    quiet: Duration,
) -> (Vec<u8>, bool) {
    let (mut read_half, mut write_half) = TcpStream::connect(addr).await.unwrap().into_split();
    let mut answers = Vec::new();
    let writing = async {
        for (at, piece) in pieces.into_iter().enumerate() {
            if at > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            // It may have refused what came before.
            if write_half.write_all(&piece).await.is_err() {
                break;
            }
        }
    };
    let reading = async {
        loop {
            match tokio::time::timeout(quiet, read_half.read_buf(&mut answers)).await {
                Ok(Ok(1..)) if memchr::memmem::find(&answers, marker.as_bytes()).is_some() => return false,
                Ok(Ok(1..)) => {}
                Ok(Ok(0) | Err(_)) => return true,
                Err(_) => return false,
            }
        }
    };
    let (closed, ()) = tokio::join!(reading, writing);
    (answers, closed)
}

/// An answer to a request behind somebody else's.
fn stranger(answers: &[u8], number: usize) -> Option<String> {
    let text = String::from_utf8_lossy(answers);
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-');
    let mut numbers = words.filter_map(|word| word.strip_prefix("marker-"));
    numbers.find(|other| **other != number.to_string()).map(str::to_owned)
}

// ---- the corpora ---------------------------------------------------------------------------------------------------

/// An answer in short.
fn told(answer: &Answer) -> String {
    format!("{} {} {:?}", answer.status, answer.text(), answer.broken)
}

/// What is wrong with what a client got, straight from the edge.
async fn fault(
    case: &Case,
    sending: Sending<'_>,
    is_head: bool,
    answers: Vec<u8>,
    closed: bool,
) -> Option<String> {
    let mut answers = Http1::over(Cursor::new(answers));
    let first = answers.answer(is_head).await;
    let is_good = case.status == 200;
    // A denial may come before a body that is wrong.
    let is_denied = sending.origin == STRANGER && first.status == 403;
    if first.broken.is_some()
        || first.status != case.status && !is_denied
        || is_good && sending.origin == STRANGER && !is_denied
    {
        return Some(format!("not {}: {}", case.status, told(&first)));
    }
    if !is_good && first.field("connection") != "close" {
        return Some(format!("its connection is kept: {}", told(&first)));
    }
    if first.fields.iter().any(|(name, _)| name == "server") {
        return Some(format!("somebody is named: {:?}", first.fields));
    }
    let next = answers.answer(false).await;
    if first.field("connection") == "close" {
        let is_over = closed && next == Answer { broken: next.broken.clone(), ..Answer::default() };
        return (!is_over).then(|| format!("more than one answer: {}", told(&next)));
    }
    let target = format!("/{}/w/session/marker-{}", sending.below, sending.number);
    let is_answered = next.status == 200 && next.text() == target;
    (!is_answered).then(|| format!("another answer to the next: {}", told(&next)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_is_answered_as_it_should_be_and_none_is_smuggled() {
    let (ground, cases) = (&Ground::start().await, &cases());
    let next = &AtomicUsize::new(FIRST);
    let ways = [Direct, NginxBehind, HaproxyBehind, NginxInFront, HaproxyInFront];
    let ways = ways.into_iter().flat_map(|way| [(way, LISTED), (way, STRANGER)]);
    let sent = ways.map(async |(way, origin)| {
        let mut faults = Vec::new();
        for case in cases {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let sending = Sending { number, origin, below: way.below() };
            let bytes = case.bytes(sending);
            let is_head = bytes.starts_with(b"HEAD ");
            let pieces = [[bytes, sending.marker()].concat()];
            let marker = format!("marker-{number}");
            // A proxy in front may wait for more.
            let quiet = Duration::from_millis(if way.is_in_front() { 100 } else { 5_000 });
            let (answers, closed) = converse(ground.addr(way), pieces, &marker, quiet).await;
            let fault = match stranger(&answers, number) {
                Some(word) => Some(format!("an answer of somebody else's: {word}")),
                None if way.is_in_front() => None,
                None => fault(case, sending, is_head, answers, closed).await,
            };
            faults.extend(fault.map(|fault| format!("{} from {origin}, {way:?}: {fault}", case.name)));
        }
        faults
    });
    let faults: Vec<String> = join_all(sent).await.into_iter().flatten().collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults[..faults.len().min(40)].join("\n"));
    ground.assert_all_judged().await;
    // What was in a body stayed in it. A proxy in front may read a request behind a refused one.
    let smuggled = ground.origin.requests().into_iter().filter(|request| request.target.contains("smuggled"));
    assert_eq!(smuggled.filter(|request| !request.target.starts_with("/f/")).count(), 0);
    for peer in [&ground.nginx, &ground.haproxy] {
        assert!(!peer.seen().await.iter().any(|(_, first)| first.contains("smuggled")), "{}", peer.name);
    }
    // Those that pass, and the requests behind them and behind denials.
    let reached = ground.reached().await;
    assert!(reached.iter().all(|count| *count > 100), "{reached:?}");
    let fronted = ground.origin.requests().iter().filter(|request| request.target.starts_with("/f/")).count();
    assert!(fronted > 100, "{fronted}");
}

// ---- mutations -----------------------------------------------------------------------------------------------------

/// Whether this may become a handshake without its key, which HAProxy refuses, and logs without the decision.
fn lacks_key(bytes: &[u8]) -> bool {
    let has = |text: &str| memchr::memmem::find(&bytes.to_ascii_lowercase(), text.as_bytes()).is_some();
    has("websocket") && !has("\r\nsec-websocket-key: aaaaaaaaaaaaaaaaaaaaaa==\r\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_mutation_is_smuggled() {
    const CLIENTS: usize = 64;
    let (ground, cases) = (&Ground::start().await, cases());
    let cases: Vec<Case> = cases.into_iter().filter(|case| !matches!(case.status, 414 | 431)).collect();
    // Small faults in what is good are as likely to be overlooked as more of them in what is not.
    let good: Vec<Case> = cases.iter().filter(|case| case.status == 200).cloned().collect();
    let count = scale(40_000);
    let strategy = (
        (any::<bool>(), any::<Index>()),
        prop::collection::vec(mutation(), 1..4),
        prop::collection::vec(any::<Index>(), 0..4),
        prop::sample::select(vec![
            Direct,
            Direct,
            Direct,
            NginxBehind,
            HaproxyBehind,
            NginxInFront,
            HaproxyInFront,
        ]),
        prop::sample::select(vec![LISTED, LISTED, STRANGER]),
    );
    // The same ones each time.
    let mut runner = TestRunner::deterministic();
    let plan: Vec<_> = (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect();
    let (turns, answered) = (&AtomicUsize::new(FIRST), &AtomicUsize::new(0));
    let clients = (0..CLIENTS).map(async |_| {
        let mut faults = Vec::new();
        loop {
            let number = turns.fetch_add(1, Ordering::Relaxed);
            let Some(((is_good, case), mutations, cuts, way, origin)) = plan.get(number - FIRST) else {
                break;
            };
            let sending = Sending { number, origin, below: way.below() };
            let cases = if *is_good { &good } else { &cases };
            let mut bytes = cases[case.index(cases.len())].bytes(sending);
            mutations.iter().for_each(|mutation| mutation.apply(&mut bytes));
            if *way == HaproxyBehind && lacks_key(&bytes) {
                continue;
            }
            bytes.extend(sending.marker());
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
            places.sort_unstable();
            let mut pieces = Vec::new();
            for place in places.into_iter().rev() {
                pieces.push(bytes.split_off(place));
            }
            pieces.push(bytes);
            let marker = format!("marker-{number}");
            let pieces = pieces.into_iter().rev();
            let (answers, _) = converse(ground.addr(*way), pieces, &marker, Duration::from_millis(150)).await;
            answered.fetch_add(usize::from(!answers.is_empty()), Ordering::Relaxed);
            let word = stranger(&answers, number);
            faults.extend(word.map(|word| format!("{mutations:?} {way:?}: {word}, not {number}")));
        }
        faults
    });
    let faults: Vec<String> = join_all(clients).await.into_iter().flatten().collect();
    assert!(
        faults.is_empty(),
        "{} answers of somebody else's: {:#?}",
        faults.len(),
        &faults[..faults.len().min(10)]
    );
    ground.assert_all_judged().await;
    let (answered, reached) = (answered.load(Ordering::Relaxed), ground.reached().await);
    eprintln!("{count} sent, {answered} answered, {reached:?} passed on");
    assert!(
        answered > count / 2 && reached.iter().all(|reached| *reached > count / 50),
        "{answered} {reached:?}"
    );
}
