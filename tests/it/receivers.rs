//! The receivers of the page on notifications, taken out of it and run against a real edge, with the published libraries of
//! Standard Webhooks.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::clients::{installed, run};
use crate::support::edge::{Edge, EdgeSpec, write_tokens};
use crate::support::{LONG, eventually, in_time, ports};

const PAGE: &str = "docs/notifications.md";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A block of the page in this language.
fn block(language: &str) -> String {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let fence = format!("```{language}\n");
    let mut blocks = page.split(&fence).skip(1);
    let block = blocks.next().unwrap().split_once("```").unwrap().0.to_owned();
    assert!(blocks.next().is_none(), "one block in {language}");
    block
}

#[tokio::test]
async fn the_receiver_in_python_takes_what_is_signed_and_nothing_else() {
    let work = tempfile::tempdir().unwrap();
    std::fs::write(work.path().join("receiver.py"), block("python")).unwrap();
    let mut program = Command::new(installed("python").join("bin/python"));
    program.arg("receiver.py");
    try_receiver(Receiver::start(program, work).await).await;
}

#[tokio::test]
async fn the_receiver_in_typescript_takes_what_is_signed_and_nothing_else() {
    let work = tempfile::tempdir().unwrap();
    let modules = installed("typescript").join("node_modules");
    std::os::unix::fs::symlink(&modules, work.path().join("node_modules")).unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/receivers/typescript");
    for name in ["package.json", "tsconfig.json"] {
        std::fs::copy(data.join(name), work.path().join(name)).unwrap();
    }
    std::fs::write(work.path().join("receiver.ts"), block("ts")).unwrap();
    run(&mut Command::new(modules.join(".bin/tsc")), work.path(), |_| {}).await;
    let mut program = Command::new("node");
    program.arg("out/receiver.js");
    try_receiver(Receiver::start(program, work).await).await;
}

/// What the page shows as a signed notification is one.
#[tokio::test]
async fn the_example_of_the_page_is_signed_as_it_says() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let example = block("http");
    let (head, body) = example.trim_end().split_once("\n\n").unwrap();
    let field =
        |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap();
    assert!(page.contains(SECRET));
    let work = tempfile::tempdir().unwrap();
    let program = format!(
        "import datetime, sys\nfrom standardwebhooks import Webhook\nat = datetime.datetime.fromtimestamp({}, \
         datetime.timezone.utc)\nprint(Webhook('{SECRET}').sign('{}', at, sys.argv[1]))",
        field("webhook-timestamp"),
        field("webhook-id"),
    );
    let said = run(&mut Command::new(installed("python").join("bin/python")), work.path(), |python| {
        python.args(["-c", &program, body]);
    })
    .await;
    assert_eq!(said.trim(), field("webhook-signature"));
}

/// Sends it what an edge tells, then the same again and changed.
async fn try_receiver(receiver: Receiver) {
    let relay = Relay::start(receiver.addr).await;
    let secrets = tempfile::tempdir().unwrap();
    let secret = secrets.path().join("notify.secret");
    write_tokens(&secret, &format!("{SECRET}\n"));
    let widget = json!({ "id": "w", "allowed_domains": ["a.example"] });
    let mut spec = EdgeSpec::stored(&json!([widget]));
    spec.more =
        format!("[notify]\nurl = \"http://{}/hooks\"\nsecret_file = \"{}\"\n", relay.addr, secret.display());
    let edge = Edge::start(spec).await;

    let asked = edge.api(Method::POST, "/v1/notifications/test").send().await.unwrap();
    assert!(asked.status().is_success(), "{asked:?}");
    eventually("the test is there", async || receiver.said("test ") == 1).await;
    let changed = json!({ "id": "w", "allowed_domains": ["b.example"] });
    assert_eq!(edge.put(&changed).await.0, 200);
    eventually("the change is there", async || receiver.said("rules.changed ") == 1).await;
    assert!(receiver.output().contains("token:"), "who has changed it: {}", receiver.output());

    let delivered = relay.delivered();
    assert!(delivered.iter().all(|(delivery, status)| {
        *status == 204 && serde_json::from_slice::<Value>(&delivery.body).unwrap()["type"].is_string()
    }));
    let (test, _) = &delivered[0];
    // As another edge would, or the same after a restart.
    assert_eq!(relay.send(test).await, 204);
    assert_eq!(receiver.said("test "), 1, "it is handled once: {}", receiver.output());

    let mut other_body = test.clone();
    other_body.body = String::from_utf8(test.body.to_vec()).unwrap().replace("\"test\"", "\"tesd\"").into();
    assert_ne!(other_body.body, test.body);
    let with = |name: &'static str, value: &str| {
        let mut changed = test.clone();
        assert!(changed.headers.insert(name, value.parse().unwrap()).is_some(), "{name}");
        changed
    };
    for (what, forged) in [
        ("another body", other_body),
        ("another id", with("webhook-id", "msg_other")),
        ("another time", with("webhook-timestamp", "1")),
        ("no signature of this version", with("webhook-signature", "v2,c2lnbmVk")),
    ] {
        assert_eq!(relay.send(&forged).await, 401, "{what}");
    }
    assert_eq!(receiver.output().lines().count(), 2, "{}", receiver.output());
}

