//! Setup of the edge: everything from the configuration that requests are served by. A reload replaces it as a whole,
//! so no request meets one half of an old configuration and one of a new.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use ipnet::IpNet;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::admission::redirect::HttpsRedirect;
use super::admission::reports::Reports;
use super::admission::route::{HostPages, RouteTable};
use super::admission::tickets::Tickets;
use super::admission::tickets::key_file::KeyFile;
use super::cache::AssetCache;
use super::connection::tls::Certificates;
use super::connection::tls::handshakes::Handshakes;
use super::connection::tls::resumption::Resumption;
use super::error::EdgeError;
use super::forward::upstream::Upstreams;
use super::session::tunnel::TunnelLimits;
use crate::certificates::{CertificateExpiry, Expiring};
use crate::config::{BoundsSettings, EmptyAllowlist, Settings};
use crate::rules::assets::CachedAssets;
use crate::rules::error::RulesError;
use crate::rules::publisher::{Observer, Swap};
use crate::rules::source::SourceKind;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::upstream_servers::{UpstreamServer, UpstreamServers};
use embedgate_policy::decision::EdgePolicy;

mod age;

use age::RulesAge;

/// Setup of the edge.
#[derive(Debug)]
pub struct Setup {
    /// The edge's policy for all widgets.
    policy: ArcSwap<EdgePolicy>,
    /// How old the rules may be that others share with this edge; `None`: however old.
    max_staleness: Option<Duration>,
    /// The route table.
    pub routes: RouteTable,
    /// The networks of trusted proxies.
    pub trusted_proxies: Vec<IpNet>,
    /// The redirect to https, if it is configured.
    pub redirect: Option<HttpsRedirect>,
    /// Tickets for iframe sessions.
    pub tickets: Tickets,
    /// Reports of browsers about the pages around a frame.
    pub reports: Reports,
    /// Time limits of WebSockets and streams.
    pub tunnel_limits: TunnelLimits,
    /// The cache of assets.
    pub cache: AssetCache,
    /// The time limit for the head of a request.
    pub header_timeout: Duration,
    /// The bounds on what clients may take.
    pub bounds: BoundsSettings,
    upstreams: Upstreams,
    metrics: Arc<Metrics>,
    listeners: Vec<TlsSetup>,
}

/// Setup of one TLS listener.
#[derive(Debug)]
struct TlsSetup {
    certificates: Arc<Certificates>,
    handshakes: Handshakes,
}

/// Parts of a setup that outlive it.
pub struct SetupParts {
    /// The keys of tickets.
    pub ticket_keys: Arc<KeyFile>,
    /// The counters.
    pub metrics: Arc<Metrics>,
}

/// Demo of this edge: its upstream, and its pages.
#[derive(Clone, Debug)]
pub struct DemoUpstream {
    /// The address of the upstream.
    pub addr: SocketAddr,
    /// The pages at `/`.
    pub pages: Arc<dyn HostPages>,
}

/// Policy of the edge for all widgets, by the settings. What a setup knows of the age of the rules is added to it.
pub fn edge_policy(settings: &Settings) -> EdgePolicy {
    EdgePolicy {
        own_origins: settings.edge.public_origins.clone(),
        system_origins: settings.policy.system_origins.clone(),
        open_allowed: settings.policy.empty_allowlist == EmptyAllowlist::Open,
        stale_at: None,
    }
}

