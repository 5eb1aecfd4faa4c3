//! What Chromium only fetches ahead is no sighting and has no ticket, and the widget works when it is shown.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use embedgate::activity::sighting::{ClientClass, SightingKind};
use serde_json::json;
use tokio::net::TcpListener;

use super::SOON;
use super::stage::{EDGE, SITE, STRANGER, listed};
use crate::support::browser::Browser;
use crate::support::edge::EdgeSpec;
use crate::support::in_process::{InProcess, Seen};
use crate::support::sites::Sites;
use crate::support::tls::EdgeTls;
use crate::support::{eventually, ports};
use embedgate_policy::verdict::Reason;

/// The page shows what its frame says.
const LOADER: &str = "addEventListener('message', ({ data }) => { document.body.dataset.session = data; });
const src = new URL('frame', document.currentScript.src);
document.body.append(Object.assign(document.createElement('iframe'), { src }));";

/// It calls with the ticket that came with it, and tells the page how that went.
const FRAME: &str = r#"<!doctype html><title>widget</title><body><script type="module">
const [{ serverTiming }] = performance.getEntriesByType("navigation");
const ticket = serverTiming.find(({ name }) => name === "embed-ticket")?.description;
const { status } = await fetch("session", { headers: { Authorization: `Embed ${ticket}` } });
parent.postMessage(status, "*");
</script>"#;

/// Requests that the upstream got: the last part of the path, and `Sec-Purpose`.
#[derive(Clone, Default)]
struct Got(Arc<Mutex<Vec<(String, String)>>>);

impl Got {
    async fn note(State(got): State<Self>, request: Request) -> Response {
        let purpose = request.headers().get("sec-purpose").map_or("", |value| value.to_str().unwrap());
        let name = request.uri().path().rsplit('/').next().unwrap().to_owned();
        got.0.lock().unwrap().push((name.clone(), purpose.to_owned()));
        let (kind, body) = match &*name {
            "loader.js" => ("text/javascript", LOADER),
            "frame" => ("text/html", FRAME),
            _ => ("text/plain", ""),
        };
        ([(CONTENT_TYPE, kind)], body).into_response()
    }

    /// How many it got of this name and purpose.
    fn count(&self, name: &str, purpose: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|got| **got == (name.to_owned(), purpose.to_owned())).count()
    }
}

/// Time for the prerendered page to have its frame, which waits for the page to be shown.
const AWHILE: Duration = Duration::from_millis(500);

struct Scene {
    edge: InProcess,
    got: Got,
    browser: Browser,
    _sites: Sites,
}

impl Scene {
    /// The sightings since the last call, but for those of the browser's own start page, which this network leads here, too.
    fn seen(&self) -> Vec<Seen> {
        let mut seen = self.edge.seen();
        seen.retain(|one| [SITE, STRANGER].contains(&&*one.embedder));
        seen
    }