/// A running receiver; it ends when this is dropped.
struct Receiver {
    addr: SocketAddr,
    work: TempDir,
    process: Child,
}

impl Receiver {
    async fn start(mut program: Command, work: TempDir) -> Self {
        let addr = ports::free();
        let file = |name| Stdio::from(File::create(work.path().join(name)).unwrap());
        program
            .current_dir(work.path())
            .stdin(Stdio::null())
            .stdout(file("said.out"))
            .stderr(file("said.err"));
        program.env("PORT", addr.port().to_string()).env("WEBHOOK_SECRET", SECRET);
        let process = program.spawn().unwrap_or_else(|error| panic!("{error}: see `make setup-tests`"));
        let receiver = Self { addr, work, process };
        in_time("the receiver listens", LONG, async || TcpStream::connect(addr).await.is_ok()).await;
        receiver
    }

    fn output(&self) -> String {
        std::fs::read_to_string(self.work.path().join("said.out")).unwrap()
    }

    /// How many lines begin like this.
    fn said(&self, beginning: &str) -> usize {
        self.output().lines().filter(|line| line.starts_with(beginning)).count()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let errors = std::fs::read_to_string(self.work.path().join("said.err")).unwrap_or_default();
            eprintln!("the receiver's output and errors:\n{}\n{errors}", self.output());
        }
    }
}

/// Delivery, as it came.
#[derive(Clone)]
struct Delivery {
    headers: HeaderMap,
    body: Bytes,
}

/// What passes every delivery on, and remembers it with the status that it got; it ends when this is dropped.
struct Relay {
    addr: SocketAddr,
    shared: Shared,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Shared {
    receiver: SocketAddr,
    delivered: Arc<Mutex<Vec<(Delivery, u16)>>>,
}

impl Relay {
    async fn start(receiver: SocketAddr) -> Self {
        let addr = ports::free();
        let listener = TcpListener::bind(addr).await.unwrap();
        let shared = Shared { receiver, delivered: Arc::default() };
        let router = Router::new().fallback(pass_on).with_state(shared.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { addr, shared, task }
    }

    fn delivered(&self) -> Vec<(Delivery, u16)> {
        self.shared.delivered.lock().clone()
    }

    async fn send(&self, delivery: &Delivery) -> u16 {
        send(self.shared.receiver, delivery).await
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass_on(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let delivery = Delivery { headers, body };
    let status = send(shared.receiver, &delivery).await;
    shared.delivered.lock().push((delivery, status));
    StatusCode::from_u16(status).unwrap()
}

async fn send(receiver: SocketAddr, delivery: &Delivery) -> u16 {
    let mut headers = delivery.headers.clone();
    // The client writes its own.
    for name in ["host", "content-length", "connection"] {
        headers.remove(name);
    }
    let asked = reqwest::Client::new().post(format!("http://{receiver}/hooks")).headers(headers);
    asked.body(delivery.body.clone()).send().await.unwrap().status().as_u16()
}
