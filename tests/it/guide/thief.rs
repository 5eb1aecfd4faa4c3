//! A thief's day, as the guide on limits tells it: a tag that was copied to a forgotten subdomain, from the first request to
//! the last participant that is removed from the media server.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Json;
use axum::http::StatusCode;
use axum::routing::post;
use parking_lot::Mutex;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::support::edge::{Edge, EdgeSpec, usual_routes};
use crate::support::websocket::{Socket, SocketUpstream, closed, exchange, hears_itself, open};
use crate::support::{eventually, ports};

const SHOP: &str = "https://shop.example";
const THIEF: &str = "https://forgotten.shop.example";
/// Opens that each site has in a minute.
const BUDGET: usize = 10;

#[tokio::test]
async fn a_thiefs_day() {
    let vendor = Vendor::start().await;
    let upstream = media_upstream(Arc::clone(&vendor.room)).await;
    let document = |domains: &[&str]| {
        json!({
            "id": "w", "allowed_domains": domains, "capabilities": ["voice"],
            "limits": { "embedder": { "opens_per_minute": BUDGET }, "address": { "sessions": 100 } },
        })
    };
    let mut spec =
        EdgeSpec { source: "store", ..EdgeSpec::on(upstream.addr, &json!([document(&["shop.example"])])) };
    spec.more.push_str(&format!("[notify]\nurl = \"http://{}/hooks\"\n", vendor.addr));
    spec.routes = Some(format!(
        "{}[[routes]]\npath = \"/w/{{widget}}/token\"\nclass = \"session\"\nupstream = \"app\"\nopens = true\n",
        usual_routes("app")
    ));
    let edge = Edge::start(spec).await;
    let mut day = Day { begun: Instant::now(), last: Instant::now() };

    // The owner lists every subdomain, and forgets one that somebody else can write to.
    assert_eq!(edge.put(&document(&["shop.example", "*.shop.example"])).await.0, 200);
    let mut honest = session(&edge, SHOP).await;
    assert_eq!(token(&edge, SHOP).await.0, 200);
    vendor.hears("rules.changed", |_| true).await;
    day.step("the widget is listed with a wildcard, and the shop's visitor talks");

    let loader = reqwest::Client::new().get(edge.url("/w/w/loader.js")).header("origin", THIEF);
    assert_eq!(loader.send().await.unwrap().status(), 200);
    let mut stolen = session(&edge, THIEF).await;
    day.step("the copied tag is let in on a host that nobody thought of");
    let seen = vendor.hears("embedder.first_seen", |data| data["embedder"] == THIEF).await;
    assert_eq!((&seen["widget"], &seen["entry"]), (&json!("w"), &json!("*.shop.example")));
    day.step("the owner is told of the new host");

    // The WebSocket was the first open of its minute.
    for _ in 1..BUDGET {
        assert_eq!(token(&edge, THIEF).await.0, 200);
    }
    let (status, refused) = token(&edge, THIEF).await;
    assert_eq!((status, &refused["code"]), (429, &json!("limit_opens")), "{refused}");
    let reached = vendor.hears("limit.reached", |_| true).await;
    assert_eq!(
        (&reached["part"], &reached["kind"], &reached["limit"], &reached["embedder"]),
        (&json!("embedder"), &json!("opens_per_minute"), &json!(BUDGET), &json!(THIEF))
    );
    assert_eq!(token(&edge, SHOP).await.0, 200, "the shop's own budget is untouched");
    assert_eq!(vendor.participants(), BUDGET + 1, "nothing beyond the budget has reached the media server");
    day.step("the budget is spent; the owner is told, and the shop goes on");

    assert_eq!(edge.put(&document(&["shop.example"])).await.0, 200);
    day.step("the owner takes the wildcard off the list");
    assert_eq!(closed(&mut stolen).await, (1008, "origin no longer allowed".to_owned()));
    day.step("the thief's session is cut");
    eventually("the media server has removed the thief", async || vendor.participants() == 2).await;
    let revoked = vendor.hears("session.revoked", |_| true).await;
    assert_eq!((&revoked["embedder"], &revoked["reason"]), (&json!(THIEF), &json!("not_listed")));
    day.step("the media server has removed the thief's participants");

    assert_eq!(token(&edge, THIEF).await.0, 403);
    let denied = vendor.hears("embedder.first_denied", |data| data["embedder"] == THIEF).await;
    assert_eq!(denied["reason"], "not_listed");
    exchange(&mut honest, "still here").await;
    assert_eq!(token(&edge, SHOP).await.0, 200);
    day.step("the copied tag is denied, and the shop's visitor still talks");
}

