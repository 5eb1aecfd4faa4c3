//! Holds the floors of the house apart: reads every line of `src/` and says, with file and line, where one floor
//! knows another that it must not know, and what else the house forbids.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::Path;

mod self_check;
mod text;

use text::{Blank, blank, first_names, inline_modules, items_after, words};

/// Whom each room may know beside itself. A room that isn't here has no place in the house.
const FLOORS: [(&str, &[&str]); 10] = [
    ("policy", &[]),
    ("certificates", &[]),
    ("files", &[]),
    ("config", &["policy"]),
    ("telemetry", &["policy"]),
    ("rules", &["policy"]),
    ("edge", &["certificates", "config", "files", "policy", "rules", "telemetry"]),
    ("admin", &["certificates", "files", "policy", "rules", "telemetry"]),
    ("app", &["admin", "certificates", "config", "edge", "files", "policy", "rules", "telemetry"]),
    ("cli", &["app", "config", "policy", "rules"]),
];

/// Crates, and what of the standard library has a place of its own: where each may be named.
const KEPT: [(&str, &[&str]); 18] = [
    ("pingora", &["edge", "app"]),
    ("mimalloc", &["main"]),
    ("axum", &["admin"]),
    ("clap", &["cli", "main"]),
    ("clap_complete", &["cli"]),
    ("toml", &["config"]),
    ("notify", &["rules/source"]),
    ("redb", &["rules/store"]),
    ("quick_cache", &["edge/cache"]),
    ("sfv", &["edge/cache"]),
    ("httpdate", &["edge/cache"]),
    ("prometheus", &["telemetry/metrics", "app/error"]),
    ("tokio", &["rules/source", "edge", "admin", "app", "telemetry/decision_log"]),
    (
        "std::fs",
        &["config", "certificates", "rules/source", "rules/store", "rules/audit", "app", "cli", "files"],
    ),
    ("std::env", &["config"]),
    ("std::time::Instant", &["rules", "edge", "admin", "telemetry", "app"]),
    ("std::time::SystemTime", &["rules/source", "files"]),
    ("Timestamp::now", &["rules", "edge", "admin", "cli"]),
];

/// How an item says that it is for tests only.
const TEST_ONLY: [&str; 2] = ["#[cfg(test)]", "#[cfg(all(test"];

const MOST_LINES: usize = 350;

/// One file under `src/`, its path relative to that.
struct Source {
    path: String,
    text: String,
}

#[test]
fn the_floors_hold() {
    let mut sources = Vec::new();
    collect(Path::new("src"), &mut sources);
    assert!(sources.len() > 80, "found only {} files", sources.len());
    let faults = faults(&sources);
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

fn collect(folder: &Path, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            sources.push(Source { path: path.strip_prefix("src").unwrap().display().to_string(), text });
        }
    }
}

/// Everything that is wrong, `src/file:line: what`.
fn faults(sources: &[Source]) -> Vec<String> {
    let tests = test_modules(sources);
    let mut faults = Vec::new();
    for source in sources {
        let file = File::read(source, &tests);
        file.floors(&mut faults);
        file.kept_names(&mut faults);
        file.panics(&mut faults);
        file.length(&mut faults);
        file.metric_names(&mut faults);
    }
    faults
}

/// The modules that are compiled for tests only, as paths without `.rs`; with each goes what is below it.
fn test_modules(sources: &[Source]) -> BTreeSet<String> {
    let mut modules = BTreeSet::new();
    for source in sources {
        let code = blank(&source.text, Blank::TextToo);
        for item in TEST_ONLY.iter().flat_map(|attribute| items_after(&code, attribute)) {
            let item = code[item].trim_end();
            if let Some(name) = item.strip_suffix(';').and_then(|item| item.rsplit_once("mod ")) {
                modules.insert(join(&module(&source.path), name.1));
            }
        }
    }
    modules
}

/// `policy/entry.rs` and `policy/entry/mod.rs` are `policy/entry`; the crate's root is empty.
fn module(path: &str) -> String {
    let path = path.strip_suffix(".rs").unwrap();
    let path = path.strip_suffix("/mod").unwrap_or(path);
    if path == "lib" { String::new() } else { path.to_owned() }
}

fn join(module: &str, name: &str) -> String {
    if module.is_empty() { name.to_owned() } else { format!("{module}/{name}") }
}

fn is_within(module: &str, room: &str) -> bool {
    module.strip_prefix(room).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A file, read.
struct File<'s> {
    source: &'s Source,
    module: String,
    /// The text with comments blanked, and with comments and texts blanked: same length, same lines.
    uncommented: String,
    code: String,
    /// Byte ranges that only tests are made of.
    test_ranges: Vec<Range<usize>>,
}

