//! Imports into the store of a stopped edge.

use std::fs;
use std::process::{Output, Stdio};

use super::*;

struct Store(tempfile::TempDir);

impl Store {
    /// A store with all widgets as they are at first.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("conf")).unwrap();
        let config = "[edge]\npublic_origins = [\"http://edge.example\"]\n[upstreams.demo]\nbuiltin = true\n\
            [[routes]]\npath = \"/w/{widget}/loader.js\"\nclass = \"asset\"\nupstream = \"demo\"\n";
        fs::write(folder.path().join("conf/embedgate.toml"), config).unwrap();
        let store = Self(folder);
        assert_eq!(store.import(&whole(), &[]).0, Some(0));
        store
    }

    fn run(&self, arguments: &[&str], input: Option<&str>) -> Output {
        let mut command = Edge::command(self.0.path());
        if input.is_some() {
            command.stdin(fs::File::open(self.0.path().join("in")).unwrap());
        }
        command.args(arguments).stdout(Stdio::piped()).output().unwrap()
    }

    fn import(&self, lines: &str, more: &[&str]) -> (Option<i32>, Value) {
        fs::write(self.0.path().join("in"), lines).unwrap();
        let ran = self.run(&[&["--json", "widgets", "import", "in"], more].concat(), None);
        (ran.status.code(), serde_json::from_slice(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}")))
    }

    fn exported(&self) -> String {
        let ran = self.run(&["widgets", "export"], None);
        assert!(ran.status.success(), "{ran:?}");
        String::from_utf8(ran.stdout).unwrap()
    }
}

fn whole() -> String {
    (0..ALL).map(|number| format!("{}\n", base(number))).collect()
}

#[test]
fn an_import_of_many_is_held_until_it_is_confirmed() {
    let store = Store::new();
    for kind in kinds(2) {
        let (code, report) = store.import(&lines(kind, 90), &[]);
        let done = report["updated"].as_u64().unwrap() + report["deleted"].as_u64().unwrap();
        assert_eq!((code, done, report.get("wide_change")), (Some(0), 90, None), "{kind}: {report}");
        assert_eq!(store.import(&whole(), &["--confirm", "1000"]).0, Some(0));
        let before = store.exported();
        for touched in [110, ALL] {
            let few = (touched - 1).to_string();
            for more in [&[][..], &["--confirm", &few]] {
                let (code, report) = store.import(&lines(kind, touched), more);
                assert_eq!((code, &report["wide_change"]), (Some(1), &counts(kind, touched)), "{report}");
                assert_eq!((&report["updated"], &report["deleted"]), (&json!(0), &json!(0)), "{report}");
            }
        }
        assert!(store.exported() == before, "nothing half");
        let (code, report) = store.import(&lines(kind, ALL), &["--confirm", "1000"]);
        let done = report["updated"].as_u64().unwrap() + report["deleted"].as_u64().unwrap();
        assert_eq!((code, done), (Some(0), 1000), "{kind}: {report}");
        if kind != "deleted" {
            assert_eq!(store.import(&lines(kind, ALL), &[]).1["unchanged"], 1000, "once");
        }
        assert_eq!(store.import(&whole(), &["--confirm", "1000"]).0, Some(0));
    }
}

/// Standard input is no way around, and what can be read only once is no excuse.
#[test]
fn standard_input_is_checked_as_a_whole_too() {
    let store = Store::new();
    let before = store.exported();
    fs::write(store.0.path().join("in"), lines("disabled", 110)).unwrap();
    let ran = store.run(&["widgets", "import", "-"], Some("in"));
    let out = String::from_utf8_lossy(&ran.stdout);
    assert_eq!(ran.status.code(), Some(1), "{ran:?}");
    assert!(out.contains("would disable 110 of 1000 widgets, so nothing was written"), "{out}");
    assert!(out.ends_with("run it again with --confirm 110\n"), "{out}");
    assert!(store.exported() == before);
    let files: Vec<_> =
        fs::read_dir(store.0.path().join("data")).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files.len(), 2, "the copy is gone: {files:?}");

    let ran = store.run(&["widgets", "import", "-", "--confirm", "110"], Some("in"));
    assert!(ran.status.success(), "{ran:?}");
    let left = store.exported().matches("\"enabled\":false").count();
    assert_eq!(left, 110);
    // A fault is told before the brake.
    let faulty = lines("disabled", 300) + "{\"id\":\"x y\"}\n";
    let (code, report) = store.import(&faulty, &[]);
    assert_eq!((code, &report["faults"], report.get("wide_change")), (Some(1), &json!(1), None), "{report}");
}
