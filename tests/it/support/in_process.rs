//! An edge in this process, put together as the application does it, for what no process shows from outside.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use embedgate::activity::recorder::ActivityRecorder;
use embedgate::activity::sighting::{ClientClass, SightingKind};
use embedgate::app::decision_scope;
use embedgate::config;
use embedgate::edge::admission::judge::VerdictRecorder;
use embedgate::edge::admission::tickets::key_file::KeyFile;
use embedgate::edge::connection::listeners::{Accepting, Listener, ListenerKind};
use embedgate::edge::connection::service::EdgeService;
use embedgate::edge::descriptors::DescriptorShare;
use embedgate::edge::forward::exchange::Forwarder;
use embedgate::edge::pipeline::Pipeline;
use embedgate::edge::session::registry::SessionRegistry;
use embedgate::edge::setup::{LiveSetup, Setup, SetupParts};
use embedgate::limits::limiter::Limiter;
use embedgate::notifications::notifier::Notifier;
use embedgate::notifications::remembered::RememberedSessions;
use embedgate::rules::change::{Actor, ApplyOptions, Change};
use embedgate::rules::live::LiveRules;
use embedgate::rules::publisher::{Observer, Publisher};
use embedgate::rules::source::SourceKind;
use embedgate::telemetry::decision_log::DecisionLog;
use embedgate::telemetry::events::EventFeed;
use embedgate::telemetry::metrics::Metrics;
use embedgate::telemetry::request_log::{AddressScope, RequestLog, RequestScope};
use pingora_core::server::configuration::ServerConf;
use serde_json::Value;

use super::edge::{EdgeSpec, usual_routes};
use super::raw::Answer;
use super::{eventually, ports};
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::{Widget, WidgetId};

/// A running edge without an admin listener, its rules in memory.
pub struct InProcess {
    /// The plain HTTP listener.
    pub http: SocketAddr,
    pub setup: LiveSetup,
    pub metrics: Arc<Metrics>,
    pub decided: Decided,
    activity: Arc<ActivityRecorder>,
    publisher: Publisher,
    _accepting: Vec<Accepting>,
}

/// What a sighting tells, but for its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub widget: String,
    pub embedder: String,
    pub kind: SightingKind,
    pub client: Option<ClientClass>,
}

impl InProcess {
    /// Starts it as `spec` says, of which it takes the keys of `[edge]`, the tables, the routes and the widgets.
    pub async fn start(spec: EdgeSpec) -> Self {
        let http = ports::free();
        let own = spec.public_origins.unwrap_or(format!("[\"http://localhost:{}\"]", http.port()));
        let routes = spec.routes.unwrap_or_else(|| usual_routes(&spec.upstream));
        let text = format!(
            "[edge]\nlisten = [\"{http}\"]\npublic_origins = {own}\n{}\n{}\n{routes}",
            spec.edge, spec.more
        );
        let settings = config::parse("test", &text, []).unwrap();
        let (metrics, events) = (Arc::new(Metrics::new().unwrap()), Arc::new(EventFeed::new()));
        let (scope, decided) = (decision_scope(settings.log.decisions), Decided::default());
        let (decisions, flush) = DecisionLog::start(scope, 0, Arc::clone(&events), decided.clone());
        // For as long as the process.
        std::mem::forget(flush);
        let ticket_keys = Arc::new(KeyFile::unsaved("ticket.keys".into()).unwrap());
        let parts = SetupParts { ticket_keys, metrics: Arc::clone(&metrics) };
        let setup = LiveSetup::new(Setup::prepare(&settings, &parts, None, None).unwrap());
        setup.load().start().await;
        let activity = Arc::new(ActivityRecorder::new(1024));
        let (rules, policy, metrics_) = (LiveRules::new(), Arc::clone(setup.policy()), Arc::clone(&metrics));
        let limiter = Limiter::new(Notifier::new(), metrics.limits.clone());
        let remembered = RememberedSessions::unkept(rules.clone(), Arc::clone(&policy), &metrics);
        let (activity_, limiter_) = (Arc::clone(&activity), Arc::clone(&limiter));
        let sessions = SessionRegistry::new(rules.clone(), policy, metrics_, activity_, events, limiter_);
        let publisher = Publisher::new(rules.clone(), SourceKind::STORE, "test")
            .with_observer(Arc::clone(&sessions) as Arc<dyn Observer>);
        let watch = (Arc::clone(&sessions), setup.clone());
        tokio::spawn(async move {
            let (sessions, setup) = watch;
            sessions.watch_staleness(setup.stale_at(), || setup.forget_contact()).await;
        });
        let (requests, _) = RequestLog::start(RequestScope::Off, AddressScope::Off, 0, std::io::sink());
        let pipeline = Pipeline {
            rules,
            setup: setup.clone(),
            sessions,
            forwarder: Forwarder::new(&ServerConf::default(), DescriptorShare::of(usize::MAX, 0)),
            metrics: Arc::clone(&metrics),
            verdicts: VerdictRecorder::new(&metrics, &Arc::new(decisions), &activity),
            limiter,
            remembered,
            requests: Arc::new(requests),
        };
        let service = Arc::new(EdgeService::new(pipeline, DescriptorShare::of(usize::MAX, 0)));
        let tls = settings.edge.tls.iter().enumerate().map(|(place, tls)| (tls.listen, Some(place)));
        let accepting = std::iter::once((http, None)).chain(tls).map(|(addr, tls)| {
            let kind = ListenerKind { tls, proxy_protocol: false };
            Listener::bind(addr, kind).unwrap().accept(&service).unwrap()
        });
        let accepting = accepting.collect();
        let edge = Self { http, setup, metrics, decided, activity, publisher, _accepting: accepting };
        let rules: Value = serde_json::from_str(&spec.rules).unwrap();
        edge.apply(rules["widgets"].as_array().unwrap().iter().map(put).collect());
        edge
    }

    /// Saves a document.
    pub fn save(&self, document: &Value) {
        self.apply(vec![put(document)]);
    }

    /// Deletes a widget.
    pub fn delete(&self, widget: &str) {
        self.apply(vec![Change::delete(WidgetId::parse(widget).unwrap(), None)]);
    }

    fn apply(&self, changes: Vec<Change>) {
        self.publisher.apply(changes, ApplyOptions::default(), Actor::CommandLine).unwrap();
    }

    /// The sightings since the last call.
    pub fn seen(&self) -> Vec<Seen> {
        let mut seen = Vec::new();
        self.activity.drain(|sighting| {
            seen.push(Seen {
                widget: sighting.widget.to_owned(),
                embedder: sighting.embedder.to_owned(),
                kind: sighting.kind,
                client: sighting.client,
            });
            true
        });
        assert_eq!(self.activity.dropped(), 0);
        seen
    }
}

fn put(document: &Value) -> Change {
    Change::put(Widget::parse(document.to_string().as_bytes(), PublicSuffixes::shipped()).unwrap())
}

/// What the decision log has written.
#[derive(Clone, Default)]
pub struct Decided(Arc<Mutex<Vec<u8>>>);

impl Write for Decided {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Decided {
    /// The lines so far.
    pub fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The line about an answer that names its decision.
    pub async fn about(&self, answer: &Answer) -> Value {
        let id = serde_json::from_str::<Value>(&answer.body).unwrap()["decision_id"].clone();
        let mut found = None;
        eventually("the decision is logged", async || {
            found = self.lines().into_iter().find(|line| line["decision_id"] == id);
            found.is_some()
        })
        .await;
        found.unwrap()
    }
}