impl<'s> File<'s> {
    fn read(source: &'s Source, test_modules: &BTreeSet<String>) -> Self {
        let (code, module) = (blank(&source.text, Blank::TextToo), module(&source.path));
        let test_ranges = match test_modules.iter().any(|tests| is_within(&module, tests)) {
            true => std::iter::once(0..code.len()).collect(),
            false => TEST_ONLY.iter().flat_map(|attribute| items_after(&code, attribute)).collect(),
        };
        Self { source, module, uncommented: blank(&source.text, Blank::Comments), code, test_ranges }
    }

    fn room(&self) -> &str {
        self.module.split('/').next().unwrap_or_default()
    }

    fn is_test(&self, at: usize) -> bool {
        self.test_ranges.iter().any(|range| range.contains(&at))
    }

    fn fault(&self, faults: &mut Vec<String>, at: usize, what: &str) {
        let line = self.source.text[..at].matches('\n').count() + 1;
        faults.push(format!("src/{}:{line}: {what}", self.source.path));
    }

    /// Who names whom of the crate, by `crate::`, by `embedgate::` or by climbing with `super::`.
    fn floors(&self, faults: &mut Vec<String>) {
        let room = self.room();
        let known: &[&str] = match (room, FLOORS.iter().find(|(name, _)| *name == room)) {
            ("", _) => return,
            ("main", _) => &["cli"],
            (_, Some((_, known))) => known,
            _ => return self.fault(faults, 0, &format!("`{room}` is no room of the house")),
        };
        for root in ["crate", "embedgate"] {
            for at in words(&self.code, root) {
                let named = self.code[at + root.len()..].trim_start();
                for name in named.strip_prefix("::").map(first_names).unwrap_or_default() {
                    self.floor(faults, at, known, name);
                }
            }
        }
        let depth = self.module.matches('/').count() + 1;
        for at in words(&self.code, "super") {
            let (mut climbed, mut rest) = (0, &self.code[at..]);
            while let Some(next) = rest.strip_prefix("super::") {
                (climbed, rest) = (climbed + 1, next);
            }
            let is_first = !self.code[..at].ends_with("super::");
            if is_first && climbed == depth + inline_modules(&self.code[..at]) {
                first_names(rest).into_iter().for_each(|name| self.floor(faults, at, known, name));
            }
        }
    }

    fn floor(&self, faults: &mut Vec<String>, at: usize, known: &[&str], name: &str) {
        let room = self.room();
        if name != room && !known.contains(&name) {
            self.fault(faults, at, &format!("`{room}` must not know `{name}`"));
        }
    }

    /// Crates and clocks in their places.
    fn kept_names(&self, faults: &mut Vec<String>) {
        for (name, rooms) in KEPT {
            let allowed = rooms.iter().any(|room| is_within(&self.module, room));
            for at in words(&self.code, name).filter(|at| !allowed && !self.is_test(*at)) {
                // A path's first part, or a name of the standard library written out.
                let follows = &self.code[at + name.len()..];
                if name.contains("::") || follows.starts_with("::") && !self.code[..at].ends_with("::") {
                    self.fault(faults, at, &format!("`{name}` belongs to {}", rooms.join(", ")));
                }
            }
        }
    }

    /// What ends the process has to say why it can't happen.
    fn panics(&self, faults: &mut Vec<String>) {
        let excused: Vec<Range<usize>> = ["unwrap_used", "expect_used", "panic", "unreachable"]
            .iter()
            .flat_map(|lint| items_after(&self.code, &format!("#[expect(clippy::{lint}")))
            .collect();
        for call in
            [".unwrap()", ".expect(", ".unwrap_err()", ".expect_err(", "panic!", "unreachable!", "todo!"]
        {
            for (at, _) in self.code.match_indices(call) {
                if !self.is_test(at) && !excused.iter().any(|range| range.contains(&at)) {
                    self.fault(faults, at, &format!("`{call}` without an #[expect(clippy::...)]"));
                }
            }
        }
    }

    fn length(&self, faults: &mut Vec<String>) {
        let mut at = 0;
        let mut lines = 0;
        for line in self.source.text.split_inclusive('\n') {
            lines += usize::from(!self.is_test(at));
            at += line.len();
            if lines > MOST_LINES {
                let what =
                    format!("line {lines} without the tests: one subject a file, at most {MOST_LINES}");
                return self.fault(faults, at - 1, &what);
            }
        }
    }

    /// Where names of metrics are written, they are registered in the end.
    fn metric_names(&self, faults: &mut Vec<String>) {
        if self.module == "telemetry/metrics" {
            return;
        }
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        for (at, _) in self.uncommented.match_indices("\"").filter(|(at, _)| !self.is_test(*at)) {
            let name = self.uncommented[at + 1..].split(|c| !is_word(c)).next().unwrap_or_default();
            let is_metric = name.starts_with("embedgate_")
                || ["_total", "_seconds", "_bytes"].iter().any(|unit| name.ends_with(unit));
            if is_metric && self.uncommented[at + 1 + name.len()..].starts_with('"') {
                self.fault(faults, at, &format!("the metric `{name}` belongs to telemetry/metrics"));
            }
        }
    }
}
