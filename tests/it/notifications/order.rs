//! Order of several widgets and queues, of an outbox in this process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use axum::Router;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use embedgate::notifications::notice::Notice;
use embedgate::notifications::notifier::Notify;
use embedgate::notifications::outbox::Outbox;
use embedgate::notifications::receiver::{PATIENCE, WebhookReceiver};
use embedgate::notifications::secret_file::SecretFile;
use embedgate::telemetry::events::EventFeed;
use embedgate::telemetry::metrics::Metrics;
use embedgate_policy::verdict::Reason;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::support::webhooks::Webhooks;
use crate::support::{LONG, in_time, ports, scale};

fn outbox(folder: &Path, url: &str) -> (Arc<Outbox>, JoinHandle<()>) {
    let metrics = Metrics::new().unwrap();
    let outbox =
        Outbox::new(&folder.join("notify.redb"), Arc::new(EventFeed::new()), metrics.notifications.clone());
    let secrets = SecretFile::open(&folder.join("secrets")).unwrap();
    outbox.set_receiver(Some(Arc::new(WebhookReceiver::new(url.parse().unwrap(), secrets, PATIENCE))));
    let running = tokio::spawn(Arc::clone(&outbox).run());
    (outbox, running)
}

fn seen(widget: usize, number: usize) -> Notice {
    Notice::EntryExpiring {
        widget: format!("w{widget}"),
        entry: format!("{number}.example.com"),
        expires_at: "2100-01-01T00:00:00Z".parse().unwrap(),
    }
}

fn revoked(widget: usize, number: usize) -> Notice {
    revoked_of(widget, "https://a.example", number)
}

fn revoked_of(widget: usize, embedder: &str, number: usize) -> Notice {
    Notice::SessionRevoked {
        widget: format!("w{widget}"),
        embedder: embedder.to_owned(),
        reason: Reason::NotListed,
        sessions: vec![format!("{number}.")],
        at: jiff::Timestamp::now(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_widget_and_queue_keeps_its_order_although_tries_fail() {
    // Every third try fails, whatever it is.
    let receiver = Webhooks::answering(ports::free(), |_, before| match before % 3 {
        2 => (StatusCode::SERVICE_UNAVAILABLE, "not now").into_response(),
        _ => StatusCode::OK.into_response(),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let (outbox, running) = outbox(folder.path(), &format!("http://{}/", receiver.addr));
    let (widgets, each) = (6, scale(50));
    for number in 0..each {
        for widget in 0..widgets {
            outbox.tell(seen(widget, number));
            outbox.tell(revoked(widget, number));
        }
    }
    let arrived = || outbox.state().totals.delivered as usize;
    in_time("all arrive", LONG, async || arrived() == 2 * widgets * each).await;
    running.abort();
    let mut lanes = BTreeMap::<(String, String), Vec<usize>>::new();
    let mut ids = BTreeMap::<((String, String), usize), String>::new();
    let mut repeated = 0;
    for webhook in receiver.got() {
        let body = &webhook.body;
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let name = body["data"]["entry"].as_str().or_else(|| body["data"]["sessions"][0].as_str()).unwrap();
        let number = name.split_once('.').unwrap().0.parse().unwrap();
        let name = (text(&body["type"]), text(&body["data"]["widget"]));
        let lane = lanes.entry(name.clone()).or_default();
        // A try that failed is repeated before anything else of its lane, with the same id.
        let first = ids.entry((name, number)).or_insert_with(|| webhook.id().to_owned());
        assert_eq!(first, webhook.id());
        match lane.last() == Some(&number) {
            true => repeated += 1,
            false => lane.push(number),
        }
    }
    assert_eq!(lanes.len(), 2 * widgets);
    for (lane, numbers) in lanes {
        assert_eq!(numbers, (0..each).collect::<Vec<_>>(), "{lane:?}");
    }
    let tries = receiver.got().len();
    assert_eq!(repeated, tries / 3, "each that failed, once more");
    assert_eq!(tries, 2 * widgets * each + repeated);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedders_of_one_widget_don_t_wait_for_each_other() {
    let receiver = Webhooks::answering(ports::free(), |webhook, _| {
        let hangs = webhook.body["data"]["embedder"] == "https://hangs.example";
        let status = if hangs { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
        status.into_response()
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let (outbox, running) = outbox(folder.path(), &format!("http://{}/", receiver.addr));
    let embedders = ["https://hangs.example", "https://b.example", "https://c.example"];
    let notices = (0..9).map(|number| revoked_of(0, embedders[number % 3], number)).collect();
    outbox.commit(notices, Box::new(|_| Ok(()))).await.unwrap();
    in_time("the others arrive", LONG, async || outbox.state().totals.delivered == 6).await;
    assert_eq!(outbox.state().pending, 3, "in the order of their embedder");
    running.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_leaves_at_once_although_everything_else_hangs() {
    // It holds its other answers open, so that everything else is under way for as long as this runs.
    let receiver = HangingReceiver::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (outbox, running) = outbox(folder.path(), &format!("http://{}/", receiver.addr));
    for widget in 0..50 {
        outbox.tell(seen(widget, 0));
    }
    in_time("all that may be under way is", LONG, async || receiver.open.load(Ordering::SeqCst) == 8).await;
    let begun = Instant::now();
    outbox.commit(vec![revoked(0, 1)], Box::new(|_| Ok(()))).await.unwrap();
    in_time("it arrives", LONG, async || outbox.state().totals.delivered == 1).await;
    let took = begun.elapsed();
    eprintln!("a revocation arrived {took:?} after it was told");
    // The others hang for longer, at a machine that is slow, too.
    assert!(took < PATIENCE, "{took:?}");
    assert_eq!(receiver.open.load(Ordering::SeqCst), 8);
    receiver.task.abort();
    running.abort();
}

/// Receiver that takes revocations, and answers nothing else.
struct HangingReceiver {
    addr: SocketAddr,
    /// Webhooks that wait for their answer.
    open: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl HangingReceiver {
    async fn start() -> Self {
        let open = Arc::<AtomicUsize>::default();
        let waiting = Arc::clone(&open);
        let router = Router::new().fallback(move |body: String| async move {
            if !body.contains("session.revoked") {
                waiting.fetch_add(1, Ordering::SeqCst);
                std::future::pending::<()>().await;
            }
            StatusCode::OK
        });
        let listener = TcpListener::bind(ports::free()).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { addr, open, task }
    }
}
