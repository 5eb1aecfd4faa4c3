//! Settings without effect in this version. They are removed from here when their feature comes.

use super::settings::Settings;

/// One line for each setting that the operator has set and that has no effect in this version.
pub fn notices(settings: &Settings) -> Vec<String> {
    IDLE.iter()
        .filter(|(key, _)| settings.stated.keys().any(|stated| is_within(stated, key)))
        .filter(|(key, _)| *key != "policy.max_staleness" || settings.policy.max_staleness.is_some())
        .map(|(key, detail)| format!("{key} has no effect in this version: {detail}"))
        .collect()
}

const IDLE: [(&str, &str); 1] = [("policy.max_staleness", "rules of any age stay in force")];

fn is_within(stated: &str, key: &str) -> bool {
    stated.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
