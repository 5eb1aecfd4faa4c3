//! The rules file is edited while requests run: each edit is in force within a second, each bad one changes
//! nothing, and nobody's request fails meanwhile.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::edge::{Edge, EdgeSpec, IN_FORCE};
use crate::support::upstream::Upstream;

/// Listed in every version of the rules: who asks from there is never to notice an edit.
const ALWAYS: &str = "https://always.example";

/// Requests that run while the rules are edited, over several kept-alive connections.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: JoinSet<Vec<String>>,
}

impl Load {
    fn start(edge: &Edge) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut clients = JoinSet::new();
        for path in ["loader.js", "session", "frame", "assets/app.css"] {
            let url = edge.url(&format!("/w/steady/{path}"));
            clients.spawn(ask_until(Arc::clone(&stop), Arc::clone(&answered), url));
        }
        Self { stop, answered, clients }
    }

    /// Waits until so many more requests were answered: an edit is to have some before and after it.
    async fn more(&self, requests: usize) {
        let until = self.answered.load(Ordering::Relaxed) + requests;
        crate::support::eventually("requests are answered", async || {
            self.answered.load(Ordering::Relaxed) >= until
        })
        .await;
    }

    /// Ends the load; there was one, and none of it failed.
    async fn end(self) {
        self.more(20).await;
        self.stop.store(true, Ordering::Relaxed);
        let failures = self.clients.join_all().await.concat();
        assert!(failures.is_empty(), "of {:?}: {failures:#?}", self.answered);
    }
}

/// One client. A page asks when the answer before is there.
async fn ask_until(stop: Arc<AtomicBool>, answered: Arc<AtomicUsize>, url: String) -> Vec<String> {
    let client = Client::new();
    let mut failures = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let answer = async {
            let answer = client.get(&url).header("origin", ALWAYS).send().await?;
            let status = answer.status();
            answer.bytes().await.map(|body| (status, body.len()))
        };
        match answer.await {
            Ok((status, bytes)) if status == 200 && bytes > 0 => {
                answered.fetch_add(1, Ordering::Relaxed);
            }
            other => failures.push(format!("{url}: {other:?}")),
        }
        // Leaves the machine some room for everybody else.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    failures
}

/// A version of the rules: the widget `w` admits `LISTED.example`.
fn rules(listed: &str) -> String {
    let widgets = json!([
        { "id": "steady", "allowed_domains": ["always.example"] },
        { "id": "w", "allowed_domains": [format!("{listed}.example")] },
    ]);
    json!({ "widgets": widgets }).to_string()
}

async fn status_for(edge: &Edge, listed: &str) -> u16 {
    let origin = format!("https://{listed}.example");
    let request = Client::new().get(edge.url("/w/w/loader.js")).header("origin", origin);
    request.send().await.unwrap().status().as_u16()
}

