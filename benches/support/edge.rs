//! An edge to measure with: what a request meets, put together as the application does it, on the shipped defaults.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use embedgate::activity::recorder::ActivityRecorder;
use embedgate::app::decision_scope;
use embedgate::config::{self, Settings};
use embedgate::edge::admission::client::ClientInfo;
use embedgate::edge::admission::judge::{Allowed, Judge, Judged, Opener, VerdictRecorder};
use embedgate::edge::admission::route::{Route, Target};
use embedgate::edge::admission::tickets::key_file::KeyFile;
use embedgate::edge::connection::service::EdgeService;
use embedgate::edge::descriptors::DescriptorShare;
use embedgate::edge::forward::exchange::Forwarder;
use embedgate::edge::http::http1::head;
use embedgate::edge::http::message::RequestHead;
use embedgate::edge::pipeline::Pipeline;
use embedgate::edge::session::registry::SessionRegistry;
use embedgate::edge::setup::{LiveSetup, Setup, SetupParts};
use embedgate::limits::limiter::Limiter;
use embedgate::notifications::notifier::Notifier;
use embedgate::notifications::remembered::RememberedSessions;
use embedgate::rules::live::LiveRules;
use embedgate::telemetry::decision_log::DecisionLog;
use embedgate::telemetry::events::EventFeed;
use embedgate::telemetry::metrics::Metrics;
use embedgate::telemetry::request_log::{AddressScope, RequestLog, RequestScope};
use jiff::Timestamp;
use pingora_core::server::configuration::ServerConf;

use crate::rules::{in_memory, put, save};

/// The widget that is asked for.
pub const WIDGET: &str = "wgt_demo";

/// An edge without its listener.
pub struct Edge {
    pub rules: LiveRules,
    pub setup: Arc<Setup>,
    live: LiveSetup,
    pub metrics: Arc<Metrics>,
    pub activity: Arc<ActivityRecorder>,
    verdicts: VerdictRecorder,
    limiter: Arc<Limiter>,
    client: ClientInfo,
    events: Arc<EventFeed>,
}

impl Edge {
    /// An edge that enforces the list of one widget. `tls`: `[[edge.tls]]` tables.
    pub fn before(upstream: SocketAddr, tls: &str) -> Self {
        Self::with(upstream, tls, "")
    }

