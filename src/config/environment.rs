//! Environment variables that override settings: `EMBEDGATE__SECTION__KEY`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::document::{ConfigDocument, ConfigValue, Entries, Node, ValueSource, variable_value};

mod stray;

use stray::Stray;

const PREFIX: &str = "EMBEDGATE__";

/// What every variable begins with that could be meant for this program.
const FAMILY: &str = "EMBEDGATE_";

/// Lists of tables, whose elements have no names for a variable.
const LISTS: [&[&str]; 2] = [&["routes"], &["edge", "tls"]];

/// The variables of this process that may override a setting, and those whose names begin like them.
///
/// Bytes of a value that are not UTF-8 are replaced by U+FFFD.
pub fn process_environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| is_of_family(name))
        .map(|(name, value)| (name, value.to_string_lossy().into_owned()))
        .collect()
}

fn is_of_family(name: &str) -> bool {
    name.get(..FAMILY.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(FAMILY))
}

/// Puts every override into the tree. Names are compared without case; variables of other programs are
/// skipped. A variable that spells a setting in another way is a fault: it would have no effect.
pub(super) fn apply(
    document: &ConfigDocument<'_>,
    root: &mut Entries,
    variables: impl IntoIterator<Item = (String, String)>,
) {
    // Sorted by depth, so that outer tables come first in any order of the environment.
    let mut overrides: BTreeMap<(usize, Vec<String>), (Arc<str>, String)> = BTreeMap::new();
    for (name, text) in variables {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            stray(document, &name);
            continue;
        };
        let path: Vec<String> = rest.split("__").map(str::to_ascii_lowercase).collect();
        let variable: Arc<str> = name.as_str().into();
        let spot = ValueSource::Variable(variable.clone());
        if !stray::is_known(&path)
            && let Some(right) = stray::spelled(rest)
        {
            document.fault(&spot, misspelled(&right));
        } else if let Some(detail) = unusable(&path) {
            document.fault(&spot, detail);
        } else if let Some((other, _)) = overrides.get(&(path.len(), path.clone())) {
            document.fault(&spot, format!("sets the same key as {other}; keep only one"));
        } else {
            overrides.insert((path.len(), path), (variable, text));
        }
    }
    for ((_, path), (variable, text)) in overrides {
        if let Err(detail) = insert(root, &path, &variable, &text) {
            document.fault(&ValueSource::Variable(variable), detail);
        }
    }
}

/// Notes what is wrong with a variable that is named almost like a setting.
fn stray(document: &ConfigDocument<'_>, name: &str) {
    if !is_of_family(name) {
        return;
    }
    let spot = ValueSource::Variable(name.into());
    match stray::look(name) {
        None => {}
        Some(Stray::Setting(right)) => document.fault(&spot, misspelled(&right)),
        Some(Stray::Unknown) => document.warn(
            &spot,
            "not a variable of embedgate, so it has no effect; a setting's is named like EMBEDGATE__LOG__LEVEL",
        ),
    }
}

fn misspelled(right: &str) -> String {
    format!("not the name of a setting; write {right}, with two underscores between the names")
}

fn unusable(path: &[String]) -> Option<String> {
    if path.iter().any(String::is_empty) {
        return Some(
            "not the name of a setting; write EMBEDGATE__SECTION__KEY, such as EMBEDGATE__LOG__LEVEL".into(),
        );
    }
    if LISTS.iter().any(|list| path.iter().map(String::as_str).take(list.len()).eq(list.iter().copied())) {
        return Some("[[routes]] and [[edge.tls]] can't be set by a variable; write them in the file".into());
    }
    match path {
        [section] => Some(format!(
            "this is the whole table [{section}]; name one of its keys: EMBEDGATE__{}__KEY",
            section.to_ascii_uppercase()
        )),
        _ => None,
    }
}

fn insert(entries: &mut Entries, path: &[String], variable: &Arc<str>, text: &str) -> Result<(), String> {
    let Some((first, rest)) = path.split_first() else { return Ok(()) };
    // A variable's name has no case, so the spelling of an upstream's name in the file is used.
    let known = entries.keys().find(|key| key.eq_ignore_ascii_case(first)).cloned();
    let key = known.unwrap_or_else(|| first.clone());
    if rest.is_empty() {
        entries.insert(key, (ValueSource::Variable(variable.clone()), variable_value(variable, text)));
        return Ok(());
    }
    let (_, node) = entries.entry(key).or_insert_with(|| {
        let spot = ValueSource::Variable(variable.clone());
        (spot.clone(), Node { spot, value: ConfigValue::Table(Entries::new()) })
    });
    match &mut node.value {
        ConfigValue::Table(inner) => insert(inner, rest, variable, text),
        other => Err(format!("'{first}' has no keys: it is {}", other.kind())),
    }
}
