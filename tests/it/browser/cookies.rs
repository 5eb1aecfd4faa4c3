//! A widget that knows nothing of tickets, in its iframe: the browser keeps its ticket in a cookie of its own for each
//! customer's site, and sends it with what the iframe asks.

use serde_json::{Value, json};

use super::SOON;
use super::probe::{self, shown};
use super::stage::{EDGE, SITE, STRANGER, Stage, widget};
use crate::support::browser::Browser;
use crate::support::edge::EdgeSpec;
use crate::support::eventually;
use crate::support::upstream::Document;

const OTHER: &str = "https://other.example";
const FRAME: &str = "document.querySelector('iframe')";

/// The widget's document: it fetches, and opens a WebSocket.
const DOCUMENT: &str = r#"<!doctype html><title>widget</title><a href="?again">again</a><script type="module">
const of = document.body.dataset;
const told = await fetch("session");
of.fetched = told.status;
of.embedder = told.ok ? (await told.json()).embedder : "";
of.visible = document.cookie;
const socket = new WebSocket(new URL("session", location.href).href.replace(/^http/, "ws"));
socket.onmessage = () => { of.socket = "open"; };
socket.onclose = ({ code, reason }) => { of.socket = `closed ${code} ${reason}`; };
</script>"#;

/// What the widget's document has found.
#[derive(Debug, PartialEq)]
struct Found {
    fetched: String,
    embedder: String,
    socket: String,
}

fn works(site: &str) -> Found {
    Found { fetched: "200".to_owned(), embedder: site.to_owned(), socket: "open".to_owned() }
}

fn refused() -> Found {
    Found { fetched: "403".to_owned(), embedder: String::new(), socket: "closed 1006 ".to_owned() }
}

/// The edge with such cookies, or without; the frame's document is the widget's own, its sessions are the demo's.
async fn stage(cookie: &str) -> Stage {
    let upstream = Document::serve(DOCUMENT).await;
    let widgets = json!([
        widget("listed", json!(["site.example", "other.example"])),
        widget("second", json!(["site.example"])),
    ]);
    let route = |path: &str, class: &str, upstream: &str| {
        format!(
            "[[routes]]\npath = \"/w/{{widget}}/{path}\"\nclass = \"{class}\"\nupstream = \"{upstream}\"\n"
        )
    };
    let routes = [route("frame", "frame", "app"), route("session", "session", "demo")].concat();
    let mut spec =
        EdgeSpec { source: "store", routes: Some(routes), ..EdgeSpec::on(upstream.addr, &widgets) };
    spec.more += &format!("[tickets]\ncookie = \"{cookie}\"\n");
    let hosts = [SITE, STRANGER, OTHER].map(|origin| origin.trim_start_matches("https://"));
    let stage = Stage::start(spec, &hosts).await;
    // It ends with the test, as everything else does.
    std::mem::forget(upstream);
    let embed = "<script>for (const src of new URLSearchParams(location.search).getAll('src')) document.body.append(\
                 Object.assign(document.createElement('iframe'), { src }))</script>";
    for (path, policy) in [("/", "strict-origin-when-cross-origin"), ("/silent", "no-referrer")] {
        stage.sites.put(path, &[("referrer-policy", policy)], probe::page(embed));
    }
    stage
}

fn with(page: &str, frames: &[&str]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    frames.iter().for_each(|src| {
        query.append_pair("src", src);
    });
    format!("{page}?{}", query.finish())
}

fn frame_of(widget: &str) -> String {
    format!("{EDGE}/w/{widget}/frame")
}

