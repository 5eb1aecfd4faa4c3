//! Settings that have no effect with the other settings.

use super::settings::Settings;

/// One line for each setting that the operator has set and that has no effect with the other settings.
pub fn notices(settings: &Settings) -> Vec<String> {
    let is_idle = settings.policy.max_staleness.is_some() && !settings.rules.is_shared();
    let detail = "policy.max_staleness has an effect only with rules.source = \"nats\": rules that this edge does not share \
                  with others are never out of date";
    is_idle.then(|| detail.to_owned()).into_iter().collect()
}
