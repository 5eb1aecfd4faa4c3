//! When a save has been answered, every request that starts later is judged by it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::edge::{Edge, EdgeSpec};
use crate::support::raw::Connection;
use crate::support::scale;

/// Save number `n` lists the sites `n` and `n + 1`: the site before was listed until then, and is never again.
fn document(save: u64) -> Value {
    json!({ "id": "w", "allowed_domains": [format!("s{save}.example"), format!("s{}.example", save + 1)] })
}

/// Who asks, and how.
#[derive(Clone, Copy, Debug)]
enum Visitor {
    KeptAlive,
    NewConnection,
    WebSocket,
}

struct Scene {
    http: SocketAddr,
    answered: AtomicU64,
    done: AtomicBool,
}

impl Scene {
    /// Asks for what the last answered save took away, until the saves are done. How often it asked, and what
    /// passed.
    async fn visit(self: Arc<Self>, visitor: Visitor) -> (u64, Vec<u64>) {
        let (mut asked, mut passed, mut kept) = (0, Vec::new(), None::<Connection<_>>);
        while !self.done.load(Ordering::Acquire) {
            let save = self.answered.load(Ordering::Acquire);
            let (path, more) = match visitor {
                Visitor::WebSocket => (
                    "session",
                    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
                ),
                Visitor::KeptAlive | Visitor::NewConnection => ("loader.js", ""),
            };
            let request = format!(
                "GET /w/w/{path} HTTP/1.1\r\nHost: {}\r\nOrigin: https://s{}.example\r\n{more}\r\n",
                self.http,
                save - 1
            );
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => Connection::open(self.http).await,
            };
            connection.send(request).await;
            let answer = match visitor {
                Visitor::WebSocket => connection.head().await,
                Visitor::KeptAlive | Visitor::NewConnection => connection.answer().await,
            };
            match answer.status {
                403 => {}
                200 | 101 => passed.push(save),
                other => panic!("{visitor:?}: {other}"),
            }
            if matches!(visitor, Visitor::KeptAlive) && answer.field("connection") != "close" {
                kept = Some(connection);
            }
            asked += 1;
        }
        (asked, passed)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_request_that_starts_after_an_answer_is_judged_by_older_rules() {
    let edge = Edge::start(EdgeSpec::stored(&json!([document(1)]))).await;
    let scene =
        Arc::new(Scene { http: edge.http, answered: AtomicU64::new(1), done: AtomicBool::new(false) });
    let visitors = [Visitor::KeptAlive, Visitor::KeptAlive, Visitor::NewConnection, Visitor::WebSocket];
    let tasks = visitors.map(|visitor| (visitor, tokio::spawn(Arc::clone(&scene).visit(visitor))));
    let saves = u64::try_from(scale(10_000)).unwrap();
    let put = edge.api(Method::PUT, "/v1/widgets/w");
    for save in 2..=saves + 1 {
        let answer = put.try_clone().unwrap().json(&document(save)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
        scene.answered.store(save, Ordering::Release);
    }
    scene.done.store(true, Ordering::Release);
    let mut asked = 0;
    for (visitor, task) in tasks {
        let (count, passed) = task.await.unwrap();
        assert_eq!(passed, [] as [u64; 0], "{visitor:?}: judged by older rules");
        assert!(count > 0, "{visitor:?} never asked");
        asked += count;
    }
    assert!(asked > saves / 2, "{asked} requests beside {saves} saves show little");
    let (_, widget) = super::call(&edge, Method::GET, "/v1/widgets/w").await;
    assert_eq!(widget["revision"], saves + 1);
}
