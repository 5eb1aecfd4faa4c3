//! Headers as others grade them: the edge's answers, by the analysers of MDN's HTTP Observatory and by Google's CSP
//! evaluator (`tests/headers`). What they find is mended, or the reason why it stays is in `expected.rs`.

mod expected;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use expected::Graded;
use serde_json::{Value, json};

use crate::support::edge::{Edge, EdgeSpec, usual_routes};
use crate::support::raw::{Answer, Connection};
use crate::support::tls::EdgeTls;
use crate::support::upstream::Scripted;

const HOST: &str = "chat.example";
const STRANGER: &str = "https://stranger.example";
const BARE: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 15\r\n\r\n<!doctype html>";

#[tokio::test]
async fn the_graders_find_nothing_without_a_reason() {
    let upstream = Scripted::answering(BARE).await;
    let widgets = json!([
        { "id": "listed", "allowed_domains": ["example.com"] },
        { "id": "voice", "allowed_domains": ["example.com"], "capabilities": ["chat", "voice"] },
        { "id": "http", "allowed_domains": ["example.com", "http://plain.example"] },
        { "id": "open", "access": "open" },
    ]);
    let tls = EdgeTls::of(HOST);
    let mut spec = EdgeSpec { upstream: "demo".to_owned(), ..EdgeSpec::on(upstream.addr, &widgets) };
    spec.edge = "redirect_http = true\n".to_owned();
    tls.add_to(&mut spec);
    spec.public_origins = Some(format!("[\"https://{HOST}\"]"));
    let bare = [("bare", "frame"), ("bare-policy", "public")].map(|(path, class)| {
        format!("[[routes]]\npath = \"/w/{{widget}}/{path}\"\nclass = \"{class}\"\nupstream = \"app\"\n")
    });
    spec.routes = Some([usual_routes("demo"), bare.concat()].concat());
    let edge = Edge::start(spec).await;

    let mut given = Vec::new();
    for graded in expected::answers() {
        let (get, preflight) = (request("GET", graded.path, graded.fields), preflight(graded.path));
        let mut secure = Connection::over(tls.http1().await);
        let answer = secure.ask(&get).await;
        assert_eq!(answer.status, graded.status, "{}: {answer:?}", graded.name);
        let asked = secure.ask(&preflight).await;
        let plain = Connection::open(edge.http).await.ask(&get).await;
        given.push(json!({
            "name": graded.name,
            "url": format!("https://{HOST}{}", graded.path),
            "status": answer.status,
            "fields": fields(&answer),
            "body": answer.body,
            "plain": { "status": plain.status, "location": plain.fields.get("location") },
            "asked": { "origin": STRANGER, "fields": fields(&asked) },
        }));
    }
    let told = tokio::task::spawn_blocking(move || grade(&Value::from(given))).await.unwrap();
    let faults: Vec<String> =
        expected::answers().iter().flat_map(|graded| differences(graded, &told)).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Where the graders say something else of an answer than is expected.
fn differences(graded: &Graded, told: &Value) -> Vec<String> {
    let told = &told[graded.name];
    let found = told["findings"].as_array().unwrap().iter().filter_map(Value::as_str);
    let found: BTreeSet<&str> = found.collect();
    let mut faults: Vec<String> = Vec::new();
    let mut say = |what: String| faults.push(format!("{}: {what}", graded.name));
    if told["grade"] != graded.grade {
        say(format!("grade {}, not {}", told["grade"], graded.grade));
    }
    for (finding, why) in &graded.findings {
        if !found.contains(finding) {
            say(format!("no longer found: {finding}, which stayed because {why}"));
        }
    }
    for new in found.iter().filter(|new| graded.findings.iter().all(|(known, _)| known != *new)) {
        say(format!("to be mended, or given a reason: {new}"));
    }
    faults
}

fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> String {
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{method} {path} HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n")
}

/// What the Observatory asks a site about CORS.
fn preflight(path: &str) -> String {
    request("OPTIONS", path, &[("Origin", STRANGER), ("Access-Control-Request-Method", "GET")])
}

fn fields(answer: &Answer) -> Vec<(&str, &str)> {
    answer
        .fields
        .iter()
        .flat_map(|(name, lines)| lines.lines().map(move |line| (name.as_str(), line)))
        .collect()
}

/// The graders' word on these answers.
fn grade(answers: &Value) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/headers/grade.mjs");
    let mut node = Command::new("node")
        .arg(script)
        .arg(graders())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("node: {error}: see `make setup-tests`"));
    node.stdin.take().unwrap().write_all(answers.to_string().as_bytes()).unwrap();
    let ran = node.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "no grades (`make setup-tests` installs the graders):\n{errors}");
    serde_json::from_slice(&ran.stdout).unwrap()
}

/// The folder that `make setup-tests` installs them into, or one of this target folder's own.
pub fn graders() -> PathBuf {
    if let Some(installed) = std::env::var_os("EMBEDGATE_HEADER_GRADERS") {
        return installed.into();
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("headers");
    let wanted = std::fs::read("tests/headers/package-lock.json").unwrap();
    let installed = folder.join("installed.json");
    if std::fs::read(&installed).is_ok_and(|installed| installed == wanted) {
        return folder;
    }
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["package.json", "package-lock.json"] {
        std::fs::copy(Path::new("tests/headers").join(name), folder.join(name)).unwrap();
    }
    let ran = Command::new("npm")
        .args(["ci", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", "--loglevel=error"])
        .current_dir(&folder)
        .output()
        .unwrap_or_else(|error| panic!("npm: {error}: see `make setup-tests`"));
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    std::fs::write(installed, wanted).unwrap();
    folder
}
