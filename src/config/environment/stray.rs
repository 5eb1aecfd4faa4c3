//! Variables that look like settings and are none: `EMBEDGATE_LOG_LEVEL` for `EMBEDGATE__LOG__LEVEL`.

use std::cmp::Reverse;
use std::sync::Arc;

use super::{FAMILY, PREFIX, insert, unusable};
use crate::config::document::{ConfigDocument, Entries};
use crate::config::resolve;

/// Variables of this program that are no settings: those of an upgrade, and of its tests and measurements.
const OWN: [&str; 10] = [
    "TAKE_OVER",
    "TEST_",
    "BENCH_",
    "UPDATE_SNAPSHOTS",
    "HEADER_GRADERS",
    "SCHEMATHESIS",
    "CLIENTS",
    "INTEGRATIONS",
    "NATS_SERVER",
    "PROMTOOL",
];

/// Most words of a name that are tried in every way to divide them. No setting has as many.
const MOST_WORDS: usize = 8;

/// What is wrong with a variable whose name begins like this program's.
pub(super) enum Stray {
    /// The setting that its name spells in another way.
    Setting(String),
    /// Nobody reads it.
    Unknown,
}

/// What is wrong with a variable that is not named as a setting; `None` where it is somebody else's.
pub(super) fn look(name: &str) -> Option<Stray> {
    let rest = name.get(FAMILY.len()..).unwrap_or_default();
    if let Some(right) = spelled(rest) {
        return Some(Stray::Setting(right));
    }
    let is_own = OWN.iter().any(|own| rest.starts_with(own));
    (!is_own && !is_of_a_service(rest)).then_some(Stray::Unknown)
}

/// The variable of the setting that these words name, however they are divided.
pub(super) fn spelled(name: &str) -> Option<String> {
    let words: Vec<String> =
        name.split(['_', '-', '.']).filter(|word| !word.is_empty()).map(str::to_ascii_lowercase).collect();
    let gaps = words.len().checked_sub(1).filter(|_| words.len() <= MOST_WORDS)?;
    let mut divisions: Vec<u32> = (1..1_u32 << gaps).collect();
    // The deepest first: a name of an upstream could swallow its key.
    divisions.sort_by_key(|ends| Reverse(ends.count_ones()));
    let mut paths = divisions.into_iter().map(|ends| path(&words, ends));
    let path = paths.find(|path| unusable(path).is_none() && is_known(path))?;
    Some(format!("{PREFIX}{}", path.join("__").to_ascii_uppercase()))
}

/// The words as a path: a bit of `ends` says that a name ends after that word.
fn path(words: &[String], ends: u32) -> Vec<String> {
    let mut path: Vec<String> = Vec::new();
    let mut ended = true;
    for (index, word) in words.iter().enumerate() {
        match path.last_mut().filter(|_| !ended) {
            Some(name) => {
                name.push('_');
                name.push_str(word);
            }
            None => path.push(word.clone()),
        }
        ended = ends & (1 << index) != 0;
    }
    path
}

/// Whether there is such a key. A configuration that has it alone is read for that.
pub(super) fn is_known(path: &[String]) -> bool {
    let document = ConfigDocument::new("", "");
    let mut entries = Entries::new();
    if insert(&mut entries, path, &Arc::from(""), "x").is_err() {
        return false;
    }
    resolve::resolve(&document, &entries);
    !document.has_unknown_key()
}

/// Whether Kubernetes or Docker has set it, for a service or a container of this program's name:
/// `EMBEDGATE_SERVICE_HOST`, `EMBEDGATE_PORT_9090_TCP_ADDR`.
fn is_of_a_service(rest: &str) -> bool {
    let words: Vec<&str> = rest.split('_').collect();
    let is_service = words.windows(2).any(|pair| matches!(pair, ["SERVICE", "HOST" | "PORT"]));
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let is_port = words
        .windows(3)
        .any(|parts| matches!(parts, ["PORT", number, "TCP" | "UDP" | "SCTP"] if is_number(number)));
    is_service || is_port || words.last() == Some(&"PORT") || words.contains(&"ENV") || rest == "NAME"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Variables that the project itself tells people to set would warn them on every start.
    #[test]
    fn the_variables_of_the_project_are_its_own() {
        let texts = [include_str!("../../../Makefile"), include_str!("../../../CONTRIBUTING.md")];
        let mut found = 0;
        for text in texts {
            for (at, _) in text.match_indices(FAMILY) {
                let name = &text[at..];
                let end = name.find(|character: char| !(character.is_ascii_uppercase() || character == '_'));
                let name = &name[..end.unwrap_or(name.len())];
                if !name.starts_with(PREFIX) {
                    assert!(look(name).is_none(), "{name}");
                    found += 1;
                }
            }
        }
        assert!(found > 8, "{found}");
    }
}