impl Setup {
    /// Prepares a setup. Of a `running` one, the upstreams that are still the same go on with their connections, and the
    /// cache goes on if its answers would be the same.
    ///
    /// # Errors
    ///
    /// The first fault of each TLS listener, of the upstreams and of the routes: files of certificates or authorities that
    /// can't be used, two routes that match the same path.
    pub fn prepare(
        settings: &Settings,
        parts: &SetupParts,
        demo: Option<DemoUpstream>,
        running: Option<(&Self, &Settings)>,
    ) -> Result<Self, Vec<EdgeError>> {
        let (addr, pages) = demo.map(|demo| (demo.addr, demo.pages)).unzip();
        let mut faults = Vec::new();
        let tls = settings.edge.tls.iter().zip(0..);
        let listeners = tls.map(|(tls, place)| {
            let certificates = Arc::new(Certificates::load(tls.certificates.clone())?);
            // By its place, edges with the same keys resume each other's sessions.
            let resumption = Resumption::new(Arc::clone(&parts.ticket_keys), place);
            let handshakes = certificates.handshakes(tls.min_version, resumption)?;
            Ok(TlsSetup { certificates, handshakes })
        });
        let listeners = listeners.filter_map(|listener| noted(listener, &mut faults)).collect();
        let known = running.map(|(running, _)| &running.upstreams);
        let upstreams = noted(Upstreams::prepare(&settings.upstreams, addr, known), &mut faults);
        let routes = upstreams
            .as_ref()
            .and_then(|upstreams| noted(RouteTable::prepare(settings, upstreams, pages), &mut faults));
        let (Some(upstreams), Some(routes), true) = (upstreams, routes, faults.is_empty()) else {
            return Err(faults);
        };
        let same_answers = |old: &Settings| {
            old.cache == settings.cache
                && old.routes == settings.routes
                && old.upstreams == settings.upstreams
        };
        let cache = running.filter(|(_, old)| same_answers(old)).map(|(running, _)| running.cache.clone());
        let edge = &settings.edge;
        Ok(Self {
            policy: ArcSwap::from_pointee(edge_policy(settings)),
            max_staleness: settings.policy.max_staleness,
            routes,
            trusted_proxies: edge.trusted_proxies.clone(),
            redirect: edge.redirect_http.then(|| HttpsRedirect::new(&edge.public_origins)).flatten(),
            tickets: Tickets::new(Arc::clone(&parts.ticket_keys), &settings.tickets),
            reports: Reports::new(Arc::clone(&parts.ticket_keys), settings.reports.path.as_ref()),
            tunnel_limits: TunnelLimits {
                idle: edge.tunnel_idle_timeout,
                lifetime: edge.tunnel_lifetime,
                untaken: Some(edge.bounds.body_timeout),
            },
            cache: cache.unwrap_or_else(|| AssetCache::new(settings.cache.bytes, Arc::clone(&parts.metrics))),
            header_timeout: edge.header_timeout,
            bounds: edge.bounds,
            listeners,
            upstreams,
            metrics: Arc::clone(&parts.metrics),
        })
    }

    /// Looks up the servers of all new upstreams, and goes on to look them up and check them. Requests can be served
    /// from then on.
    pub async fn start(&self) {
        self.upstreams.start(&self.metrics.upstreams).await;
    }

    /// The edge's policy for all widgets.
    #[inline]
    pub fn policy(&self) -> Guard<Arc<EdgePolicy>> {
        self.policy.load()
    }

    /// The certificates of the TLS listeners, in the listeners' order.
    pub fn certificates(&self) -> impl Iterator<Item = &Arc<Certificates>> {
        self.listeners.iter().map(|listener| &listener.certificates)
    }

    /// The handshakes of a TLS listener, by its place among them.
    pub fn handshakes(&self, place: usize) -> Option<&Handshakes> {
        self.listeners.get(place).map(|listener| &listener.handshakes)
    }
}

/// The value; otherwise the fault is noted.
fn noted<T>(prepared: Result<T, EdgeError>, faults: &mut Vec<EdgeError>) -> Option<T> {
    prepared.map_err(|fault| faults.push(fault)).ok()
}

/// Handle of the setup in force; clones see the same.
#[derive(Clone, Debug)]
pub struct LiveSetup {
    setup: Arc<ArcSwap<Setup>>,
    policy: Arc<ArcSwap<EdgePolicy>>,
    /// Held while setup or policy are replaced.
    age: Arc<Mutex<RulesAge>>,
    stale_at: watch::Sender<Option<Timestamp>>,
}

impl LiveSetup {
    /// A handle on this setup.
    pub fn new(setup: Setup) -> Self {
        let policy = Arc::new(ArcSwap::new(setup.policy.load_full()));
        Self {
            setup: Arc::new(ArcSwap::from_pointee(setup)),
            policy,
            age: Arc::new(Mutex::new(RulesAge::Own)),
            stale_at: watch::Sender::new(None),
        }
    }

    /// The setup in force, for the length of one decision: nothing may be awaited with it. Unlike
    /// [`LiveSetup::load`], it changes no counter that other threads change, too.
    #[inline]
    pub fn borrow(&self) -> Guard<Arc<Setup>> {
        self.setup.load()
    }