/// Times of a day's steps, printed.
struct Day {
    begun: Instant,
    last: Instant,
}

impl Day {
    fn step(&mut self, what: &str) {
        let now = Instant::now();
        let (since, took) = (now - self.begun, now - self.last);
        eprintln!("{:7.1} ms ({:6.1} ms): {what}", since.as_secs_f64() * 1e3, took.as_secs_f64() * 1e3);
        self.last = now;
    }
}

async fn session(edge: &Edge, origin: &str) -> Socket {
    let (mut socket, _) = open(edge.http, "/w/w/session", origin).await.unwrap();
    hears_itself(&mut socket).await;
    socket
}

/// Asks for a room token, as the widget on a page does.
async fn token(edge: &Edge, origin: &str) -> (u16, Value) {
    let asked = reqwest::Client::new().request(Method::POST, edge.url("/w/w/token")).header("origin", origin);
    let answer = asked.send().await.unwrap();
    assert!(answer.headers().get("x-widget-session").is_none(), "the browser learns nothing of it");
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

/// Participants of the media server, by the ids that the vendor's own service has given them.
type Room = Arc<Mutex<BTreeSet<String>>>;

/// The vendor's service: hands out room tokens, of which each is a participant, and speaks WebSocket.
async fn media_upstream(room: Room) -> SocketUpstream {
    let tokens = Arc::new(AtomicUsize::new(0));
    SocketUpstream::start(move |mut asked| {
        let (room, tokens) = (Arc::clone(&room), Arc::clone(&tokens));
        async move {
            if asked.head.starts_with("POST ") {
                let id = format!("room-7:guest-{}", tokens.fetch_add(1, Ordering::SeqCst));
                room.lock().insert(id.clone());
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Widget-Session: {id}; max-age=3600\r\n\
                     Content-Length: 2\r\nConnection: close\r\n\r\n{{}}"
                );
                asked.stream.write_all(answer.as_bytes()).await.unwrap();
            } else if asked.head.to_ascii_lowercase().contains("upgrade: websocket") {
                SocketUpstream::echoes(asked).await;
            } else {
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                asked.stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    })
    .await
}

/// The vendor: takes notifications, and removes participants from the room as it is told to.
struct Vendor {
    addr: std::net::SocketAddr,
    room: Room,
    told: Arc<Mutex<Vec<Value>>>,
    task: JoinHandle<()>,
}

impl Vendor {
    async fn start() -> Self {
        let (room, told) = (Room::default(), Arc::<Mutex<Vec<Value>>>::default());
        let (in_room, heard) = (Arc::clone(&room), Arc::clone(&told));
        let take = post(move |Json(notification): Json<Value>| {
            if notification["type"] == "session.revoked" {
                for id in notification["data"]["sessions"].as_array().unwrap() {
                    in_room.lock().remove(id.as_str().unwrap());
                }
            }
            heard.lock().push(notification);
            std::future::ready(StatusCode::NO_CONTENT)
        });
        let addr = ports::free();
        let listener = TcpListener::bind(addr).await.unwrap();
        let router = axum::Router::new().route("/hooks", take);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { addr, room, told, task }
    }

    fn participants(&self) -> usize {
        self.room.lock().len()
    }

    /// Waits for a notification of this type, and returns its data.
    async fn hears(&self, kind: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let find = || {
            let told = self.told.lock();
            let mut found = told.iter().filter(|told| told["type"] == kind && is_it(&told["data"]));
            found.next().map(|told| told["data"].clone())
        };
        eventually(kind, async || find().is_some()).await;
        find().unwrap()
    }
}

impl Drop for Vendor {
    fn drop(&mut self) {
        self.task.abort();
    }
}
