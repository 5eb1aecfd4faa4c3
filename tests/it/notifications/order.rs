//! Order of several widgets and queues, of an outbox in this process.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

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
    Notice::SessionRevoked {
        widget: format!("w{widget}"),
        embedder: "https://a.example".to_owned(),
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
    let mut last = None;
    for webhook in receiver.got() {
        let body = &webhook.body;
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let name = body["data"]["entry"].as_str().or_else(|| body["data"]["sessions"][0].as_str()).unwrap();
        let number = name.split_once('.').unwrap().0.parse().unwrap();
        let lane = lanes.entry((text(&body["type"]), text(&body["data"]["widget"]))).or_default();
        // A try that failed is repeated before anything else of its lane.
        if lane.last() != Some(&number) {
            lane.push(number);
        }
        last = Some(webhook.at);
    }
    assert_eq!(lanes.len(), 2 * widgets);
    for (lane, numbers) in lanes {
        assert_eq!(numbers, (0..each).collect::<Vec<_>>(), "{lane:?}");
    }
    assert!(last.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_leaves_at_once_although_everything_else_hangs() {
    let receiver = Webhooks::answering(ports::free(), |webhook, _| {
        let is_revoked = webhook.body["type"] == "session.revoked";
        let status = if is_revoked { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
        status.into_response()
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let (outbox, running) = outbox(folder.path(), &format!("http://{}/", receiver.addr));
    for widget in 0..50 {
        outbox.tell(seen(widget, 0));
    }
    receiver.wait_for(50).await;
    let begun = Instant::now();
    outbox.commit(vec![revoked(0, 1)], Box::new(|_| Ok(()))).await.unwrap();
    let is_revoked = || {
        let got = receiver.got();
        got.into_iter().find(|webhook| webhook.body["type"] == "session.revoked")
    };
    in_time("it arrives", LONG, async || is_revoked().is_some()).await;
    let took = is_revoked().unwrap().at - begun;
    eprintln!("a revocation arrived {took:?} after it was told");
    assert!(took < Duration::from_secs(1), "{took:?}");
    running.abort();
}