    /// The setup in force, to keep for as long as wanted.
    pub fn load(&self) -> Arc<Setup> {
        self.setup.load_full()
    }

    /// The policy in force, by which open sessions are judged again.
    pub fn policy(&self) -> &Arc<ArcSwap<EdgePolicy>> {
        &self.policy
    }

    /// The instant from which the rules are too old to judge by, as it moves.
    pub fn stale_at(&self) -> watch::Receiver<Option<Timestamp>> {
        self.stale_at.subscribe()
    }

    /// Puts a setup in force. What is known of the age of the rules stays.
    pub fn replace(&self, setup: Setup) {
        let age = self.age.lock();
        let stale_at = age.stale_at(setup.max_staleness);
        let policy = Arc::new(EdgePolicy { stale_at, ..EdgePolicy::clone(&setup.policy.load()) });
        setup.policy.store(Arc::clone(&policy));
        self.setup.store(Arc::new(setup));
        // After the setup: a session that this policy denies is judged again by a setup that has it.
        self.set_policy(policy);
    }

    /// Puts the policy in force that the process says which has taken over, with the rest of the setup as it is. Whether
    /// open sessions have to be judged by it: it differs in more than a later end of the rules.
    #[must_use]
    pub fn replace_policy(&self, policy: EdgePolicy) -> bool {
        let mut age = self.age.lock();
        *age = RulesAge::Told(policy.stale_at);
        let before = self.policy.load();
        let is_like_before = EdgePolicy { stale_at: before.stale_at, ..policy.clone() } == **before;
        let is_stale = policy.is_stale(Timestamp::now());
        let policy = Arc::new(policy);
        self.setup.load().policy.store(Arc::clone(&policy));
        self.set_policy(policy);
        is_stale || !is_like_before
    }

    /// Notes that others share the rules with this edge, and when it last knew that it had everything that was published.
    /// Whether that moves the instant from which the rules are too old.
    /// `announced`: the age from which the others take it to deny, so it does, too, whatever the configuration has become.
    pub fn keep_contact(&self, current_at: Option<Timestamp>, announced: Option<Duration>) -> bool {
        let now = Timestamp::now();
        self.change_age(|age| match age {
            // It was noted before this start, by another clock if it is ahead of this one.
            RulesAge::Own => RulesAge::Contact(current_at.filter(|at| *at <= now), announced),
            RulesAge::Contact(..) => RulesAge::Contact(current_at.map(|at| at.min(now)), announced),
            told @ RulesAge::Told(_) => told,
        })
    }

    /// Forgets when that was: the clock by which it was noted is not the one that counts any more.
    pub fn forget_contact(&self) {
        self.change_age(RulesAge::unknown);
    }

    fn change_age(&self, change: impl FnOnce(RulesAge) -> RulesAge) -> bool {
        let mut age = self.age.lock();
        *age = change(*age);
        let setup = self.setup.load();
        let (stale_at, before) = (age.stale_at(setup.max_staleness), self.policy.load());
        if stale_at == before.stale_at {
            return false;
        }
        let policy = Arc::new(EdgePolicy { stale_at, ..EdgePolicy::clone(&before) });
        setup.policy.store(Arc::clone(&policy));
        self.set_policy(policy);
        true
    }

    fn set_policy(&self, policy: Arc<EdgePolicy>) {
        let stale_at = policy.stale_at;
        self.policy.store(policy);
        self.stale_at.send_if_modified(|known| std::mem::replace(known, stale_at) != stale_at);
    }
}

impl Expiring for LiveSetup {
    fn expiries(&self) -> Vec<CertificateExpiry> {
        self.load().certificates().flat_map(|certificates| certificates.expiries()).collect()
    }
}

impl UpstreamServers for LiveSetup {
    fn servers(&self) -> Vec<UpstreamServer> {
        self.load().upstreams.servers()
    }
}

impl CachedAssets for LiveSetup {
    fn purge(&self, widget: &str) -> usize {
        self.load().cache.purge(widget)
    }
}

/// Purge on change: a widget's assets are dropped before its change is answered.
impl Observer for LiveSetup {
    fn swapped(&self, swap: &Swap<'_>) {
        let setup = self.load();
        for widget in swap.changed {
            setup.cache.purge(widget.id.as_str());
        }
    }

    fn rejected(&self, _: SourceKind, _: &RulesError) {}
}

#[cfg(test)]
mod tests;
