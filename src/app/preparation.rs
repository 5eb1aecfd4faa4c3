//! Preparation of a start: everything that can keep an edge from starting before its rules are read, in one list. A
//! start takes what it makes; a check makes nothing, and has the same list, so that no step can be forgotten in it.

use std::sync::Arc;

use super::nats_files::{NatsCertificate, NatsFiles};
use super::suffixes::public_suffixes;
use super::{AppError, control, notifications, written};
use crate::admin::{MutualTls, Tokens};
use crate::certificates::Expiring;
use crate::config::Settings;
use crate::edge::admission::tickets::key_file::KeyFile;
use crate::edge::setup::{DemoUpstream, Setup, SetupParts};
use crate::files::Reload;
use crate::files::private::IfMissing;
use crate::notifications::receiver::WebhookReceiver;
use crate::telemetry::metrics::Metrics;
use embedgate_policy::suffix::PublicSuffixes;

/// What a start is made of, but for rules and sockets.
pub(super) struct Preparation {
    pub(super) metrics: Arc<Metrics>,
    pub(super) admin_tls: Option<Arc<MutualTls>>,
    pub(super) tokens: Tokens,
    pub(super) ticket_keys: Arc<KeyFile>,
    pub(super) parts: SetupParts,
    pub(super) setup: Setup,
    pub(super) suffixes: Arc<PublicSuffixes>,
    /// Where notifications are sent.
    pub(super) receiver: Option<Arc<WebhookReceiver>>,
    pub(super) files: OtherFiles,
}

/// Files of certificates and keys, but for those of the setup.
pub(super) struct OtherFiles {
    /// Certificates that expire.
    pub(super) expiring: Vec<Arc<dyn Expiring>>,
    /// Files that are read again when they change.
    pub(super) watched: Vec<Arc<dyn Reload>>,
}

impl OtherFiles {
    fn of(tls: Option<&Arc<MutualTls>>, nats: Option<NatsCertificate>, keys: &Arc<KeyFile>) -> Self {
        let (tls, nats) = (tls.map(Arc::clone), nats.map(Arc::new));
        let expiring = [tls.clone().map(|tls| tls as Arc<dyn Expiring>), nats.clone().map(|nats| nats as _)];
        let keys = Arc::clone(keys) as Arc<dyn Reload>;
        let watched = [tls.map(|tls| tls as _), nats.map(|nats| nats as _), Some(keys)];
        Self {
            expiring: expiring.into_iter().flatten().collect(),
            watched: watched.into_iter().flatten().collect(),
        }
    }
}

/// Faults so far.
#[derive(Default)]
struct FaultsSoFar(Vec<AppError>);

impl FaultsSoFar {
    fn take<T, E: Into<AppError>>(&mut self, prepared: Result<T, E>) -> Option<T> {
        prepared.map_err(|error| self.0.push(error.into())).ok()
    }
}

impl Preparation {
    /// Prepares everything. `demo`: the demo's upstream, where the settings ask for one.
    ///
    /// # Errors
    ///
    /// Everything that keeps the edge from starting, in the order of this list.
    pub(super) fn of(
        settings: &Settings,
        demo: Result<Option<DemoUpstream>, AppError>,
        if_missing: IfMissing,
    ) -> Result<Self, Vec<AppError>> {
        let mut noted = FaultsSoFar::default();
        let metrics = noted.take(Metrics::new()).map(Arc::new);
        let demo = noted.take(demo);
        let admin_tls = noted.take(control::mutual_tls(settings));
        let suffixes = noted.take(public_suffixes(settings));
        noted.0.extend(written::faults(settings));
        // A start that will fail makes no new files.
        let or = |noted: &FaultsSoFar| if noted.0.is_empty() { if_missing } else { IfMissing::LeftOut };
        let tokens = noted.take(Tokens::open_or(settings.admin.token_file.clone(), or(&noted)));
        let key_file = || settings.tickets.key_file.clone();
        let keys = noted.take(match settings.rules.is_shared() {
            true => KeyFile::open_shared(key_file()),
            false => KeyFile::open_or(key_file(), or(&noted)),
        });
        // Whatever is wrong with them, the rest is tried.
        let keys = keys.or_else(|| KeyFile::unsaved(key_file()).ok()).map(Arc::new);
        let parts = keys.as_ref().zip(metrics.as_ref()).map(|(ticket_keys, metrics)| SetupParts {
            ticket_keys: Arc::clone(ticket_keys),
            metrics: Arc::clone(metrics),
        });
        let receiver = noted.take(notifications::receiver(settings, or(&noted)));
        let of_nats = NatsFiles::of(settings).read().map_err(|faults| noted.0.extend(faults)).ok();
        let setup = demo.zip(parts.as_ref()).and_then(|(demo, parts)| {
            let setup = Setup::prepare(settings, parts, demo, None);
            setup.map_err(|errors| noted.0.extend(errors.into_iter().map(AppError::from))).ok()
        });
        match (metrics, admin_tls, tokens, keys, parts, setup, suffixes, receiver, of_nats) {
            (
                Some(metrics),
                Some(admin_tls),
                Some(tokens),
                Some(ticket_keys),
                Some(parts),
                Some(setup),
                Some(suffixes),
                Some(receiver),
                Some(of_nats),
            ) if noted.0.is_empty() => {
                let files = OtherFiles::of(admin_tls.as_ref(), of_nats, &ticket_keys);
                Ok(Self { metrics, admin_tls, tokens, ticket_keys, parts, setup, suffixes, receiver, files })
            }
            _ => Err(noted.0),
        }
    }
}