    async fn start() -> Self {
        let (got, addr, tls) = (Got::default(), ports::free(), EdgeTls::of("widgets.example"));
        let (listener, app) = (TcpListener::bind(addr).await.unwrap(), Router::new());
        let app = app.fallback(Got::note).with_state(got.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let mut spec = EdgeSpec::on(addr, &json!([listed()]));
        spec.public_origins = Some(format!("[\"{EDGE}\"]"));
        tls.add_to(&mut spec);
        let edge = InProcess::start(spec).await;
        let hosts = [SITE, STRANGER].map(|origin| origin.trim_start_matches("https://"));
        let sites = Sites::start(&tls.authority, &hosts).await;
        let (loader, frame) = (format!("{EDGE}/w/listed/loader.js"), format!("{EDGE}/w/listed/frame"));
        sites.put(
            "/",
            &[],
            format!("<!doctype html><title>page</title><body><script src=\"{loader}\"></script>"),
        );
        let links = format!(
            "<!doctype html><title>links</title><body>
             <link rel=\"prefetch\" as=\"script\" href=\"{loader}\"><link rel=\"prefetch\" href=\"{frame}\">"
        );
        sites.put("/links", &[], links);
        let rules = r#"<script type="speculationrules">{ "prerender": [{ "urls": ["/"], "eagerness": "immediate" }] }</script>"#;
        sites.put(
            "/rules",
            &[],
            format!("<!doctype html><title>rules</title><body><a href=\"/\">on</a>{rules}"),
        );
        let options = sites.browser(&[("widgets.example:443", tls.addr)], &tls.certificate);
        Self { edge, got, browser: Browser::start(options).await.unwrap(), _sites: sites }
    }

    async fn goto(&self, page: &str) {
        self.browser.goto(page).await.unwrap();
    }

    /// Waits until the widget on the page has made its call.
    async fn works(&self) {
        self.browser.wait_for("body[data-session]", SOON).await.unwrap();
        let session = self.browser.eval("document.body.dataset.session").await.unwrap();
        assert_eq!(session, "200", "{:?}", self.got.0.lock().unwrap());
    }

    /// Waits until the upstream has answered this to a prefetch.
    async fn fetched(&self, name: &str, purpose: &str) {
        eventually(&format!("{name} is fetched ahead"), async || self.got.count(name, purpose) > 0).await;
    }
}

fn seen(reason: Reason) -> Seen {
    Seen {
        widget: "listed".to_owned(),
        embedder: SITE.to_owned(),
        kind: SightingKind::Admitted { reason, would_deny: None },
        client: Some(ClientClass::Browser),
    }
}

#[tokio::test]
async fn links_leave_nothing_and_the_widget_works_afterwards() {
    let scene = Scene::start().await;
    scene.goto(&format!("{STRANGER}/links")).await;
    eventually("the stranger's prefetches are denied", async || {
        let lines = scene.edge.decided.lines();
        lines.iter().filter(|line| line["embedder"] == STRANGER && line["verdict"] == "deny").count() == 2
    })
    .await;
    scene.goto(&format!("{SITE}/links")).await;
    scene.fetched("loader.js", "prefetch").await;
    scene.fetched("frame", "prefetch").await;
    assert_eq!(scene.seen(), Vec::new());

    scene.goto(&format!("{SITE}/")).await;
    scene.works().await;
    let all = scene.seen();
    // The loader may come from the prefetch.
    for expected in [seen(Reason::Exact), seen(Reason::Ticket)] {
        assert!(all.contains(&expected), "{all:?}");
    }
    assert!(all.iter().all(|one| one.embedder == SITE), "{all:?}");
    assert_eq!((scene.got.count("frame", ""), scene.got.count("session", "")), (1, 1));
}

/// Chromium puts its frame off until the page is shown, and then still says that it is fetched ahead.
#[tokio::test]
async fn a_page_that_is_prerendered_leaves_nothing_until_it_is_shown() {
    let scene = Scene::start().await;
    scene.goto(&format!("{SITE}/rules")).await;
    scene.fetched("loader.js", "prefetch;prerender").await;
    scene.browser.wait_until("document.readyState === 'complete'", SOON).await.unwrap();
    tokio::time::sleep(AWHILE).await;
    assert_eq!((scene.seen(), scene.got.count("frame", "prefetch;prerender")), (Vec::new(), 0));
    scene.browser.eval("document.querySelector('a').click()").await.unwrap();
    scene.browser.wait_until("document.title === 'page'", SOON).await.unwrap();
    let is_prerendered = "performance.getEntriesByType('navigation')[0].activationStart > 0";
    assert_eq!(scene.browser.eval(is_prerendered).await.unwrap(), true);
    scene.works().await;
    let all = scene.seen();
    assert_eq!(all, [seen(Reason::Exact), seen(Reason::Ticket)], "the frame and its session");
    assert_eq!(scene.got.count("session", ""), 1);
}
