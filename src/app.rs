//! The composition root: the one file that knows everyone. It puts the floors together from the settings, in the
//! order in which each may fail, and hands them to the server.

use std::net::{SocketAddr, TcpListener};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;

use arc_swap::ArcSwap;
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server};
use pingora::services::ServiceHandle;
use pingora::services::background::background_service;

use crate::admin::{Admin, Readiness, SwapFeed, Tokens};
use crate::config::{self, RuleSource, Settings, StoreSettings};
use crate::edge::cache::AssetCache;
use crate::edge::connection::listeners::{Listener, Listeners};
use crate::edge::error::EdgeError;
use crate::edge::exchange::Forwarder;
use crate::edge::pipeline::Pipeline;
use crate::edge::redirect::HttpsRedirect;
use crate::edge::route::RouteTable;
use crate::edge::service::EdgeService;
use crate::edge::sessions::Sessions;
use crate::edge::tickets::Tickets;
use crate::edge::tickets::key_file::KeyFile;
use crate::edge::tls::Certificates;
use crate::edge::tls::handshakes::Handshakes;
use crate::edge::tls::resumption::Resumption;
use crate::edge::tunnel::{Limits, Tunnels};
use crate::edge::upstream::{UpstreamTask, Upstreams};
use crate::files::Reload;
use crate::policy::decision::Class;
use crate::policy::ticket::TicketReader;
use crate::rules::assets::CachedAssets;
use crate::rules::audit::FileAuditLog;
use crate::rules::live::LiveRules;
use crate::rules::publisher::{Observer, Publisher};
use crate::rules::sessions::OpenSessions;
use crate::rules::source::SourceKind;
use crate::rules::source::file::FileSource;
use crate::rules::source::store;
use crate::telemetry::decision_log::DecisionLog;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::operational_log;

mod control;
mod demo;
mod error;
mod live;
mod observe;
mod offline;
mod signals;
mod tasks;
mod welcome;

pub use control::class_answers;
pub use error::AppError;
pub use live::{decision_scope, edge_policy, public_suffixes};
pub use offline::{documents, each_document, offline_store, rules_path};

use demo::Demo;
use live::LiveSettings;
use observe::RuleMetrics;

/// Runs the edge until a signal stops it. `config` is the file to read again on SIGHUP.
pub fn run(config: PathBuf, settings: Settings) -> Result<(), AppError> {
    let level = operational_log::start(live::level(settings.log.level)).map_err(|_| AppError::LogTaken)?;
    say_what_to_know(&settings);
    let metrics = Arc::new(Metrics::new()?);
    let (decisions, _flush) = DecisionLog::start(decision_scope(settings.log.decisions), std::io::stdout());
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
    let sessions = Sessions::new(rules.clone(), Arc::clone(&policy), Arc::clone(&metrics));
    let swaps = Arc::new(SwapFeed::new());
    let cache = AssetCache::new(settings.cache.bytes, Arc::clone(&metrics));
    let observers: [Arc<dyn Observer>; 4] = [
        // First, so that nothing else stands between a save and the sessions it ends.
        sessions.clone(),
        Arc::new(cache.clone()),
        Arc::new(RuleMetrics::new(Arc::clone(&metrics))),
        swaps.clone(),
    ];
    let (publisher, source) = start_rules(&settings, &rules, &observers)?;
    let readiness = Arc::new(Readiness::new(data_addresses(&settings)));
    let admin_listener = bind(settings.admin.listen)?;
    let listeners = listeners(&settings, handshakes(&certificates, &ticket_keys)?)?;

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
    let edge = EdgeService::new(pipeline, settings.edge.header_timeout);
    let edge = add_edge(&mut server, Listeners::new(edge, listeners), upstream_tasks);

    let admin = Arc::new(Admin {
        hosts: settings.admin.hosts.clone(),
        tokens,
        publisher,
        policy: Arc::clone(&policy),
        suffixes: public_suffixes(&settings)?,
        answers: class_answers(&settings),
        sessions: Arc::clone(&sessions) as Arc<dyn OpenSessions>,
        assets: Arc::new(cache) as Arc<dyn CachedAssets>,
        tickets: Arc::new(tickets) as Arc<dyn TicketReader>,
        swaps,
        metrics,
        decisions: Arc::clone(&decisions),
        readiness: Arc::clone(&readiness),
    });
    server.add_service(background_service(
        "admin",
        tasks::AdminTask::new(admin, admin_listener, admin_tls.clone()),
    ));
    if let Some(source) = source {
        server.add_service(background_service("rules", tasks::SourceTask::new(source)));
    }
    server.add_service(background_service("sessions", tasks::SessionTask::new(Arc::clone(&sessions))));
    if let Some(demo) = demo {
        server.add_service(background_service("demo", demo));
    }
    let certificates = certificates.into_iter().map(|listener| listener as Arc<dyn Reload>);
    let files = certificates.chain(admin_tls.clone().map(|tls| tls as Arc<dyn Reload>));
    let files = files.chain([ticket_keys as Arc<dyn Reload>]).collect();
    server.add_service(background_service("files", tasks::FileTask::new(files)));
    server.add_service(background_service("welcome", tasks::WelcomeTask::new(&settings, readiness.clone())));
    let live = LiveSettings::new(config, settings, policy, sessions, decisions, level);
    // An edge that is ready can be told to read its configuration again.
    edge.add_dependency(server.add_service(background_service("reload", tasks::ReloadTask::new(live))));
    serve(server, signals::Signals::new(readiness))
}

