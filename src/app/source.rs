//! The one place that knows which sources of rules there are.

use std::sync::Arc;

use super::error::AppError;
use crate::config::{Settings, SourceSetting, StoreSettings};
use crate::rules::audit::FileAuditLog;
use crate::rules::live::LiveRules;
use crate::rules::publisher::Publisher;
use crate::rules::source::RuleSource;
use crate::rules::source::file::FileSource;
use crate::rules::source::store::StoreSource;

/// The source of rules that the settings name.
pub(super) fn of(settings: &Settings) -> Result<Box<dyn RuleSource>, AppError> {
    match settings.rules.source {
        SourceSetting::File => Ok(Box::new(FileSource::new(&settings.rules.file))),
        SourceSetting::Store => {
            let StoreSettings { path, seed } = &settings.rules.store;
            Ok(Box::new(StoreSource::new(path, seed)))
        }
        // The configuration refuses it.
        SourceSetting::Nats => Err(AppError::SourceUnavailable),
    }
}

/// The writer of this source's rules, with the audit log of the settings.
pub(super) fn publisher(source: &dyn RuleSource, live: LiveRules, settings: &Settings) -> Publisher {
    let audit = FileAuditLog::new(settings.log.audit.clone());
    Publisher::new(live, source.kind(), source.name()).with_audit(Arc::new(audit))
}
