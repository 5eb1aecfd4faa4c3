//! Copies of the store: made while saves go on or while the edge is stopped, and put back.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use embedgate::rules::source::store::StoreFacts;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Desk, delete, open, put, save, source, start, suffixes};
use crate::support::disk::SmallDisk;
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::scale;

const STORE: &str = "data/rules.redb";

fn run(edge: &Edge, arguments: &[&str]) -> Output {
    Edge::command(edge.folder()).args(arguments).output().unwrap()
}

fn said(ran: &Output) -> String {
    [&*ran.stdout, &*ran.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

fn told(ran: &Output) -> Value {
    assert!(ran.status.success(), "{}", said(ran));
    serde_json::from_slice(&ran.stdout).unwrap()
}

#[test]
fn a_copy_is_of_one_instant_while_saves_go_on() {
    let desk = Desk::new();
    let publisher = desk.open();
    const WIDGETS: usize = 200;
    // Every batch writes its number to all of them.
    let batch = |number: usize| -> Vec<_> {
        let document = |n| format!(r#"{{"id":"w{n}","allowed_domains":["n{number}.example"]}}"#);
        (0..WIDGETS).map(|n| put(&document(n))).collect()
    };
    save(&publisher, batch(0)).unwrap();
    save(&publisher, vec![put(r#"{"id":"gone"}"#), delete("gone")]).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let saver = scope.spawn(|| {
            let mut saved = 0;
            for number in (1..).take_while(|_| !done.load(Ordering::Relaxed)) {
                save(&publisher, batch(number)).unwrap();
                saved += 1;
            }
            saved
        });
        for n in 0..scale(30) {
            let to = desk.0.path().join(format!("copy{n}.redb"));
            let before = publisher.live().load().generation();
            publisher.backup(&to).unwrap();
            let facts = StoreFacts::read(&to, suffixes()).unwrap();
            assert_eq!((facts.widgets, facts.bytes), (WIDGETS, fs::metadata(&to).unwrap().len()));
            assert!((before..=publisher.live().load().generation()).contains(&facts.generation));
            assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
            let copy = open(&to).unwrap();
            let documents = copy.documents().page(None, WIDGETS).unwrap();
            let entries: Vec<_> = documents.iter().map(|document| &document.allowed_domains).collect();
            assert!(entries.iter().all(|entry| *entry == entries[0]), "of two instants");
            assert_eq!(copy.live().load().tombstone("gone"), publisher.live().load().tombstone("gone"));
            // It takes saves as any store does.
            save(&copy, batch(1_000_000)).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        assert!(saver.join().unwrap() > 0);
    });
    let names: Vec<_> =
        fs::read_dir(desk.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().contains(".part")), "{names:?}");
}

#[test]
fn a_copy_that_cannot_be_written_leaves_nothing() {
    let desk = Desk::new();
    let publisher = desk.open();
    save(&publisher, vec![put(r#"{"id":"a"}"#)]).unwrap();
    let error = publisher.backup(&desk.0.path().join("absent/copy")).unwrap_err();
    assert!(error.to_string().contains("absent/copy") && error.code() == "unreadable", "{error}");
    fs::write(desk.0.path().join("there"), "as it was").unwrap();
    fs::create_dir(desk.0.path().join("there.part")).unwrap();
    publisher.backup(&desk.0.path().join("there")).unwrap_err();
    assert_eq!(fs::read_to_string(desk.0.path().join("there")).unwrap(), "as it was");
    save(&publisher, vec![put(r#"{"id":"b"}"#)]).unwrap();
}

/// An edge with these widgets that has ended.
async fn ended(ids: &[&str]) -> Edge {
    let mut edge = Edge::start(EdgeSpec::stored(&json!([]))).await;
    for id in ids {
        assert_eq!(edge.put(&json!({ "id": id, "allowed_domains": ["example.com"] })).await.0, 201);
    }
    stop(&mut edge).await;
    edge
}

async fn stop(edge: &mut Edge) {
    edge.signal("TERM");
    assert_eq!(edge.exit_code().await, Some(0));
}

async fn widgets(edge: &Edge) -> Vec<String> {
    let told: Value = edge.api(Method::GET, "/v1/widgets").send().await.unwrap().json().await.unwrap();
    let ids =
        told["widgets"].as_array().unwrap().iter().map(|widget| widget["id"].as_str().unwrap().to_owned());
    ids.collect()
}

fn kept(edge: &Edge) -> Vec<String> {
    let names = fs::read_dir(edge.folder().join("data")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let mut kept: Vec<String> = names.filter(|name| name.contains("rules.redb.before-restore-")).collect();
    kept.sort();
    kept
}

#[tokio::test]
async fn a_copy_is_put_back_whatever_state_the_store_is_in() {
    let mut edge = ended(&["a", "b"]).await;
    let made = told(&run(&edge, &["backup", "copy.redb", "--json"]));
    assert_eq!((&made["widgets"], &made["generation"], &made["from"]), (&json!(2), &json!(2), &json!(STORE)));
    assert_eq!(made["bytes"], fs::metadata(edge.folder().join("copy.redb")).unwrap().len());
    let copy = fs::read(edge.folder().join("copy.redb")).unwrap();
    edge.restart().await;
    assert_eq!(edge.put(&json!({ "id": "c", "access": "open" })).await.0, 201);
    assert_eq!(edge.put(&json!({ "id": "d", "access": "open" })).await.0, 201);
    stop(&mut edge).await;
    let store = edge.folder().join(STORE);
    fs::set_permissions(&store, fs::Permissions::from_mode(0o640)).unwrap();
    let newest = fs::read(&store).unwrap();

    let ran = run(&edge, &["restore", "copy.redb"]);
    let text = said(&ran);
    assert!(ran.status.success(), "{text}");
    for part in [
        "data/rules.redb: has 2 widgets of copy.redb now, generation 2\n",
        "the store that was there is kept in ",
        "changes 3 to 4 of data/audit.jsonl are not in it: whoever writes rules has to make them again\n",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(fs::read(edge.folder().join("copy.redb")).unwrap(), copy, "the copy stays as it is");
    assert_eq!(fs::read(edge.folder().join("data").join(&kept(&edge)[0])).unwrap(), newest);
    assert_eq!(fs::metadata(&store).unwrap().permissions().mode() & 0o777, 0o640);

    // `check` and the start say what is missing, until something is saved.
    let warning = "data/rules.redb: changes 3 to 4 of data/audit.jsonl are not in the store: the store is an older copy";
    let ran = run(&edge, &["check"]);
    assert!(ran.status.success() && said(&ran).contains(&format!("warning: {warning}")), "{}", said(&ran));
    edge.restart().await;
    assert!(edge.log().contains(warning), "{}", edge.log());
    assert_eq!(widgets(&edge).await, ["a", "b"]);
    assert_eq!(edge.put(&json!({ "id": "e", "access": "open" })).await.0, 201);
    stop(&mut edge).await;
    assert!(!said(&run(&edge, &["check"])).contains("warning: data/rules.redb"));

    // A damaged one, one that is no store at all, and none.
    for (n, damage) in [Some(&newest[..newest.len() / 2]), Some(b"{}"), None].into_iter().enumerate() {
        match damage {
            Some(damage) => fs::write(&store, damage).unwrap(),
            None => fs::remove_file(&store).unwrap(),
        }
        let restored = told(&run(&edge, &["restore", "copy.redb", "--json"]));
        assert_eq!((&restored["store"], &restored["widgets"]), (&json!(STORE), &json!(2)));
        match damage {
            Some(damage) => {
                let kept = restored["kept"].as_str().unwrap();
                assert_eq!(fs::read(edge.folder().join(kept)).unwrap(), damage);
            }
            None => assert_eq!(restored["kept"], Value::Null),
        }
        assert_eq!(kept(&edge).len(), 2 + n.min(1), "several within a second have names of their own");
        edge.restart().await;
        assert_eq!(widgets(&edge).await, ["a", "b"]);
        stop(&mut edge).await;
    }
}

#[tokio::test]
async fn a_restored_store_belongs_to_whoever_runs_the_edge() {
    let edge = ended(&["a"]).await;
    told(&run(&edge, &["backup", "copy.redb", "--json"]));
    let store = edge.folder().join(STORE);
    let owner = |path: &Path| fs::metadata(path).map(|found| (found.uid(), found.gid())).unwrap();
    std::os::unix::fs::chown(&store, Some(1234), Some(1235)).unwrap();
    told(&run(&edge, &["restore", "copy.redb", "--json"]));
    assert_eq!(owner(&store), (1234, 1235));
    fs::remove_file(&store).unwrap();
    std::os::unix::fs::chown(edge.folder().join("data"), Some(1236), Some(1237)).unwrap();
    told(&run(&edge, &["restore", "copy.redb", "--json"]));
    assert_eq!(owner(&store), (1236, 1237));
}

#[tokio::test]
async fn what_cannot_be_put_back_changes_nothing() {
    let edge = ended(&["a", "b"]).await;
    told(&run(&edge, &["backup", "copy.redb", "--json"]));
    let at = |name: &str| edge.folder().join(name);
    let (copy, store) = (fs::read(at("copy.redb")).unwrap(), fs::read(at(STORE)).unwrap());
    fs::write(at("text"), "{}").unwrap();
    fs::write(at("cut"), &copy[..copy.len() / 2]).unwrap();
    // The page with the documents.
    let mut holed = copy.clone();
    let site = copy.windows(11).position(|bytes| bytes == b"example.com").unwrap();
    holed[site / 4096 * 4096..][..4096].fill(0);
    fs::write(at("holed"), holed).unwrap();
    fs::hard_link(at(STORE), at("linked")).unwrap();
    for (file, says) in [
        ("absent", "absent: No such file"),
        ("data", "data: this can't be put back, and the store is as it was: it is no file"),
        (STORE, "data/rules.redb: this is the store itself"),
        ("linked", "linked: this is the store itself"),
        ("text", "text: this can't be put back, and the store is as it was: it is damaged"),
        ("cut", "cut: this can't be put back, and the store is as it was: it is damaged"),
        ("holed", "2 of its 2 widgets can't be read: a, b"),
    ] {
        let ran = run(&edge, &["restore", file]);
        let said = said(&ran);
        assert!(ran.status.code() == Some(1) && said.contains(says), "{file}: {said}");
        assert!(!said.contains("panicked") && !said.contains(".restoring"), "{file}: {said}");
        assert_eq!(fs::read(at(STORE)).unwrap(), store, "{file}");
        assert!(kept(&edge).is_empty() && !at("data/rules.redb.restoring").exists(), "{file}");
    }
    let ran = run(&edge, &["backup", "linked"]);
    assert!(said(&ran).contains("linked: this is the store itself"), "{}", said(&ran));
    // Nor is one written over what the edge needs, whoever sends it: nobody is asked here.
    fs::copy(at("conf/embedgate.toml"), at("store.part")).unwrap();
    let config = at("store.part").display().to_string();
    let toward_nats = "\n[rules.nats]\ntls = { ca = \"ca.pem\", cert = \"nats.pem\", key = \"nats.key\" }\n\
                       credentials = \"nats.creds\"\n";
    let with_nats = fs::read_to_string(at("conf/embedgate.toml")).unwrap() + toward_nats;
    fs::write(at("nats.toml"), with_nats).unwrap();
    let with_nats = at("nats.toml").display().to_string();
    let elsewhere = ["--admin", "http://127.0.0.1:1"];
    for (command, file, says) in [
        (&["backup"][..], STORE, "the store itself"),
        (&["backup"], "linked", "the store itself"),
        (&["backup"], "data/audit.jsonl", "the audit log"),
        (&["backup"], "data/admin.tokens", "the token file"),
        (&["backup", "--config", &config], "store", "the configuration"),
        (&["backup", "--config", &with_nats], "ca.pem", "a file of the connection to NATS"),
        (&["backup", "--config", &with_nats], "nats.pem", "a file of the connection to NATS"),
        (&["backup", "--config", &with_nats], "nats.key", "a file of the connection to NATS"),
        (&["widgets", "export", "--config", &with_nats], "nats.creds", "a file of the connection to NATS"),
        (&["backup"], "data/fleet.redb", "this edge's copy of its fleet's rules"),
        (&["widgets", "export"], STORE, "the store itself"),
        (&["widgets", "export"], "./data/../data/audit.jsonl", "the audit log"),
        (&["widgets", "export"], "conf/embedgate.toml", "the configuration"),
        (&["widgets", "export", "--config", &config], "store", "the configuration"),
    ] {
        for more in [&elsewhere[..], &[]] {
            let ran = run(&edge, &[command, &[file], more].concat());
            let said = said(&ran);
            let says = format!("this is {says}; name another file");
            assert!(ran.status.code() == Some(1) && said.contains(&says), "{command:?} {file}: {said}");
        }
    }
    let ran = run(&edge, &["backup", "data"]);
    assert!(ran.status.code() == Some(1) && said(&ran).contains("data: is a directory"), "{}", said(&ran));
    assert_eq!(run(&edge, &["restore"]).status.code(), Some(2));
    assert_eq!(fs::read(at(STORE)).unwrap(), store);
    // A link to nowhere stays one: the disk that it leads to may be missing.
    fs::remove_file(at(STORE)).unwrap();
    symlink("absent/rules.redb", at(STORE)).unwrap();
    let ran = run(&edge, &["restore", "copy.redb"]);
    let said = said(&ran);
    assert!(ran.status.code() == Some(1) && said.contains("a link to a file that is not there"), "{said}");
    assert!(fs::symlink_metadata(at(STORE)).unwrap().is_symlink());
}

#[test]
fn a_copy_that_has_no_room_says_so_and_is_gone() {
    let desk = Desk::new();
    let publisher = desk.open();
    save(&publisher, vec![put(r#"{"id":"a"}"#)]).unwrap();
    let disk = SmallDisk::mount("16k");
    let error = publisher.backup(&disk.at("copy")).unwrap_err();
    assert_eq!(error.code(), "storage_full", "{error}");
    assert!(
        error.to_string().ends_with("(os error 28)") && error.to_string().contains("copy: no room"),
        "{error}"
    );
    assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 0);
    save(&publisher, vec![put(r#"{"id":"b"}"#)]).unwrap();
}

#[test]
fn a_copy_takes_its_name_once_it_is_read_and_leaves_what_is_beside_it() {
    let desk = Desk::new();
    save(&desk.open(), vec![put(r#"{"id":"a"}"#)]).unwrap();
    let beside = desk.0.path().join("copy.new");
    fs::write(&beside, "somebody's own").unwrap();
    let to = desk.0.path().join("copy");
    let facts = source(&desk.store()).backup(suffixes(), &to).unwrap();
    assert_eq!(StoreFacts::read(&to, suffixes()).unwrap(), facts);
    assert_eq!(fs::read_to_string(&beside).unwrap(), "somebody's own");
    let mut names: Vec<_> =
        fs::read_dir(desk.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["copy", "copy.new", "rules.redb"]);
    // A store that can't be read leaves the copy of before.
    let copy = fs::read(&to).unwrap();
    fs::write(desk.store(), "{}").unwrap();
    source(&desk.store()).backup(suffixes(), &to).unwrap_err();
    assert_eq!(fs::read(&to).unwrap(), copy);
}

#[tokio::test]
async fn nothing_is_put_back_under_a_running_edge() {
    let mut edge = ended(&["a"]).await;
    told(&run(&edge, &["backup", "copy.redb", "--json"]));
    edge.restart().await;
    let refused = |edge: &Edge| {
        let ran = run(edge, &["restore", "copy.redb"]);
        assert_eq!(ran.status.code(), Some(1), "{}", said(&ran));
        said(&ran)
    };
    assert!(refused(&edge).contains("an edge is running here"));
    // Although somebody has removed its store.
    fs::remove_file(edge.folder().join(STORE)).unwrap();
    assert!(refused(&edge).contains("an edge is running here"));
    assert!(!edge.folder().join(STORE).exists());
}

#[tokio::test]
async fn rules_from_files_have_no_store() {
    let edge = Edge::start(EdgeSpec::default()).await;
    for command in ["backup", "restore"] {
        let ran = run(&edge, &[command, "copy.redb"]);
        let says = "rules come from conf/widgets.json here, and there is no store; copy that instead";
        assert!(ran.status.code() == Some(1) && said(&ran).contains(says), "{}", said(&ran));
    }
}

/// Answers one call with these bytes, of which the head promises so many.
fn answer(status: &'static str, body: Vec<u8>, promised: usize) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let fields = "content-type: application/octet-stream\r\nconnection: close";
        write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {promised}\r\n{fields}\r\n\r\n").unwrap();
        let _ = stream.write_all(&body);
        String::from_utf8(head).unwrap()
    });
    (url, served)
}

#[test]
fn only_a_whole_store_is_taken_from_an_edge() {
    let desk = Desk::new();
    let publisher = start(&desk.store()).unwrap();
    save(&publisher, vec![put(r#"{"id":"a"}"#), put(r#"{"id":"b"}"#)]).unwrap();
    let sent = desk.0.path().join("sent");
    publisher.backup(&sent).unwrap();
    let sent = fs::read(sent).unwrap();
    let token = desk.0.path().join("token");
    fs::write(&token, "read 0123456789abcdef0123456789abcdef\n").unwrap();
    let backup = |url: &str| {
        let mut command = Edge::command(desk.0.path());
        command.args(["backup", "copy.redb", "--json", "--admin", url, "--token-file"]).arg(&token);
        command.output().unwrap()
    };
    let problem = br#"{"code":"forbidden","detail":"this token may not"}"#.to_vec();
    let cases = [
        ("200 OK", sent[..sent.len() / 2].to_vec(), sent.len(), 3, "broke off"),
        (
            "200 OK",
            sent[..sent.len() / 2].to_vec(),
            sent.len() / 2,
            1,
            "what the edge has sent is no whole store",
        ),
        ("200 OK", b"<html>".to_vec(), 6, 1, "what the edge has sent is no whole store"),
        ("403 Forbidden", problem.clone(), problem.len(), 3, "forbidden: this token may not"),
        ("404 Not Found", Vec::new(), 0, 3, "the answer is 404"),
    ];
    fs::write(desk.0.path().join("copy.redb"), "an earlier one").unwrap();
    for (status, body, promised, code, says) in cases {
        let (url, served) = answer(status, body, promised);
        let ran = backup(&url);
        served.join().unwrap();
        assert!(ran.status.code() == Some(code) && said(&ran).contains(says), "{status}: {}", said(&ran));
        assert_eq!(fs::read_to_string(desk.0.path().join("copy.redb")).unwrap(), "an earlier one");
        assert!(!desk.0.path().join("copy.redb.part").exists());
    }
    let (url, served) = answer("200 OK", sent.clone(), sent.len());
    let made = told(&backup(&url));
    let head = served.join().unwrap();
    assert!(head.starts_with("GET /v1/backup HTTP/1.1\r\n"), "{head}");
    assert_eq!((&made["widgets"], &made["from"]), (&json!(2), &json!(url)));
    assert_eq!(fs::metadata(desk.0.path().join("copy.redb")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(backup("http://127.0.0.1:1").status.code(), Some(3));
    // The disk that is full is the one here.
    let disk = SmallDisk::mount("64k");
    let (url, served) = answer("200 OK", sent.clone(), sent.len());
    let mut command = Edge::command(desk.0.path());
    command.arg("backup").arg(disk.at("copy.redb")).args(["--admin", &url, "--token-file"]).arg(&token);
    let ran = command.output().unwrap();
    served.join().unwrap();
    let says = "copy.redb: No space left on device";
    assert!(ran.status.code() == Some(1) && said(&ran).contains(says), "{}", said(&ran));
    assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 0);
}
