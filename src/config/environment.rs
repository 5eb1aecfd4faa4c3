//! Environment variables that override settings: `EMBEDGATE__SECTION__KEY`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::document::{ConfigDocument, ConfigValue, Entries, Node, ValueSource, variable_value};

const PREFIX: &str = "EMBEDGATE__";

/// Lists of tables, whose elements have no names for a variable.
const LISTS: [&[&str]; 2] = [&["routes"], &["edge", "tls"]];

/// The variables of this process that may override a setting.
///
/// Bytes of a value that are not UTF-8 are replaced by U+FFFD.
pub fn process_environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with(PREFIX))
        .map(|(name, value)| (name, value.to_string_lossy().into_owned()))
        .collect()
}

/// Puts every override into the tree. Names are compared without case; variables of other programs are
/// skipped.
pub(super) fn apply(
    document: &ConfigDocument<'_>,
    root: &mut Entries,
    variables: impl IntoIterator<Item = (String, String)>,
) {
    // Sorted by depth, so that outer tables come first in any order of the environment.
    let mut overrides: BTreeMap<(usize, Vec<String>), (Arc<str>, String)> = BTreeMap::new();
    for (name, text) in variables {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let path: Vec<String> = rest.split("__").map(str::to_ascii_lowercase).collect();
        let variable: Arc<str> = name.into();
        let spot = ValueSource::Variable(variable.clone());
        if let Some(detail) = unusable(&path) {
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
