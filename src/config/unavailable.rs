//! Settings that are read already but do nothing yet. Each line here goes when its feature comes.

use super::settings::{RuleSource, Settings};

/// Why a source can't be used; `None` when it can.
pub(super) fn source(source: RuleSource) -> Option<String> {
    let name = match source {
        RuleSource::File | RuleSource::Store => return None,
        RuleSource::Nats => "nats",
    };
    Some(format!("rules.source: \"{name}\" is not available in this version; use \"store\" or \"file\""))
}

/// What the operator set and this version does nothing with, one line each, to be said at start.
pub fn notices(settings: &Settings) -> Vec<String> {
    IDLE.iter()
        .filter(|(key, _)| settings.stated.iter().any(|stated| is_within(stated, key)))
        .filter(|(key, _)| *key != "policy.max_staleness" || settings.policy.max_staleness.is_some())
        .map(|(key, detail)| format!("{key} has no effect in this version: {detail}"))
        .collect()
}

const IDLE: [(&str, &str); 1] = [("policy.max_staleness", "the rules keep serving however old they are")];

fn is_within(stated: &str, key: &str) -> bool {
    stated.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
