//! `embedgate widgets export` and `import`, as they are typed.

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::Value;

use super::open;
use crate::support::edge::Edge;

const CONFIG: &str = "[edge]\npublic_origins = [\"http://edge.example\"]\n[upstreams.demo]\nbuiltin = true\n\
    [[routes]]\npath = \"/w/{widget}/loader.js\"\nclass = \"asset\"\nupstream = \"demo\"\n";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("conf")).unwrap();
        fs::write(folder.path().join("conf/embedgate.toml"), CONFIG).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Edge::command(self.0.path()).args(arguments).output().unwrap()
    }

    fn import(&self, file: &str) -> (bool, Value) {
        let ran = self.run(&["--json", "widgets", "import", file]);
        (ran.status.success(), serde_json::from_slice(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}")))
    }

    /// The next start takes its seed.
    fn has_no_store(&self) {
        let Ok(names) = fs::read_dir(self.path("data")) else { return };
        let names: Vec<_> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert!(names.iter().all(|name| !name.starts_with("rules.redb")), "{names:?}");
    }

    fn widgets(&self) -> usize {
        open(&self.path("data/rules.redb")).unwrap().live().load().len()
    }
}

fn lines(count: usize) -> String {
    let line = |n| format!("{{\"id\":\"w{n:05}\",\"allowed_domains\":[\"w{n}.example\"],\"revision\":3}}\n");
    (0..count).map(line).collect()
}

#[test]
fn what_is_exported_is_what_was_imported() {
    let folder = Folder::new();
    fs::write(folder.path("in.ndjson"), lines(2500)).unwrap();
    let (fine, report) = folder.import("in.ndjson");
    assert!(fine, "{report}");
    assert_eq!(
        (&report["documents"], &report["created"], &report["faults"]),
        (&2500.into(), &2500.into(), &0.into())
    );

    let ran = folder.run(&["widgets", "export", "out.ndjson"]);
    assert!(ran.status.success(), "{ran:?}");
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "out.ndjson: 2500 widgets\n");
    let out = fs::read_to_string(folder.path("out.ndjson")).unwrap();
    assert_eq!(folder.run(&["widgets", "export"]).stdout, out.as_bytes());
    let ids: Vec<Value> =
        out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone()).collect();
    assert!(ids.len() == 2500 && ids.is_sorted_by_key(|id| id.as_str().unwrap().to_owned()));

    // Into another store, with their revisions; and again, which changes nothing.
    let other = Folder::new();
    fs::copy(folder.path("out.ndjson"), other.path("in.ndjson")).unwrap();
    assert_eq!(other.import("in.ndjson").1["created"], 2500);
    assert_eq!(other.import("in.ndjson").1["unchanged"], 2500);
    assert!(other.run(&["widgets", "export"]).stdout == out.as_bytes());
    let audit = fs::read_to_string(other.path("data/audit.jsonl")).unwrap();
    assert_eq!(audit.lines().count(), 2500);
}

#[test]
fn a_file_with_faults_changes_nothing_and_tells_them_all() {
    let folder = Folder::new();
    let text = lines(11_000) + "{\"id\":\"x y\"}\n\n{\"id\":\"w00000\"}\nnonsense\n";
    fs::write(folder.path("in.ndjson"), text).unwrap();
    let ran = folder.run(&["widgets", "import", "in.ndjson"]);
    assert_eq!(ran.status.code(), Some(1));
    let out = String::from_utf8_lossy(&ran.stdout);
    let told: Vec<&str> = out.lines().collect();
    assert!(told[0].starts_with("in.ndjson: line 11001: /id: "), "{out}");
    assert!(told[1].starts_with("in.ndjson: line 11004: "), "{out}");
    assert!(told.last().unwrap().ends_with("; 2 errors, nothing was written"), "{out}");
    folder.has_no_store();
    assert_eq!(folder.widgets(), 0);

    // What may not follow the widgets in the store, or an earlier line.
    fs::write(folder.path("in.ndjson"), lines(20) + "{\"id\":\"w00000\"}\n").unwrap();
    let (fine, report) = folder.import("in.ndjson");
    assert!(!fine && folder.widgets() == 0, "{report}");
    assert_eq!(
        (&report["errors"][0]["line"], &report["errors"][0]["code"]),
        (&21.into(), &"would_open_widget".into())
    );
}

#[test]
fn standard_input_is_checked_before_anything_is_written() {
    let folder = Folder::new();
    fs::write(folder.path("in"), lines(10_000) + "{\"id\":\"late\"}\n{}\n{\"id\":\"later\"}\n").unwrap();
    let ran = Edge::command(folder.0.path())
        .args(["widgets", "import", "-"])
        .stdin(Stdio::from(fs::File::open(folder.path("in")).unwrap()))
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&ran.stdout);
    assert_eq!(ran.status.code(), Some(1), "{out}");
    assert!(out.contains("line 10002: missing field `id`") && out.contains("nothing was written"), "{out}");
    folder.has_no_store();
    assert_eq!(folder.widgets(), 0);
}

#[test]
fn a_wrong_name_makes_no_store() {
    let folder = Folder::new();
    let ran = folder.run(&["widgets", "import", "absent.ndjson"]);
    assert!(
        !ran.status.success() && String::from_utf8_lossy(&ran.stderr).contains("absent.ndjson"),
        "{ran:?}"
    );
    folder.has_no_store();
    // One without widgets that is imported all the same is a store.
    fs::write(folder.path("empty.ndjson"), "").unwrap();
    assert!(folder.import("empty.ndjson").0);
    assert!(folder.path("data/rules.redb").exists());
    // Another file with faults leaves it.
    fs::write(folder.path("in.ndjson"), "nonsense").unwrap();
    assert!(!folder.import("in.ndjson").0);
    assert!(folder.path("data/rules.redb").exists());
}

#[test]
fn an_import_that_was_interrupted_is_run_again() {
    let folder = Folder::new();
    fs::write(folder.path("in.ndjson"), lines(60_000)).unwrap();
    let store = folder.path("data/rules.redb");
    let mut import = Edge::command(folder.0.path()).args(["widgets", "import", "in.ndjson"]).spawn().unwrap();
    wait_for_growth(&store);
    import.kill().unwrap();
    import.wait().unwrap();
    let there = folder.widgets();
    assert!(there.is_multiple_of(10_000), "{there}: a chunk is in it by halves");
    let (fine, report) = folder.import("in.ndjson");
    assert!(fine, "{report}");
    assert_eq!((&report["created"], &report["unchanged"]), (&(60_000 - there).into(), &there.into()));
    assert_eq!(folder.widgets(), 60_000);
}

#[expect(clippy::disallowed_methods, reason = "a child process is watched, and nobody else waits")]
fn wait_for_growth(store: &Path) {
    let bytes = || fs::metadata(store).map_or(0, |metadata| metadata.len());
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while bytes() < 4 << 20 {
        assert!(std::time::Instant::now() < deadline, "the import wrote nothing");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}
