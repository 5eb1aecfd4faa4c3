//! A site's service worker stands between page and network: verdicts are the same, from its own calls, too.

use serde_json::json;

use super::probe::{self, calls, probe};
use super::stage::{EDGE, SITE, STRANGER, Stage, listed};

/// Passes everything on, and asks for itself what it is told to.
const WORKER: &str = r#"
    importScripts("/probe.js");
    addEventListener("install", () => skipWaiting());
    addEventListener("activate", (event) => event.waitUntil(clients.claim()));
    addEventListener("fetch", (event) => event.respondWith(fetch(event.request)));
    addEventListener("message", (event) => {
      event.waitUntil(calls(event.data).then((told) => event.ports[0].postMessage(told)));
    });
"#;

const REGISTERED: &str = r#"<script>
    const worker = navigator.serviceWorker;
    const controlled = worker.register("/worker.js").then(() => worker.controller || new Promise((resolve) => {
      worker.addEventListener("controllerchange", () => resolve(worker.controller));
    }));
    const ask = (widget) => controlled.then((controller) => new Promise((resolve) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = (event) => resolve(event.data);
      controller.postMessage(widget, [port2]);
    }));
</script>"#;

/// What [`STRANGER`] gets, and whether it says why.
fn refusal(name: &str) -> &'static str {
    match name {
        // Fetch, "Request class": the request that a worker makes anew has no destination, so no script can be sent in
        // place of the loader. The browser says that much, and the answer under that address says why.
        "tag" | "crossorigin" | "module" | "import" => "the server responded with a status of 403",
        "stream" => "closed",
        "socket" => "1006",
        _ => "may not be embedded on https://stranger.example.",
    }
}

#[tokio::test]
async fn a_service_worker_changes_no_verdict() {
    let stage = Stage::of_demo(&json!([listed()])).await;
    probe::put(&stage.sites, &[]);
    probe::put_script(&stage.sites, "/worker.js", WORKER);
    stage.sites.put("/", &[], probe::page(REGISTERED));
    let browser = stage.browser().await;
    for site in [SITE, STRANGER] {
        browser.goto(site).await.unwrap();
        assert_eq!(browser.eval("controlled.then(() => true)").await.unwrap(), true);
        let own = calls(&browser, &format!("ask('{EDGE}/w/listed/')")).await;
        let passed_on = probe(&browser, "listed").await;
        assert_eq!((own.len(), passed_on.len()), (5, 10));
        for (name, surface) in own.iter().chain(&passed_on) {
            assert_eq!(surface.works, site == SITE, "{name} on {site}: {surface:?}");
            assert!(surface.works || surface.said.contains(refusal(name)), "{name} on {site}: {surface:?}");
        }
    }
}
