//! Settings that environment variables override: `EMBEDGATE__SECTION__KEY`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::document::{Document, Entries, Node, Spot, Value, variable_value};

const PREFIX: &str = "EMBEDGATE__";

/// Lists of tables have no names that a variable could use.
const LISTS: [&[&str]; 2] = [&["routes"], &["edge", "tls"]];

/// The variables of this process that may override a setting.
///
/// Bytes of a value that are no UTF-8 are replaced by U+FFFD.
pub fn process_environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with(PREFIX))
        .map(|(name, value)| (name, value.to_string_lossy().into_owned()))
        .collect()
}

/// Puts every override into the tree. Names are compared without regard to case; variables of other programs
/// are passed over.
pub(super) fn apply(
    document: &Document<'_>,
    root: &mut Entries,
    variables: impl IntoIterator<Item = (String, String)>,
) {
    // Outer tables before what is inside them, whatever order the environment comes in.
    let mut overrides: BTreeMap<(usize, Vec<String>), (Arc<str>, String)> = BTreeMap::new();
    for (name, text) in variables {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let path: Vec<String> = rest.split("__").map(str::to_ascii_lowercase).collect();
        let variable: Arc<str> = name.into();
        let spot = Spot::Variable(variable.clone());
        if let Some(detail) = unusable(&path) {
            document.fault(&spot, detail);
        } else if let Some((other, _)) = overrides.get(&(path.len(), path.clone())) {
            document.fault(&spot, format!("sets the same key as {other}; keep one of the two"));
        } else {
            overrides.insert((path.len(), path), (variable, text));
        }
    }
    for ((_, path), (variable, text)) in overrides {
        if let Err(detail) = insert(root, &path, &variable, &text) {
            document.fault(&Spot::Variable(variable), detail);
        }
    }
}

fn unusable(path: &[String]) -> Option<String> {
    if path.iter().any(String::is_empty) {
        return Some("names no setting; write EMBEDGATE__SECTION__KEY, such as EMBEDGATE__LOG__LEVEL".into());
    }
    if LISTS.iter().any(|list| path.iter().map(String::as_str).take(list.len()).eq(list.iter().copied())) {
        return Some("[[routes]] and [[edge.tls]] can't be set by a variable; write them in the file".into());
    }
    match path {
        [section] => Some(format!(
            "names the whole table [{section}]; name one key of it: EMBEDGATE__{}__KEY",
            section.to_ascii_uppercase()
        )),
        _ => None,
    }
}

fn insert(entries: &mut Entries, path: &[String], variable: &Arc<str>, text: &str) -> Result<(), String> {
    let Some((first, rest)) = path.split_first() else { return Ok(()) };
    // A variable's name has lost its case; the file's own spelling of an upstream's name counts.
    let known = entries.keys().find(|key| key.eq_ignore_ascii_case(first)).cloned();
    let key = known.unwrap_or_else(|| first.clone());
    if rest.is_empty() {
        entries.insert(key, (Spot::Variable(variable.clone()), variable_value(variable, text)));
        return Ok(());
    }
    let (_, node) = entries.entry(key).or_insert_with(|| {
        let spot = Spot::Variable(variable.clone());
        (spot.clone(), Node { spot, value: Value::Table(Entries::new()) })
    });
    match &mut node.value {
        Value::Table(inner) => insert(inner, rest, variable, text),
        other => Err(format!("'{first}' has no keys of its own: it is {}", other.kind())),
    }
}
