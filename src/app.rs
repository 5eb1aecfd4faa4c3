//! Composition root: builds all parts of the edge from the settings, in the order in which each may fail, and
//! hands them to the server.

use std::net::{SocketAddr, TcpListener};
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use pingora_core::server::configuration::ServerConf;
use pingora_core::server::{RunArgs, Server};
use pingora_core::services::ServiceHandle;
use pingora_core::services::background::background_service;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::admin::{Admin, Readiness, SwapFeed, Tokens};
use crate::app::welcome::Welcome;
use crate::config::{self, Settings};
use crate::edge::admission::redirect::HttpsRedirect;
use crate::edge::admission::route::RouteTable;
use crate::edge::admission::tickets::Tickets;
use crate::edge::admission::tickets::key_file::KeyFile;
use crate::edge::cache::AssetCache;
use crate::edge::connection::listeners::{Listener, Listeners};
use crate::edge::connection::service::EdgeService;
use crate::edge::connection::tls::Certificates;
use crate::edge::connection::tls::handshakes::Handshakes;
use crate::edge::error::EdgeError;
use crate::edge::forward::exchange::Forwarder;
use crate::edge::forward::upstream::{UpstreamTask, Upstreams};
use crate::edge::pipeline::Pipeline;
use crate::edge::session::opening::Tunnels;
use crate::edge::session::registry::SessionRegistry;
use crate::edge::session::tunnel::Limits;
use crate::files::Reload;
use crate::rules::assets::CachedAssets;
use crate::rules::live::LiveRules;
use crate::rules::publisher::{Observer, Publisher};
use crate::rules::sessions::OpenSessions;
use crate::rules::source::StartedSource;
use crate::rules::source::store::LostStore;
use crate::telemetry::decision_log::DecisionLog;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::operational_log;
use embedgate_policy::ticket::TicketReader;

mod control;
mod demo;
mod error;
mod live;
mod observe;
mod offline;
mod signals;
mod source;
mod tasks;
mod tls;
mod welcome;

pub use control::class_answers;
pub use error::AppError;
pub use live::{decision_scope, edge_policy, public_suffixes};
pub use offline::{documents, each_document, offline_store, rules_location};

pub use signals::Signals;
pub use tls::certificate_concerns;

use demo::Demo;
use live::LiveSettings;
use observe::RuleMetrics;
use signals::StopWatch;
use tls::{expiring, handshakes, load_certificates};

/// Time for calls of the control plane that change something to be answered before the process ends.
const CHANGES_END: Duration = Duration::from_secs(5);