    /// The same with more in the widget's document.
    fn with(upstream: SocketAddr, tls: &str, more: &str) -> Self {
        let settings = settings(upstream, tls);
        let publisher = in_memory();
        let entries =
            r#"["example.com", "*.example.org", "https://pr-*.preview.example.com", "localhost:3000"]"#;
        save(&publisher, vec![put(&format!(r#"{{"id":"{WIDGET}","allowed_domains":{entries}{more}}}"#))]);
        let (scope, events) = (decision_scope(settings.log.decisions), Arc::new(EventFeed::new()));
        let (decisions, flush) = DecisionLog::start(scope, 0, Arc::clone(&events), std::io::sink());
        // For as long as the process.
        std::mem::forget(flush);
        let metrics = Arc::new(Metrics::new().unwrap());
        let parts = SetupParts { ticket_keys: ticket_keys(), metrics: Arc::clone(&metrics) };
        let live = LiveSetup::new(Setup::prepare(&settings, &parts, None, None).unwrap());
        let activity = Arc::new(ActivityRecorder::new(1024));
        let verdicts = VerdictRecorder::new(&metrics, &Arc::new(decisions), &activity);
        let rules = publisher.live().clone();
        let limiter = Limiter::new(Notifier::new(), metrics.limits.clone());
        let peer = Some(IpAddr::from([203, 0, 113, 9]));
        let client = ClientInfo::read(&request(None), peer, true, &[]);
        Self { rules, setup: live.load(), live, metrics, activity, verdicts, limiter, client, events }
    }

    /// An edge before an upstream that is never asked.
    pub fn alone() -> &'static Self {
        Box::leak(Box::new(Self::before(SocketAddr::from(([127, 0, 0, 1], 1)), "")))
    }

    /// The same with a limit of each kind in each part, none of which is reached.
    pub fn limited() -> &'static Self {
        let part = r#"{"sessions":1000000,"opens_per_minute":1000000,"opens_per_day":100000000}"#;
        let limits = format!(r#","limits":{{"widget":{part},"embedder":{part},"address":{part}}}"#);
        Box::leak(Box::new(Self::with(SocketAddr::from(([127, 0, 0, 1], 1)), "", &limits)))
    }

    /// The application that a listener serves.
    pub fn service(self) -> EdgeService {
        let policy = Arc::clone(self.live.policy());
        let (rules, metrics) = (self.rules.clone(), Arc::clone(&self.metrics));
        let remembered = RememberedSessions::unkept(rules.clone(), Arc::clone(&policy), &metrics);
        let limiter = Arc::clone(&self.limiter);
        let sessions = SessionRegistry::new(rules, policy, metrics, self.activity, self.events, limiter);
        let (requests, flush) =
            RequestLog::start(RequestScope::Errors, AddressScope::Off, 0, std::io::sink());
        // For as long as the process.
        std::mem::forget(flush);
        let pipeline = Pipeline {
            rules: self.rules,
            setup: self.live,
            forwarder: Forwarder::new(&ServerConf::default(), DescriptorShare::of(usize::MAX, 0)),
            sessions,
            metrics: self.metrics,
            verdicts: self.verdicts,
            limiter: self.limiter,
            remembered,
            requests: Arc::new(requests),
        };
        EdgeService::new(pipeline, DescriptorShare::of(usize::MAX, 0))
    }

    /// The route of a request.
    pub fn route<'e>(&'e self, request: &'e RequestHead) -> &'e Arc<Route> {
        match self.setup.routes.find(request) {
            Target::Route { route, .. } => route,
            _ => unreachable!("{} is no route", request.uri),
        }
    }

    /// Judges a request of the demo widget at the asset route.
    pub fn judge<'r>(&self, request: &'r RequestHead, now: Timestamp) -> Judged<'r> {
        self.judge_as(request, false, now)
    }

    /// Judges a request for one of its sessions as a WebSocket handshake.
    pub fn judge_open<'r>(&self, request: &'r RequestHead, now: Timestamp) -> Judged<'r> {
        self.judge_as(request, true, now)
    }

    fn judge_as<'r>(&self, request: &'r RequestHead, is_handshake: bool, now: Timestamp) -> Judged<'r> {
        let judge = Judge {
            policy: &self.setup.policy(),
            tickets: &self.setup.tickets,
            reports: &self.setup.reports,
            stream_idle: None,
            https: true,
            verdicts: &self.verdicts,
        };
        let opener = Opener {
            limiter: &self.limiter,
            client: &self.client,
            trusted_proxies: &[],
            is_handshake,
            may_wait: true,
        };
        judge.judge(&self.rules, self.route(request), WIDGET, request, &opener, now)
    }

    /// The same for a request that is allowed.
    pub fn allow(&self, request: &RequestHead) -> Box<Allowed> {
        match self.judge(request, Timestamp::now()) {
            Judged::Allowed(allowed) => allowed,
            other => unreachable!("{other:?}"),
        }
    }
}

/// Keys for tickets of its own.
fn ticket_keys() -> Arc<KeyFile> {
    let folder = tempfile::tempdir().unwrap();
    Arc::new(KeyFile::open(folder.path().join("ticket.keys")).unwrap())
}

fn settings(upstream: SocketAddr, tls: &str) -> Settings {
    let routes: String =
        [("loader.js", "asset"), ("assets/{*rest}", "asset"), ("frame", "frame"), ("session", "session")]
            .map(|(path, class)| {
                format!(
                    "[[routes]]\npath = \"/w/{{widget}}/{path}\"\nclass = \"{class}\"\nupstream = \"app\"\n"
                )
            })
            .concat();
    let text = format!(
        "[edge]\nlisten = [\"127.0.0.1:8080\"]\npublic_origins = [\"https://chat.example.net\"]\n\
         {tls}[upstreams.app]\nservers = [\"{upstream}\"]\n{routes}"
    );
    config::parse("bench", &text, []).unwrap()
}

/// A request as a browser sends it, to the loader of [`WIDGET`].
pub fn request(origin: Option<&str>) -> RequestHead {
    request_to("loader.js", origin)
}

/// The same to its session.
pub fn session_request(origin: &str) -> RequestHead {
    request_to("session", Some(origin))
}

fn request_to(path: &str, origin: Option<&str>) -> RequestHead {
    let fields = BROWSER.into_iter().chain(origin.map(|origin| ("origin", origin)));
    let fields: String = fields.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!("GET /w/{WIDGET}/{path} HTTP/1.1\r\n{fields}\r\n");
    head::read(&head.into()).unwrap().request
}

/// What Chromium sends with a script across origins, beside `Origin`.
pub const BROWSER: [(&str, &str); 11] = [
    ("host", "chat.example.net"),
    ("connection", "keep-alive"),
    ("sec-ch-ua-platform", "\"Linux\""),
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    ),
    ("accept", "*/*"),
    ("sec-fetch-site", "cross-site"),
    ("sec-fetch-mode", "cors"),
    ("sec-fetch-dest", "empty"),
    ("referer", "https://example.com/"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "en-GB,en;q=0.9,de;q=0.8"),
];