/// Makes an edit after which `w` admits `now` and no longer `before`, and holds that it is in force in time.
async fn edit(edge: &Edge, load: &Load, before: &str, now: &str, edit: impl FnOnce()) {
    load.more(10).await;
    assert_eq!((status_for(edge, before).await, status_for(edge, now).await), (200, 403));
    let since = Instant::now();
    edit();
    while (status_for(edge, before).await, status_for(edge, now).await) != (403, 200) {
        assert!(since.elapsed() < IN_FORCE, "{before} → {now} is not in force after {:?}", since.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = since.elapsed();
    assert!(took < IN_FORCE, "{before} → {now} took {took:?}");
}

/// An edge on an upstream, with the rules at a path of their own, absolute, or in its `conf/`.
async fn edge_on(upstream: &Upstream, path: Option<&Path>, text: String) -> Edge {
    let mut spec = EdgeSpec::on(upstream.addr, &json!([]));
    spec.rules = text;
    if let Some(path) = path {
        spec.more += &format!("[rules]\nsource = \"file\"\nfile = {{ path = \"{}\" }}\n", path.display());
    }
    Edge::start(spec).await
}

#[tokio::test]
async fn saves_in_place_and_by_rename_are_in_force_within_a_second() {
    let upstream = Upstream::start("app").await;
    let edge = edge_on(&upstream, None, rules("a")).await;
    let (load, file) = (Load::start(&edge), edge.rules());
    edit(&edge, &load, "a", "b", || fs::write(&file, rules("b")).unwrap()).await;
    let rename = |listed: &str| {
        fs::write(file.with_extension("tmp"), rules(listed)).unwrap();
        fs::rename(file.with_extension("tmp"), &file).unwrap();
    };
    edit(&edge, &load, "b", "c", || rename("c")).await;
    edit(&edge, &load, "c", "d", || rename("d")).await;
    // The renamed file is watched like the first.
    edit(&edge, &load, "d", "e", || fs::write(&file, rules("e")).unwrap()).await;
    load.end().await;
    assert_eq!(edge.metric("embedgate_rules_generation").await, 5.0);
    assert_eq!(edge.upstream_errors().await, [""; 0]);
}

#[tokio::test]
async fn a_link_swapped_as_kubernetes_does_is_in_force_within_a_second() {
    let mount = tempfile::tempdir().unwrap();
    let at = |path: &str| mount.path().join(path);
    let project = |version: &str| {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("widgets.json"), rules(version.trim_start_matches('.'))).unwrap();
    };
    project("..a");
    symlink("..a", at("..data")).unwrap();
    symlink("..data/widgets.json", at("widgets.json")).unwrap();

    let upstream = Upstream::start("app").await;
    let edge = edge_on(&upstream, Some(&at("widgets.json")), String::new()).await;
    let load = Load::start(&edge);
    for (before, now) in [("a", "b"), ("b", "c")] {
        edit(&edge, &load, before, now, || {
            project(&format!("..{now}"));
            symlink(format!("..{now}"), at("..data_tmp")).unwrap();
            fs::rename(at("..data_tmp"), at("..data")).unwrap();
            fs::remove_dir_all(at(&format!("..{before}"))).unwrap();
        })
        .await;
    }
    load.end().await;
    assert_eq!(edge.metric("embedgate_rules_generation").await, 3.0);
}

#[tokio::test]
async fn files_of_a_folder_come_change_and_go_within_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    let document = |listed: &str| json!({ "id": "w", "allowed_domains": [format!("{listed}.example")] });
    fs::write(at("steady.json"), r#"{"id": "steady", "allowed_domains": ["always.example"]}"#).unwrap();
    fs::write(at("w.json"), document("a").to_string()).unwrap();

    let upstream = Upstream::start("app").await;
    let edge = edge_on(&upstream, Some(folder.path()), String::new()).await;
    let load = Load::start(&edge);
    edit(&edge, &load, "a", "b", || fs::write(at("w.json"), document("b").to_string()).unwrap()).await;
    // The widget moves into another file; both at once would be an error, so the first goes with a rename.
    edit(&edge, &load, "b", "c", || {
        fs::write(at("w.json"), json!({ "widgets": [document("c")] }).to_string()).unwrap();
        fs::rename(at("w.json"), at("moved.json")).unwrap();
    })
    .await;
    edit(&edge, &load, "c", "d", || {
        fs::remove_file(at("moved.json")).unwrap();
        fs::write(at("new.json"), document("d").to_string()).unwrap();
    })
    .await;
    fs::remove_file(at("new.json")).unwrap();
    let since = Instant::now();
    while status_for(&edge, "d").await != 403 {
        assert!(since.elapsed() < IN_FORCE, "a widget whose file went is gone");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    load.end().await;
}

#[tokio::test]
async fn a_deleted_file_keeps_its_rules_until_it_is_back() {
    let upstream = Upstream::start("app").await;
    let edge = edge_on(&upstream, None, rules("a")).await;
    let (load, file) = (Load::start(&edge), edge.rules());
    assert_eq!(edge.metric("embedgate_rules_source_connected").await, 1.0);
    fs::remove_file(&file).unwrap();
    assert_eq!(refused(&edge, "unreadable", 0.0).await["code"], "unreadable");
    assert_eq!((status_for(&edge, "a").await, status_for(&edge, "b").await), (200, 403));
    assert_eq!(edge.metric("embedgate_rules_source_connected").await, 0.0);
    assert!(edge.metric("embedgate_rules_source_lag_seconds").await > 0.0);
    assert_eq!(edge.admin("/readyz").await.status(), 200, "it serves what it has");
    edit(&edge, &load, "a", "b", || fs::write(&file, rules("b")).unwrap()).await;
    assert_eq!(edge.metric("embedgate_rules_source_connected").await, 1.0);

    fs::remove_file(&file).unwrap();
    refused(&edge, "unreadable", 1.0).await;
    fs::write(&file, rules("b")).unwrap();
    mended(&edge).await;
    assert_eq!(edge.metric("embedgate_rules_generation").await, 2.0, "as it was");
    assert_eq!(edge.metric("embedgate_rules_source_lag_seconds").await, 0.0);
    load.end().await;
}

/// Good rules, a line each, so that faults have lines of their own.
const GOOD: &str = r#"{
  "widgets": [
    { "id": "steady", "allowed_domains": ["always.example"] },
    { "id": "w", "revision": 5,
      "allowed_domains": ["a.example", "*.b.example"] },
    { "id": "open" }
  ]
}
"#;

#[tokio::test]
async fn bad_edits_change_nothing_and_say_where_they_are_wrong() {
    let upstream = Upstream::start("app").await;
    let edge = edge_on(&upstream, None, GOOD.to_owned()).await;
    let load = Load::start(&edge);
    let with = |from: &str, to: &str| {
        assert_eq!(GOOD.matches(from).count(), 1);
        GOOD.replace(from, to)
    };
    let w = r#""allowed_domains": ["a.example", "*.b.example"]"#;
    let table = [
        ("torn", GOOD[..GOOD.len() / 2].to_owned(), "invalid_json", 4),
        ("empty", String::new(), "invalid_json", 1),
        ("an invalid entry", with("*.b.example", "*.co.uk"), "public_suffix", 5),
        ("an unknown field", with(r#""id": "open""#, r#""id": "open", "enable": false"#), "unknown_field", 6),
        (
            "an unknown field above",
            with("\"widgets\": [", "\"version\": 1,\n\"widgets\": ["),
            "unknown_field",
            2,
        ),
        ("an id twice", with(r#""id": "open""#, r#""id": "w", "revision": 6"#), "duplicate_widget", 6),
        ("an emptied list", with(r#"["always.example"]"#, "[]"), "would_open_widget", 3),
        ("an emptied list, newer", with("5,", "6,").replace(w, r#""labels": {}"#), "would_open_widget", 4),
        ("an older revision", with("5,", "4,").replace("a.example", "c.example"), "stale_revision", 4),
        ("another at the same revision", with("a.example", "c.example"), "stale_revision", 4),
        (
            "good and bad",
            with("5,", "6,").replace(r#"{ "id": "open" }"#, r#"{ "id": "o p" }"#),
            "invalid_id",
            6,
        ),
    ];
    let state = async || {
        let answers = [
            status_for(&edge, "a").await,
            status_for(&edge, "sub.b").await,
            status_for(&edge, "c").await,
            status_for(&edge, "uk").await,
        ];
        (answers, edge.metric("embedgate_rules_generation").await)
    };
    let before = state().await;
    assert_eq!(before, ([200, 200, 403, 403], 1.0));
    for (name, text, code, line) in table {
        let counter = format!("embedgate_rules_rejected_total{{code=\"{code}\",source=\"file\"}}");
        let (count, logged) = (edge.metric(&counter).await, edge.log().len());
        load.more(5).await;
        fs::write(edge.rules(), text).unwrap();

        let error = refused(&edge, code, count).await;
        let place = format!("conf/widgets.json:{line}:");
        assert_eq!(error["code"], code, "{name}: {error}");
        assert!(error["detail"].as_str().unwrap().contains(&place), "{name}: {error}");
        let log = edge.log();
        let told = log[logged..].lines().find(|line| line.contains(&place));
        assert!(told.is_some_and(|line| line.contains("WARN")), "{name}: {}", &log[logged..]);
        assert_eq!(state().await, before, "{name}");

        fs::write(edge.rules(), GOOD).unwrap();
        mended(&edge).await;
        assert_eq!(state().await, before, "{name}, mended");
        assert_eq!(edge.metric(&counter).await, count + 1.0, "{name} was counted once");
    }
    load.end().await;
}

/// Waits until the refusals with this code are one more than `count`; the error as the status tells it.
async fn refused(edge: &Edge, code: &str, count: f64) -> Value {
    let counter = format!("embedgate_rules_rejected_total{{code=\"{code}\",source=\"file\"}}");
    let since = Instant::now();
    while edge.metric(&counter).await != count + 1.0 {
        assert!(since.elapsed() < IN_FORCE, "no refusal for {code}; {}", last_error(edge).await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    last_error(edge).await
}

/// Waits until the status tells of no error.
async fn mended(edge: &Edge) {
    let since = Instant::now();
    while last_error(edge).await != Value::Null {
        assert!(since.elapsed() < IN_FORCE, "{}", last_error(edge).await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn last_error(edge: &Edge) -> Value {
    let status: Value = edge.admin("/v1/status").await.json().await.unwrap();
    status["rules"]["last_error"].clone()
}
