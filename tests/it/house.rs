//! Layout of the code: reads every line of `src/` and of the crates, and says, with file and line, where one floor
//! knows another that it must not know, where rooms import each other in a circle, and what else is forbidden.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::Path;

mod circles;
mod log_lines;
mod self_check;
mod text;

use text::{Blank, blank, first_names, inline_modules, items_after, words};

/// Where code is, and the name that its modules have here. What a crate may know of others, the compiler holds.
const ROOTS: [(&str, &str); 3] = [("src", ""), ("crates/policy/src", "policy"), ("crates/demo/src", "demo")];

/// Whom each room of the crate may know beside itself. A room that isn't here has no place in it.
const FLOORS: [(&str, &[&str]); 16] = [
    ("certificates", &[]),
    ("pacing", &[]),
    ("sockets", &["telemetry"]),
    ("files", &[]),
    ("database", &["rules"]),
    ("config", &[]),
    ("telemetry", &[]),
    ("rules", &[]),
    ("notifications", &["database", "files", "rules", "telemetry"]),
    ("activity", &["database", "notifications", "rules", "telemetry"]),
    ("checklist", &[]),
    ("limits", &["database", "notifications", "rules", "sockets", "telemetry"]),
    (
        "edge",
        &[
            "activity",
            "certificates",
            "config",
            "files",
            "limits",
            "notifications",
            "pacing",
            "rules",
            "sockets",
            "telemetry",
        ],
    ),
    (
        "admin",
        &[
            "activity",
            "certificates",
            "checklist",
            "files",
            "limits",
            "notifications",
            "pacing",
            "rules",
            "sockets",
            "telemetry",
        ],
    ),
    (
        "app",
        &[
            "activity",
            "admin",
            "certificates",
            "checklist",
            "config",
            "database",
            "edge",
            "files",
            "limits",
            "notifications",
            "rules",
            "telemetry",
        ],
    ),
    ("cli", &["app", "checklist", "config", "rules"]),
];

/// Crates, and what of the standard library has a place of its own: where each may be named.
const KEPT: [(&str, &[&str]); 26] = [
    ("async_nats", &["rules/source/nats"]),
    ("pingora_core", &["edge", "app"]),
    ("pingora_cache", &["edge/cache"]),
    ("pingora_load_balancing", &["edge/forward"]),
    ("proxy_header", &["edge/connection/proxy_protocol"]),
    ("embedgate_allocator", &["app/tasks", "main"]),
    ("axum", &["admin", "demo"]),
    ("hyper", &["admin"]),
    ("rustix", &["app/descriptors", "app/upgrade", "files"]),
    ("listenfd", &["app/sockets"]),
    ("sd_notify", &["app/systemd"]),
    ("clap", &["cli", "main"]),
    ("clap_complete", &["cli"]),
    ("toml", &["config"]),
    ("notify", &["rules/source"]),
    ("redb", &["activity/store", "database", "limits/days", "notifications", "rules/storage/redb"]),
    ("quick_cache", &["edge/cache"]),
    ("sfv", &["checklist/site", "edge/cache"]),
    ("html5gum", &["checklist/site"]),
    ("httpdate", &["edge/cache", "notifications/receiver"]),
    ("prometheus", &["telemetry/metrics", "app/error"]),
    (
        "tokio",
        &[
            "activity",
            "database",
            "limits",
            "notifications",
            "rules",
            "edge",
            "admin",
            "app",
            "demo",
            "pacing",
            "sockets",
            "telemetry/decision_log",
            "telemetry/events",
            "telemetry/queue",
            "telemetry/tally",
        ],
    ),
    (
        "std::fs",
        &[
            "config",
            "certificates",
            "database",
            "rules/source",
            "rules/storage/redb",
            "rules/audit",
            "app",
            "cli",
            "files",
        ],
    ),
    ("std::env", &["config", "app/systemd", "app/upgrade/program"]),
    ("std::time::SystemTime", &["rules/source", "files"]),
    (
        "Timestamp::now",
        &[
            "activity",
            "limits",
            "notifications",
            "rules",
            "edge",
            "admin",
            "cli",
            "app/notices",
            "app/reload",
        ],
    ),
];