/// Runs the server until a signal stops it. Once that was a polite one the library sleeps through the whole grace
/// period and listens to nobody, so it has a thread of its own, which the end of the process may leave behind.
fn serve(mut server: Server, signals: signals::Signals) -> Result<(), AppError> {
    let (end, ended) = mpsc::channel();
    server.add_service(background_service("impatience", tasks::ImpatienceTask::new(end.clone())));
    let run = move || {
        let run = || server.run(RunArgs { shutdown_signal: Box::new(signals) });
        let ended = panic::catch_unwind(AssertUnwindSafe(run)).map_err(|_| AppError::BrokeDown);
        // Nobody there: the process is ending already.
        let _ = end.send(ended);
    };
    thread::Builder::new().name("server".to_owned()).spawn(run).map_err(AppError::Thread)?;
    ended.recv().unwrap_or(Err(AppError::BrokeDown))
}

/// Every fault, the rules' aside, that would keep the edge from starting; addresses are not tried.
pub fn faults(settings: &Settings) -> Vec<AppError> {
    let somewhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let routes = Upstreams::prepare(&settings.upstreams, Some(somewhere)).and_then(|(upstreams, _)| {
        RouteTable::prepare(&settings.routes, &settings.tickets.path, &upstreams, None)
    });
    let certificates = settings.edge.tls.iter().map(|tls| Certificates::load(tls.certificates.clone()).err());
    let certificates = certificates.flatten().map(EdgeError::from).chain(control::mutual_tls(settings).err());
    let edge = certificates.chain(routes.err()).map(AppError::from).chain(Demo::fault(settings));
    let keys = &settings.tickets.key_file;
    // A start makes one where there is none.
    let keys = keys.exists().then(|| KeyFile::open(keys.clone()).err()).flatten();
    edge.chain(keys.map(AppError::from)).chain(public_suffixes(settings).err()).collect()
}

/// Whether every route of this class refuses requests that name no embedder.
pub fn missing_denied(settings: &Settings, class: Class) -> bool {
    let mut of_class = settings.routes.iter().filter(|route| route.class == class).peekable();
    of_class.peek().is_some() && of_class.all(|route| route.missing_denied)
}

/// What is allowed but probably not meant, and what this version does not do yet.
fn say_what_to_know(settings: &Settings) {
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    for notice in config::notices(settings) {
        tracing::warn!("{notice}");
    }
}

fn start_rules(
    settings: &Settings,
    rules: &LiveRules,
    observers: &[Arc<dyn Observer>],
) -> Result<(Arc<Publisher>, Option<FileSource>), AppError> {
    let suffixes = public_suffixes(settings)?;
    let publisher = |kind, path: &Path| {
        let publisher = Publisher::new(rules.clone(), kind, path.display().to_string());
        let publisher = observers.iter().cloned().fold(publisher, Publisher::with_observer);
        publisher.with_audit(Arc::new(FileAuditLog::new(settings.log.audit.clone())))
    };
    match settings.rules.source {
        RuleSource::File => {
            let path = &settings.rules.file;
            let publisher = Arc::new(publisher(SourceKind::File, path));
            let source = FileSource::start(path.clone(), suffixes, Arc::clone(&publisher))?;
            Ok((publisher, Some(source)))
        }
        RuleSource::Store => {
            let StoreSettings { path, seed } = &settings.rules.store;
            let publisher = store::start(publisher(SourceKind::Store, path), path, seed, suffixes)?;
            Ok((Arc::new(publisher), None))
        }
        // The configuration refuses it.
        RuleSource::Nats => Err(AppError::SourceUnavailable),
    }
}

/// Reads the certificates of every TLS listener, in their order.
fn load_certificates(settings: &Settings) -> Result<Vec<Arc<Certificates>>, EdgeError> {
    let listeners = settings.edge.tls.iter();
    listeners.map(|tls| Ok(Arc::new(Certificates::load(tls.certificates.clone())?))).collect()
}

/// The handshakes of every TLS listener, in their order, by which edges with the same keys know each other's.
fn handshakes(certificates: &[Arc<Certificates>], keys: &Arc<KeyFile>) -> Result<Vec<Handshakes>, EdgeError> {
    let listeners = certificates.iter().zip(0..);
    listeners.map(|(listener, place)| listener.handshakes(Resumption::new(Arc::clone(keys), place))).collect()
}

/// Takes the addresses of the edge. Nothing listens at them yet.
fn listeners(settings: &Settings, handshakes: Vec<Handshakes>) -> Result<Vec<Listener>, EdgeError> {
    let plain = settings.edge.listen.iter().map(|addr| Listener::bind(*addr, None));
    let tls = settings.edge.tls.iter().zip(handshakes);
    plain.chain(tls.map(|(tls, handshakes)| Listener::bind(tls.listen, Some(handshakes)))).collect()
}

fn add_edge(server: &mut Server, listeners: Listeners, upstream_tasks: Vec<UpstreamTask>) -> ServiceHandle {
    let edge = server.add_service(listeners);
    for task in upstream_tasks {
        // Nothing listens before every upstream was looked up once.
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

/// Binds an address, so that one which is taken is a clear error at start and not a dead listener later.
fn bind(addr: SocketAddr) -> Result<TcpListener, EdgeError> {
    TcpListener::bind(addr).map_err(|source| EdgeError::Listen { addr, source })
}

fn server_conf(settings: &Settings) -> ServerConf {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let builtin = config::Servers::plain(Vec::new()).keepalive;
    let keepalive = settings.upstreams.values().map(|upstream| match upstream {
        config::Upstream::Servers(servers) => servers.keepalive,
        config::Upstream::Builtin => builtin,
    });
    ServerConf {
        threads: settings.edge.workers.map_or(cores, usize::from),
        upstream_keepalive_pool_size: keepalive.sum::<usize>().max(1),
        grace_period_seconds: Some(settings.edge.grace_period.as_secs()),
        graceful_shutdown_timeout_seconds: Some(5),
        ..ServerConf::default()
    }
}
