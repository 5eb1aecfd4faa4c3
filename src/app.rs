//! Composition root: builds all parts of the edge from the settings, in the order in which each may fail, and
//! hands them to their life.

use std::iter::once;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::thread;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};

use crate::activity::reader::ActivityReader;
use crate::admin::{self, Admin, CallBounds, ChecklistRuns, Readiness, Survey};
use crate::certificates::Expiring;
use crate::config::Settings;
use crate::edge::admission::judge::VerdictRecorder;
use crate::edge::connection::service::EdgeService;
use crate::edge::forward::exchange::Forwarder;
use crate::edge::pipeline::Pipeline;
use crate::edge::session::registry::SessionRegistry;
use crate::edge::setup::LiveSetup;
use crate::files::private::IfMissing;
use crate::limits::usage::LimitReader;
use crate::rules::assets::CachedAssets;
use crate::rules::live::LiveRules;
use crate::rules::source::StartedSource;
use crate::rules::source::store::LostStore;
use crate::telemetry::events::EventFeed;
use crate::telemetry::upstream_servers::UpstreamServers;

mod activity;
mod beside;
mod connector;
mod control;
mod copies;
mod demo;
mod descriptors;
mod error;
mod faults;
mod fleet;
mod lent;
mod life;
mod limits;
mod log;
mod nats_files;
mod notices;
mod notifications;
mod observe;
mod offline;
mod preparation;
mod reload;
mod remembered;
mod signals;
mod sockets;
mod source;
mod staleness;
mod suffixes;
mod systemd;
mod tasks;
mod tls;
mod upgrade;
mod warned;
mod welcome;
mod written;

pub use crate::edge::setup::edge_policy;
pub use control::class_answers;
pub use copies::{backup_stopped, own_file, restore};
pub use error::AppError;
pub use faults::{StartFindings, findings};
pub use log::decision_scope;
pub use offline::{documents, each_document, offline_store, rules_concerns, rules_location};
pub use signals::Signals;
pub use suffixes::public_suffixes;
use tls::certificate_concerns;
pub use upgrade::{RequestFault, Upgraded, request as request_upgrade};
pub use warned::warned;

use beside::KeptBeside;
use control::LiveTickets;
use demo::Demo;
use descriptors::Descriptors;
use life::{ControlListener, Life};
use log::Logs;
use preparation::Preparation;
use reload::{ReloadOnCall, Reloader};
use sockets::{Bound, Sockets};
use staleness::Contact;
use systemd::Systemd;
use upgrade::{Desk, Feed, HeardOut, Predecessor, Program, RunningFollower, UpgradeSocket};
use welcome::Welcome;

/// Threads for everything but the edge's requests.
const CONTROL_THREADS: usize = 2;

/// Runs the edge until a signal stops it. `config` is the file to read again on a reload. `signals` were listened to
/// before anything was read. `now`: the time, for certificates that have expired. `lost`: what is done where the store
/// of the rules is lost.
///
/// # Errors
///
/// Something in the settings can't be used, or an address is taken.
pub fn run(
    config: PathBuf,
    settings: Settings,
    signals: Signals,
    now: Timestamp,
    lost: LostStore,
) -> Result<(), AppError> {
    let events = Arc::new(EventFeed::new());
    let (logs, _flush) = Logs::start(&settings.log, &events)?;
    let descriptors = Descriptors::divided();
    // Their number is the process's own, so a check can't know it.
    for warning in faults::warnings(&settings, now).into_iter().chain(descriptors.concern(&settings)) {
        tracing::warn!("{warning}");
    }
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = settings.edge.workers.map_or(cores, usize::from);
    let (edge, control) = (runtime("edge", threads)?, runtime("control", CONTROL_THREADS)?);
    let parts = Assembly { config, settings, signals, lost, events, logs, descriptors };
    let lived = control.block_on(async { parts.start(&edge, &control).await?.live().await });
    // Whatever still runs is left behind: connections that have had their time, and calls that wait for a disk.
    edge.shutdown_background();
    control.shutdown_background();
    lived
}

/// A runtime with so many threads of this name.
fn runtime(name: &str, threads: usize) -> Result<Runtime, AppError> {
    let mut builder = Builder::new_multi_thread();
    builder.on_thread_park(tasks::return_memory_of_thread);
    builder.thread_name(name).worker_threads(threads).enable_all().build().map_err(AppError::Runtime)
}

/// What the edge is put together from.
struct Assembly {
    config: PathBuf,
    settings: Settings,
    signals: Signals,
    lost: LostStore,
    events: Arc<EventFeed>,
    logs: Logs,
    descriptors: Descriptors,
}