/// How an item says that it is for tests only.
const TEST_ONLY: [&str; 2] = ["#[cfg(test)]", "#[cfg(all(test"];

const MOST_LINES: usize = 350;

/// One file of code.
struct Source {
    /// The folder that it is in, one of [`ROOTS`].
    root: &'static str,
    /// Its path below that.
    path: String,
    text: String,
}

#[test]
fn the_floors_hold() {
    let faults = faults(&sources());
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn no_name_of_a_type_stands_twice() {
    let faults = doubled_types(&sources());
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn no_rooms_import_each_other_in_a_circle() {
    let circles = circles::between_rooms(&sources());
    assert!(circles.is_empty(), "\n{}\n", circles.join("\n"));
}

fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    for (root, _) in ROOTS {
        collect(root, Path::new(root), &mut sources);
    }
    assert!(sources.len() > 80, "found only {} files", sources.len());
    sources
}

fn collect(root: &'static str, folder: &Path, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            sources.push(Source { root, path: path.strip_prefix(root).unwrap().display().to_string(), text });
        }
    }
}

/// Types of the same name, but for those that tests alone have and for two files of which one is compiled.
fn doubled_types(sources: &[Source]) -> Vec<String> {
    let tests = test_modules(sources);
    let mut types: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources.iter().filter(|source| !source.path.ends_with("left_out.rs")) {
        let file = File::read(source, &tests);
        for word in ["struct", "enum", "trait", "type", "union"] {
            for at in words(&file.code, word).filter(|at| !file.is_test(*at)) {
                // Of a module itself: what stands deeper is a trait's, or a function's own.
                let line = file.code[..at].rfind('\n').map_or(0, |end| end + 1);
                let name = first_names(file.code[at + word.len()..].trim_start())[0];
                if !file.code[line..].starts_with(' ') {
                    let place = source.text[..at].matches('\n').count() + 1;
                    let place = format!("{}/{}:{place}", source.root, source.path);
                    types.entry(name.to_owned()).or_default().push(place);
                }
            }
        }
    }
    let doubled = types.into_iter().filter(|(_, places)| places.len() > 1);
    doubled.map(|(name, places)| format!("`{name}` stands twice: {}", places.join(", "))).collect()
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
                modules.insert(join(&source.module(), name.1));
            }
        }
    }
    modules
}

impl Source {
    /// `rules/book.rs` is `rules/book`; the crate's root is empty, that of another crate its name.
    fn module(&self) -> String {
        let (_, name) = ROOTS.into_iter().find(|(root, _)| *root == self.root).unwrap();
        let path = self.path.strip_suffix(".rs").unwrap();
        if path == "lib" { name.to_owned() } else { join(name, path) }
    }
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
        let (code, module) = (blank(&source.text, Blank::TextToo), source.module());
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
        faults.push(format!("{}/{}:{line}: {what}", self.source.root, self.source.path));
    }

    /// Who names whom of the crate, by `crate::`, by `embedgate::` or by climbing with `super::`.
    fn floors(&self, faults: &mut Vec<String>) {
        let room = self.room();
        let known: &[&str] = match (room, FLOORS.iter().find(|(name, _)| *name == room)) {
            ("", _) => return,
            _ if self.source.root != "src" => return,
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
        // Keys of the configuration have names like these, and so has a cookie.
        if self.module.starts_with("telemetry/metrics") || self.module.starts_with("config") {
            return;
        }
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        for (at, _) in self.uncommented.match_indices("\"").filter(|(at, _)| !self.is_test(*at)) {
            let name = self.uncommented[at + 1..].split(|c| !is_word(c)).next().unwrap_or_default();
            let is_metric = name.starts_with("embedgate_") && name != "embedgate_admin"
                || ["_total", "_seconds", "_bytes"].iter().any(|unit| name.ends_with(unit));
            if is_metric && self.uncommented[at + 1 + name.len()..].starts_with('"') {
                self.fault(faults, at, &format!("the metric `{name}` belongs to telemetry/metrics"));
            }
        }
    }
}
