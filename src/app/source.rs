//! The one place that knows which sources of rules there are.

use std::sync::Arc;

use super::error::AppError;
use super::suffixes::public_suffixes;
use crate::config::{
    NatsSettings, PolicySettings, Settings, SourceSetting, StoreSettings, edge_name_of_host,
};
use crate::rules::audit::FileAuditLog;
use crate::rules::brake::BrakeShare;
use crate::rules::live::LiveRules;
use crate::rules::publisher::{Observer, Publisher};
use crate::rules::source::file::FileSource;
use crate::rules::source::nats::{NatsConnection, NatsSource};
use crate::rules::source::store::{LostStore, StoreSource};
use crate::rules::source::{FilesInForce, RuleSource, StartedSource};

/// The source of rules that the settings name. `lost`: what is done where its store is lost.
pub(super) fn of(settings: &Settings, lost: LostStore) -> Result<Box<dyn RuleSource>, AppError> {
    after(settings, lost, None)
}

/// The same for a process that takes over from one in which these rules files are in force.
fn after(
    settings: &Settings,
    lost: LostStore,
    before: Option<&FilesInForce>,
) -> Result<Box<dyn RuleSource>, AppError> {
    match settings.rules.source {
        SourceSetting::File => Ok(Box::new(FileSource::new(&settings.rules.file).taking_over(before))),
        SourceSetting::Store => Ok(Box::new(store(settings, lost))),
        SourceSetting::Nats => Ok(Box::new(nats(settings))),
    }
}

/// The store that the settings name, whatever source is in use.
pub(super) fn store(settings: &Settings, lost: LostStore) -> StoreSource {
    let StoreSettings { path, seed } = &settings.rules.store;
    let seed_place = settings.stated.get("rules.store.seed").map(ToString::to_string);
    let source = StoreSource::new(path, seed).with_seed_named_at(seed_place);
    source.with_audit_log(&settings.log.audit, lost)
}

/// The bucket that the settings name.
fn nats(settings: &Settings) -> NatsSource {
    let NatsSettings { servers, bucket, cache, tls, credentials, edge } = settings.rules.nats.clone();
    let is_tls = tls.is_some() || servers.iter().any(|server| server.starts_with("tls://"));
    let (ca, certificate) = tls.map_or((None, None), |tls| (tls.ca, tls.certificate));
    NatsSource::new(NatsConnection {
        servers,
        bucket,
        cache,
        tls: is_tls,
        ca,
        certificate: certificate.map(|files| (files.cert, files.key)),
        credentials,
        edge: edge.unwrap_or_else(host_name),
        max_staleness: settings.policy.max_staleness,
    })
}

/// The name of this host, as the name of an edge may be.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    edge_name_of_host(&name).unwrap_or_else(|| "edge".into())
}

/// The writer of this source's rules, with the audit log of the settings.
pub(super) fn publisher(source: &dyn RuleSource, live: LiveRules, settings: &Settings) -> Publisher {
    let audit = FileAuditLog::new(settings.log.audit.clone());
    let publisher = Publisher::new(live, source.kind(), source.name()).with_audit(Arc::new(audit));
    publisher.set_brake(brake(&settings.policy));
    publisher
}

/// The share of all widgets that one change may touch.
pub(super) fn brake(policy: &PolicySettings) -> BrakeShare {
    BrakeShare::of_hundredths(policy.brake.hundredths())
}

/// Puts the rules in force, whatever they come from, and has these observers told of them. `handed_over`: a process that
/// is relieved has had them in force until now. `before`: the rules files in force there.
pub(super) fn start(
    settings: &Settings,
    lost: LostStore,
    handed_over: bool,
    before: Option<&FilesInForce>,
    live: LiveRules,
    observers: &[Arc<dyn Observer>],
) -> Result<StartedSource, AppError> {
    let suffixes = public_suffixes(settings)?;
    let source: Box<dyn RuleSource> = match settings.rules.source {
        SourceSetting::Store if handed_over => Box::new(store(settings, lost).handed_over()),
        SourceSetting::Nats if handed_over => Box::new(nats(settings).handed_over()),
        _ => after(settings, lost, before)?,
    };
    let publisher = publisher(&*source, live, settings);
    let publisher = observers.iter().cloned().fold(publisher, Publisher::with_observer);
    Ok(source.start(publisher, suffixes)?)
}