/// What the document that was entered has found, once it has.
async fn found(browser: &Browser) -> Found {
    browser.wait_for("body[data-socket]", SOON).await.unwrap();
    let of = async |name: &str| {
        let value = browser.eval(&format!("document.body.dataset.{name}")).await.unwrap();
        value.as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(of("visible").await, "", "scripts don't see it");
    Found { fetched: of("fetched").await, embedder: of("embedder").await, socket: of("socket").await }
}

/// Opens a page with the widget's frame, and what the frame has found.
async fn opened(browser: &Browser, page: &str, widget: &str) -> Found {
    browser.goto(&with(page, &[&frame_of(widget)])).await.unwrap();
    browser.enter_frame(FRAME).await.unwrap();
    let found = found(browser).await;
    browser.leave_frames().await.unwrap();
    found
}

#[tokio::test]
async fn an_iframe_that_knows_nothing_of_tickets_works_on_its_sites_and_ends_with_a_save() {
    let stage = stage("partitioned").await;
    let browser = stage.browser().await;
    // Each site has its own, in one profile.
    assert_eq!(opened(&browser, &format!("{SITE}/"), "listed").await, works(SITE));
    assert_eq!(opened(&browser, &format!("{OTHER}/"), "listed").await, works(OTHER));
    assert_eq!(opened(&browser, &format!("{SITE}/"), "second").await, works(SITE));
    // Two widgets on one page.
    let both = with(&format!("{SITE}/"), &[&frame_of("listed"), &frame_of("second")]);
    browser.goto(&both).await.unwrap();
    for frame in ["document.querySelectorAll('iframe')[0]", "document.querySelectorAll('iframe')[1]"] {
        browser.enter_frame(frame).await.unwrap();
        assert_eq!(found(&browser).await, works(SITE));
        browser.leave_frames().await.unwrap();
    }

    // A link of its own: the browser names the edge, and the cookie the page.
    browser.goto(&with(&format!("{SITE}/"), &[&frame_of("listed")])).await.unwrap();
    browser.enter_frame(FRAME).await.unwrap();
    assert_eq!(found(&browser).await, works(SITE));
    browser.eval("document.querySelector('a').click()").await.unwrap();
    browser.leave_frames().await.unwrap();
    browser.enter_frame(FRAME).await.unwrap();
    browser.wait_until("location.search === '?again'", SOON).await.unwrap();
    assert_eq!(found(&browser).await, works(SITE));

    // The removed site's session ends at once, and no cookie opens another.
    stage.save(&widget("listed", json!(["other.example"]))).await;
    browser.wait_for("body[data-socket='closed 1008 origin no longer allowed']", SOON).await.unwrap();
    assert_eq!(browser.eval("fetch('session').then(({ status }) => status)").await.unwrap(), 403);
    browser.leave_frames().await.unwrap();
    assert_eq!(opened(&browser, &format!("{OTHER}/"), "listed").await, works(OTHER));
}

#[tokio::test]
async fn nobody_else_can_use_it() {
    let stage = stage("partitioned").await;
    let browser = stage.browser().await;
    assert_eq!(opened(&browser, &format!("{SITE}/"), "listed").await, works(SITE));

    // A page of another site, with all the cookies that the browser has for the edge.
    browser.goto(&format!("{STRANGER}/")).await.unwrap();
    let call = format!(
        "fetch('{}', {{ credentials: 'include' }}).then(({{ status }}) => status, () => 'unreadable')",
        format_args!("{EDGE}/w/listed/session")
    );
    let told = browser.eval(&call).await.unwrap();
    assert!(told == 403 || told == "unreadable", "{told}");
    browser.goto(&with(&format!("{STRANGER}/"), &[&frame_of("listed")])).await.unwrap();
    let is_told = async || shown(&browser, &[FRAME]).await.text.contains("may not be embedded");
    eventually("the frame is refused", is_told).await;

    // A stranger's frame inside the listed page, where the cookie is: its own origin is judged.
    let inside = with(&format!("{STRANGER}/"), &[]);
    browser.goto(&with(&format!("{SITE}/"), &[&frame_of("listed"), &inside])).await.unwrap();
    browser.enter_frame("document.querySelectorAll('iframe')[0]").await.unwrap();
    assert_eq!(found(&browser).await, works(SITE));
    browser.leave_frames().await.unwrap();
    browser.enter_frame("document.querySelectorAll('iframe')[1]").await.unwrap();
    let told = browser.eval(&call).await.unwrap();
    assert!(told == 403 || told == "unreadable", "{told}");
    browser.leave_frames().await.unwrap();

    // A tab of the edge's own host has none, wherever it was opened from.
    browser.goto(&format!("{SITE}/")).await.unwrap();
    browser.eval(&format!("void (location.href = '{}')", frame_of("listed"))).await.unwrap();
    browser.wait_for("body[data-socket]", SOON).await.unwrap();
    assert_eq!(found(&browser).await, refused());
    let denied = stage.decision(|decision| decision["reason"] == "ticket_missing").await;
    assert_eq!((&denied["class"], &denied["embedder"]), (&json!("session"), &json!(EDGE)));
    let of_strangers: Vec<Value> = stage
        .edge
        .decisions()
        .into_iter()
        .filter(|decision| decision["embedder"] == STRANGER && decision["class"] == "session")
        .collect();
    assert!(of_strangers.len() >= 2, "{of_strangers:?}");
    assert!(of_strangers.iter().all(|decision| decision["reason"] == "not_listed"), "{of_strangers:?}");
}

#[tokio::test]
async fn it_needs_a_page_that_is_known_and_no_third_party_cookies() {
    let stage = stage("partitioned").await;
    let mut strict = stage.options();
    strict.extra_args.push("--test-third-party-cookie-phaseout".to_owned());
    let browser = Browser::start(strict).await.unwrap();
    assert_eq!(opened(&browser, &format!("{SITE}/"), "listed").await, works(SITE));
    // Nested: the widget's page is a frame of a page of the list.
    let inner = with(&format!("{SITE}/"), &[&frame_of("listed")]);
    browser.goto(&with(&format!("{OTHER}/"), &[&inner])).await.unwrap();
    browser.enter_frame(FRAME).await.unwrap();
    browser.wait_for("iframe", SOON).await.unwrap();
    browser.enter_frame(FRAME).await.unwrap();
    assert_eq!(found(&browser).await, works(SITE));
    browser.leave_frames().await.unwrap();

    let silent = stage.browser().await;
    assert_eq!(opened(&silent, &format!("{SITE}/silent"), "listed").await, refused());
    silent.enter_frame(FRAME).await.unwrap();
    let told = silent.eval("fetch('session').then((answer) => answer.text())").await.unwrap();
    assert!(told.as_str().unwrap().contains("No ticket cookie came"), "{told}");
}

/// As it is where the cookie is off: the frame comes, and its session is refused with what to do.
#[tokio::test]
async fn without_it_such_a_widget_stays_empty() {
    let stage = stage("off").await;
    let browser = stage.browser().await;
    assert_eq!(opened(&browser, &format!("{SITE}/"), "listed").await, refused());
    browser.enter_frame(FRAME).await.unwrap();
    let told = browser.eval("fetch('session').then((answer) => answer.text())").await.unwrap();
    assert!(told.as_str().unwrap().contains("turn on tickets.cookie"), "{told}");
    stage.decision(|decision| decision["reason"] == "ticket_missing").await;
}