/// Runs the edge until a signal stops it. `config` is the file to read again on SIGHUP. `signals` were listened to
/// before anything was read. `now`: the time, for certificates that have expired. `lost`: what is done where the store
/// of the rules is lost.
///
/// # Errors
///
/// Something in the settings can't be used, an address is taken, or the server crashed.
pub fn run(
    config: PathBuf,
    settings: Settings,
    signals: Signals,
    now: Timestamp,
    lost: LostStore,
) -> Result<(), AppError> {
    let (level, operational, _flush) =
        operational_log::start(live::level(settings.log.level)).map_err(|_| AppError::LogTaken)?;
    say_what_to_know(&settings, now);
    let metrics = Arc::new(Metrics::new()?);
    let scope = decision_scope(settings.log.decisions);
    let (decisions, _flush_decisions) =
        DecisionLog::start(scope, settings.log.decisions_per_second, std::io::stdout());
    let decisions = Arc::new(decisions);
    let policy = Arc::new(ArcSwap::from_pointee(edge_policy(&settings)));

    let demo = Demo::start(&settings)?;
    let demo_addr = demo.as_ref().map(Demo::addr);
    let (upstreams, upstream_tasks) = Upstreams::prepare(&settings.upstreams, demo_addr)?;
    let pages = demo.as_ref().map(Demo::pages);
    let routes = RouteTable::prepare(&settings.routes, &settings.tickets.path, &upstreams, pages)?;
    let certificates = load_certificates(&settings)?;
    let admin_tls = control::mutual_tls(&settings)?;
    let tokens = Tokens::open(settings.admin.token_file.clone())?;
    let ticket_keys = Arc::new(KeyFile::open(settings.tickets.key_file.clone())?);
    let tickets = Tickets::new(Arc::clone(&ticket_keys), &settings.tickets);

    let rules = LiveRules::new();
    let sessions = SessionRegistry::new(rules.clone(), Arc::clone(&policy), Arc::clone(&metrics));
    let swaps = Arc::new(SwapFeed::new());
    let cache = AssetCache::new(settings.cache.bytes, Arc::clone(&metrics));
    let observers: [Arc<dyn Observer>; 4] = [
        // First, so that nothing else delays the end of the sessions that a save denies.
        sessions.clone(),
        Arc::new(cache.clone()),
        Arc::new(RuleMetrics::new(Arc::clone(&metrics))),
        swaps.clone(),
    ];
    let StartedSource { publisher, follower } = start_rules(&settings, lost, rules.clone(), &observers)?;
    let readiness = Arc::new(Readiness::new(data_addresses(&settings)));
    let admin_listener = bind(settings.admin.listen)?;
    let probe_listener = settings.admin.probe.map(bind).transpose()?;
    let listeners = listeners(&settings, handshakes(&settings, &certificates, &ticket_keys)?)?;

    let mut server = Server::new_with_opt_and_conf(None, server_conf(&settings));
    server.bootstrap();
    let pipeline = Pipeline {
        rules,
        policy: Arc::clone(&policy),
        routes,
        trusted_proxies: settings.edge.trusted_proxies.clone(),
        redirect: settings
            .edge
            .redirect_http
            .then(|| HttpsRedirect::new(&settings.edge.public_origins))
            .flatten(),
        tickets: tickets.clone(),
        cache: cache.clone(),
        sessions: Arc::clone(&sessions),
        tunnels: Tunnels::new(tunnel_limits(&settings), Arc::clone(&metrics)),
        forwarder: Forwarder::new(&server.configuration),
        metrics: Arc::clone(&metrics),
        decisions: Arc::clone(&decisions),
    };
    let (end, ended) = mpsc::channel();
    let edge = EdgeService::new(pipeline, settings.edge.header_timeout, settings.edge.grace_period);
    let edge = Arc::new(edge);
    let (over, changes) = (end.clone(), TaskTracker::new());
    let running = changes.clone();
    running.close();
    let on_end = async move {
        // An error means that they take too long.
        let _ = timeout(CHANGES_END, running.wait()).await;
        // An error means that the process is ending already.
        let _ = over.send(Ok(()));
    };
    let service = add_edge(&mut server, Listeners::new(Arc::clone(&edge), listeners, on_end), upstream_tasks);

    let welcome = Welcome::new(&settings);
    let admin = Arc::new(Admin {
        hosts: settings.admin.hosts.clone(),
        tokens,
        publisher,
        policy: Arc::clone(&policy),
        suffixes: public_suffixes(&settings)?,
        answers: class_answers(&settings),
        operational,
        changes,
        sessions: Arc::clone(&sessions) as Arc<dyn OpenSessions>,
        assets: Arc::new(cache) as Arc<dyn CachedAssets>,
        tickets: Arc::new(tickets) as Arc<dyn TicketReader>,
        swaps,
        metrics,
        decisions: Arc::clone(&decisions),
        readiness: Arc::clone(&readiness),
        certificates: expiring(&certificates, admin_tls.as_ref()),
        start_page: welcome.to_string(),
    });
    if let Some(listener) = probe_listener {
        let probes = tasks::ProbeTask::new(Arc::clone(&admin), listener);
        server.add_service(background_service("probes", probes));
    }
    server.add_service(background_service(
        "admin",
        tasks::AdminTask::new(admin, admin_listener, admin_tls.clone()),
    ));
    if let Some(follower) = follower {
        server.add_service(background_service("rules", tasks::SourceTask::new(follower)));
    }
    server.add_service(background_service("sessions", tasks::SessionTask::new(Arc::clone(&sessions))));
    if let Some(demo) = demo {
        server.add_service(background_service("demo", demo));
    }
    let certificates = certificates.into_iter().map(|listener| listener as Arc<dyn Reload>);
    let files = certificates.chain(admin_tls.clone().map(|tls| tls as Arc<dyn Reload>));
    let files = files.chain([ticket_keys as Arc<dyn Reload>]).collect();
    server.add_service(background_service("files", tasks::FileTask::new(files)));
    server.add_service(background_service("memory", tasks::MemoryTask));
    server.add_service(background_service("decisions", tasks::DecisionTask::new(Arc::clone(&decisions))));
    server.add_service(background_service("welcome", tasks::WelcomeTask::new(welcome, readiness.clone())));
    let impatience = tasks::ImpatienceTask::new(signals.clone(), end.clone());
    server.add_service(background_service("impatience", impatience));
    let stop = StopWatch::new(signals.clone(), readiness, settings.edge.drain_delay);
    let live = LiveSettings::new(config, settings, policy, sessions, Arc::clone(&decisions), level);
    let reload = tasks::ReloadTask::new(live, signals);
    service.add_dependency(server.add_service(background_service("reload", reload)));
    let served = serve(server, stop, end, &ended, &edge);
    decisions.sum_up();
    served
}

/// Result of the server.
type Ended = Result<(), AppError>;