impl Assembly {
    /// Puts the edge together, and serves.
    async fn start(self, requests: &Runtime, control: &Runtime) -> Result<Life, AppError> {
        let Self { config, settings, signals, lost, events, logs, descriptors } = self;
        let Logs { decisions, requests: request_log, operational, level } = logs;
        let program = Program::of_this_process().map_err(AppError::Program)?;
        let upgrade_socket = settings.edge.upgrade_socket.clone();
        let (mut predecessor, mut sockets) = match Predecessor::find(&upgrade_socket).await? {
            Some((predecessor, sockets)) => (Some(predecessor), Sockets::handed_over(sockets)),
            None => (None, Sockets::of_systemd()?),
        };
        let demo = Demo::new(control.handle().clone());
        let prepared = Preparation::of(&settings, demo.upstream(&settings), IfMissing::Made);
        let prepared = prepared.map_err(AppError::Several)?;
        let Preparation { metrics, admin_tls, tokens, ticket_keys, parts, setup, suffixes, receiver, files } =
            prepared;
        let setup = LiveSetup::new(setup);
        // Requests are served once every upstream was looked up.
        let first = setup.load();
        let started = requests.spawn(async move { first.start().await });
        started.await.map_err(|error| AppError::Internal(error.to_string()))?;

        // What the new process can't have, it finds out before the store is its own.
        let early = predecessor.is_some().then(|| Bound::bind(&settings, &mut sockets)).transpose()?;
        if let Some(predecessor) = &mut predecessor {
            predecessor.store().await?;
        }
        let rules = LiveRules::new();
        let counts = predecessor.as_mut().and_then(Predecessor::take_counts);
        let begun = KeptBeside::begin(&settings, (&rules, &setup), receiver, counts, &events, &metrics);
        let (beside, ledger) = begun.await;
        let KeptBeside { activity, limiter, outbox, remembered, changes, .. } = &beside;
        let verdicts = VerdictRecorder::new(&metrics, &decisions, activity.recorder());
        let (policy, sightings) = (Arc::clone(setup.policy()), Arc::clone(activity.recorder()));
        let (metrics_, events_, limiter_) = (Arc::clone(&metrics), Arc::clone(&events), Arc::clone(limiter));
        let sessions = SessionRegistry::new(rules.clone(), policy, metrics_, sightings, events_, limiter_);
        let feed = Feed::new();
        let observers = observe::all((&sessions, remembered), &feed, &setup, &metrics, &events, changes);
        let before = predecessor.as_ref().and_then(Predecessor::files);
        let handed_over = predecessor.is_some();
        let StartedSource { publisher, follower, file, fleet } =
            source::start(&settings, lost, handed_over, before, rules.clone(), &observers)?;
        fleet::describe(fleet.as_deref(), &sessions, &ticket_keys);
        fleet::divide_limits(fleet.as_deref(), limiter);
        fleet.iter().for_each(|fleet| remembered.join(fleet));
        let contact = Contact::at_start(fleet.as_deref(), &setup);
        let readiness = Arc::new(Readiness::new(sockets::data_addresses(&settings)));
        fleet::answer_of_activity(fleet.as_deref(), Arc::clone(activity) as Arc<dyn ActivityReader>);
        let bound = early.map_or_else(|| Bound::bind(&settings, &mut sockets), Ok)?;
        let Bound { edge: listeners, admin: admin_listener, probes: probe_listener } = bound;
        if let Some(addr) = sockets.left().filter(|_| predecessor.is_none()) {
            return Err(AppError::UnknownSocket(addr));
        }
        if predecessor.is_none() && UpgradeSocket::is_taken(&upgrade_socket) {
            return Err(AppError::UpgradeSocketTaken(upgrade_socket));
        }

        let pipeline = Pipeline {
            rules,
            setup: setup.clone(),
            sessions: Arc::clone(&sessions),
            forwarder: Forwarder::new(&connector::conf(&settings), descriptors.edge),
            metrics: Arc::clone(&metrics),
            verdicts,
            limiter: Arc::clone(limiter),
            remembered: Arc::clone(remembered),
            requests: Arc::clone(&request_log),
        };
        let edge = Arc::new(EdgeService::new(pipeline, descriptors.edge));
        let answers = Arc::new(ArcSwap::from_pointee(class_answers(&settings)));
        let (welcome, backup_path) = (Welcome::new(&settings), control::backup_path(&settings));
        let (hosts, control_rules) = (settings.admin.hosts.clone(), format!("{:?}", settings.admin));
        let reloader = Arc::new(Reloader {
            config,
            settings: Mutex::new(Arc::new(settings)),
            turn: Arc::default(),
            relieved_by: OnceLock::new(),
            feed: feed.clone(),
            parts,
            setup: setup.clone(),
            demo,
            sessions: Arc::clone(&sessions),
            remembered: Arc::clone(remembered),
            publisher: Arc::clone(&publisher),
            fleet: fleet.clone(),
            answers: Arc::clone(&answers),
            decisions: Arc::clone(&decisions),
            requests: Arc::clone(&request_log),
            outbox: Arc::clone(outbox),
            level,
            metrics: Arc::clone(&metrics),
            edge: requests.handle().clone(),
        });
        let certificates: Vec<_> =
            once(Arc::new(setup.clone()) as Arc<dyn Expiring>).chain(files.expiring).collect();
        tokio::spawn(Arc::clone(changes).watch(publisher.live().clone(), certificates.clone()));
        let admin = Arc::new(Admin {
            hosts,
            tokens,
            publisher: Arc::clone(&publisher),
            fleet,
            rules_file: file.clone(),
            backup_path,
            policy: Arc::clone(setup.policy()),
            suffixes,
            answers,
            configuration: Arc::new(ReloadOnCall(Arc::clone(&reloader))),
            operational,
            requests: Arc::clone(&request_log),
            gate: Arc::default(),
            bounds: CallBounds::within(descriptors.control),
            sessions: Arc::clone(&sessions) as _,
            assets: Arc::new(setup.clone()) as Arc<dyn CachedAssets>,
            upstreams: Arc::new(setup.clone()) as Arc<dyn UpstreamServers>,
            activity: Arc::clone(activity) as Arc<dyn ActivityReader>,
            limits: Arc::clone(limiter) as Arc<dyn LimitReader>,
            outbox: Arc::clone(outbox),
            remembered: Arc::clone(remembered) as _,
            tickets: Arc::new(LiveTickets::new(setup.clone())),
            events,
            metrics: Arc::clone(&metrics),
            decisions: Arc::clone(&decisions),
            readiness: Arc::clone(&readiness),
            certificates,
            runtimes: vec![("requests", requests.handle().clone()), ("control", control.handle().clone())],
            is_secure: admin_tls.is_some(),
            page_sessions: predecessor.as_mut().map(Predecessor::take_page_sessions).unwrap_or_default(),
            minutes: Arc::default(),
            survey: Survey::default(),
            checklists: ChecklistRuns::default(),
        });

        fleet::answer_of_decisions(&admin);
        let (desk, calls, askers) = Desk::new(control_rules.clone());
        // Everything that can fail comes before another process is relieved.
        let (mut admin_control, admin_listener) = ControlListener::prepare(admin_listener, false)?;
        let probes = probe_listener.map(|listener| ControlListener::prepare(listener, true)).transpose()?;
        let heard = HeardOut { ledger, remembered: Arc::clone(remembered) };
        let relieving = predecessor.map(|before| before.prepare(&feed, &publisher, heard)).transpose()?;
        let socket = UpgradeSocket::listen(&upgrade_socket, desk)?;
        // A stop is for the edge to handle from the first connection on.
        signals.serving();
        let accepting = {
            let _entered = requests.enter();
            listeners.into_iter().map(|listener| listener.accept(&edge)).collect::<Result<Vec<_>, _>>()?
        };
        let relieved = match relieving {
            None => None,
            Some(relieving) => {
                let relieved = relieving.relieve(control_rules).await?;
                metrics.upgrades.done();
                tracing::info!("this process has taken over");
                // Calls wait until the old process has the same rules and policy.
                admin.gate.hold();
                Some((relieved, Arc::clone(setup.policy())))
            }
        };
        tokio::spawn(admin::serve_passed_on(Arc::clone(&admin), calls));
        let mut control = Vec::new();
        if let Some((mut probes, listener)) = probes {
            probes.serve(admin::serve_probes(Arc::clone(&admin), listener));
            control.push(probes);
        }
        tasks::begin(&admin, &signals, &reloader);
        admin_control.serve(admin::serve(Arc::clone(&admin), admin_listener, admin_tls));
        control.push(admin_control);
        // To the end: requests that are still open obey the rules, too.
        let follower = follower.map(RunningFollower::start);
        tokio::spawn(async move { sessions.watch_expiries().await });
        beside.run();
        tokio::spawn(tasks::watch_files(setup, files.watched));
        let systemd = Systemd::start(welcome, Arc::clone(&readiness), requests.handle().clone());
        if let Some((relieved, policy)) = relieved {
            relieved.begin(policy).await;
            admin.gate.open();
        }
        contact.watch(&reloader);
        Ok(Life {
            signals,
            reloader,
            readiness,
            edge,
            accepting,
            control,
            admin,
            publisher,
            limiter: Arc::clone(limiter),
            lent: beside.lent(),
            feed,
            program,
            socket,
            askers,
            follower,
            file,
            metrics,
            decisions,
            requests: request_log,
            systemd,
        })
    }
}