/// Runs the server until a signal stops it and the last connection has ended, or the grace period. After the signal
/// the library sleeps through the whole period and handles nothing else. So it has a thread of its own, which is left
/// behind.
fn serve(
    server: Server,
    stop: StopWatch,
    end: mpsc::Sender<Ended>,
    ended: &mpsc::Receiver<Ended>,
    edge: &EdgeService,
) -> Result<(), AppError> {
    let run = move || {
        let run = || server.run(RunArgs { shutdown_signal: Box::new(stop) });
        let ended = panic::catch_unwind(AssertUnwindSafe(run)).map_err(|_| AppError::BrokeDown);
        // An error means that the process is ending already.
        let _ = end.send(ended);
    };
    thread::Builder::new().name("server".to_owned()).spawn(run).map_err(AppError::Thread)?;
    let ended = ended.recv().unwrap_or(Err(AppError::BrokeDown));
    if edge.open_connections() > 0 {
        tracing::warn!(connections = edge.open_connections(), "connections were cut");
    }
    ended
}

/// Every error that would keep the edge from starting, except those of the rules. Addresses are not tried.
pub fn faults(settings: &Settings) -> Vec<AppError> {
    let somewhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let routes = Upstreams::prepare(&settings.upstreams, Some(somewhere)).and_then(|(upstreams, _)| {
        RouteTable::prepare(&settings.routes, &settings.tickets.path, &upstreams, None)
    });
    let certificates = settings.edge.tls.iter().map(|tls| Certificates::load(tls.certificates.clone()).err());
    let certificates = certificates.flatten().map(EdgeError::from).chain(control::mutual_tls(settings).err());
    let edge = certificates.chain(routes.err()).map(AppError::from).chain(Demo::fault(settings));
    let keys = &settings.tickets.key_file;
    // A start makes a missing key file.
    let keys = keys.exists().then(|| KeyFile::open(keys.clone()).err()).flatten();
    edge.chain(keys.map(AppError::from)).chain(public_suffixes(settings).err()).collect()
}

/// Logs the settings that are allowed but probably unintended, and those without effect in this version.
fn say_what_to_know(settings: &Settings, now: Timestamp) {
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    for notice in config::notices(settings) {
        tracing::warn!("{notice}");
    }
    for concern in certificate_concerns(settings, now) {
        tracing::warn!("{concern}");
    }
}

/// Puts the rules in force, whatever they come from, and has these observers told of them.
fn start_rules(
    settings: &Settings,
    lost: LostStore,
    live: LiveRules,
    observers: &[Arc<dyn Observer>],
) -> Result<StartedSource, AppError> {
    let suffixes = public_suffixes(settings)?;
    let source = source::of(settings, lost)?;
    let publisher = source::publisher(&*source, live, settings);
    let publisher = observers.iter().cloned().fold(publisher, Publisher::with_observer);
    Ok(source.start(publisher, suffixes)?)
}

/// Binds the addresses of the edge, without listening yet.
fn listeners(settings: &Settings, handshakes: Vec<Handshakes>) -> Result<Vec<Listener>, EdgeError> {
    let plain = settings.edge.listen.iter().map(|addr| Listener::bind(*addr, None));
    let tls = settings.edge.tls.iter().zip(handshakes);
    plain.chain(tls.map(|(tls, handshakes)| Listener::bind(tls.listen, Some(handshakes)))).collect()
}

fn add_edge(server: &mut Server, listeners: Listeners, upstream_tasks: Vec<UpstreamTask>) -> ServiceHandle {
    let edge = server.add_service(listeners);
    for task in upstream_tasks {
        // The edge listens only after every upstream was looked up once.
        edge.add_dependency(server.add_service(task));
    }
    edge
}

fn tunnel_limits(settings: &Settings) -> Limits {
    Limits { idle: settings.edge.tunnel_idle_timeout, lifetime: settings.edge.tunnel_lifetime }
}

fn data_addresses(settings: &Settings) -> Vec<SocketAddr> {
    settings.edge.listen.iter().copied().chain(settings.edge.tls.iter().map(|tls| tls.listen)).collect()
}

/// Binds an address, so that a taken one is a clear error at start and not a dead listener later.
fn bind(addr: SocketAddr) -> Result<TcpListener, EdgeError> {
    TcpListener::bind(addr).map_err(|source| EdgeError::Listen { addr, source })
}

fn server_conf(settings: &Settings) -> ServerConf {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let builtin = config::Servers::plain(Vec::new()).keepalive;
    let keepalive = settings.upstreams.values().map(|upstream| match upstream {
        config::UpstreamSettings::Servers(servers) => servers.keepalive,
        config::UpstreamSettings::Builtin => builtin,
    });
    ServerConf {
        threads: settings.edge.workers.map_or(cores, usize::from),
        upstream_keepalive_pool_size: keepalive.sum::<usize>().max(1),
        // Never before the edge has ended its connections itself.
        grace_period_seconds: Some(settings.edge.grace_period.as_secs() + 10),
        graceful_shutdown_timeout_seconds: Some(5),
        ..ServerConf::default()
    }
}
