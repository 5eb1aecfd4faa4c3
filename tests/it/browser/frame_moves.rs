//! A frame that reloads or follows a link of its own: the browser names the widget's host then, and what tells the page
//! around it is the ticket in the frame's address.

use std::time::Duration;

use serde_json::{Value, json};

use super::probe::{self, Shown, shown};
use super::stage::{EDGE, SITE, STRANGER, Stage, widget};
use super::{SOON, open_chat};
use crate::guide;
use crate::support::browser::Browser;
use crate::support::edge::EdgeSpec;
use crate::support::eventually;
use crate::support::upstream::Document;

const PREVIEW: &str = "https://pr-1.preview.example.com";
const FIRST: &str = "https://site-000.example";
const FRAME: &str = "document.querySelector('iframe')";

/// The widget's document. `?kept` is one that does as the guide says.
const DOCUMENT: &str = r##"<!doctype html><title>widget</title>
<a id="next" href="?page=2">on</a><a id="kept" href="?page=2&kept">on</a>
<script type="module">
const sent = performance.getEntriesByType("navigation")[0].serverTiming.find(({ name }) => name === "embed-ticket");
const ticket = sent ? sent.description : null;
document.body.dataset.ticket = ticket;
if (new URLSearchParams(location.search).has("kept")) {
RECIPE
}
document.body.dataset.ready = "";
</script>"##;

/// 120 sites, over 4 KiB of them, with [`SITE`] as the last.
fn long() -> Value {
    let mut names: Vec<String> = (0..120).map(|n| format!("site-{n:03}.example")).collect();
    names.extend((0..60).map(|n| format!("a-customer-with-a-long-name-{n:03}.example")));
    names.push("site.example".to_owned());
    json!(names)
}

async fn stage() -> Stage {
    let [_, _, _, recipe] = guide::blocks();
    let document = DOCUMENT.replace("RECIPE", &recipe);
    let upstream = Document::serve(document.leak()).await;
    let widgets = json!([
        widget("glob", json!(["pr-*.preview.example.com"])),
        widget("long", long()),
        widget("short", json!(["site.example"])),
        { "id": "open", "access": "open" },
    ]);
    let mut spec = EdgeSpec { source: "store", ..EdgeSpec::on(upstream.addr, &widgets) };
    spec.more += "[tickets]\nlifetime = \"1s\"\n";
    let hosts = [SITE, STRANGER, PREVIEW, FIRST].map(|origin| origin.trim_start_matches("https://"));
    let stage = Stage::start(spec, &hosts).await;
    // It ends with the test, as everything else does.
    std::mem::forget(upstream);
    let embed = "<script>document.body.append(Object.assign(document.createElement('iframe'), \
                 { src: new URLSearchParams(location.search).get('src') }))</script>";
    for (path, policy) in [("/", "strict-origin-when-cross-origin"), ("/silent", "no-referrer")] {
        stage.sites.put(path, &[("referrer-policy", policy)], probe::page(embed));
    }
    stage
}

/// Opens a page with this frame in it, and waits for the frame.
async fn open(browser: &Browser, page: &str, widget: &str, query: &str) {
    let src = format!("{EDGE}/w/{widget}/frame{query}");
    let src: String = url::form_urlencoded::byte_serialize(src.as_bytes()).collect();
    browser.goto(&format!("{page}?src={src}")).await.unwrap();
    browser.wait_for("iframe", SOON).await.unwrap();
}

async fn loaded(browser: &Browser) {
    browser.enter_frame(FRAME).await.unwrap();
    browser.wait_for("body[data-ready]", SOON).await.unwrap();
    browser.leave_frames().await.unwrap();
}

/// Lets the frame do something that replaces its document, and tells what is shown then.
async fn moved(browser: &Browser, how: &str) -> Shown {
    loaded(browser).await;
    browser.enter_frame(FRAME).await.unwrap();
    browser.eval(&format!("window.before = setTimeout(() => {how})")).await.unwrap();
    browser.leave_frames().await.unwrap();
    eventually("the frame has moved", async || {
        browser.enter_frame(FRAME).await.unwrap();
        let moved = browser
            .eval("window.before === undefined && document.readyState === 'complete'")
            .await
            .is_ok_and(|moved| moved == true);
        browser.leave_frames().await.unwrap();
        moved
    })
    .await;
    shown(browser, &[FRAME]).await
}

const RELOAD: &str = "location.reload()";

fn click(link: &str) -> String {
    format!("document.getElementById('{link}').click()")
}

#[tokio::test]
async fn it_comes_back_on_every_listed_page_where_it_keeps_its_ticket() {
    let stage = stage().await;
    let browser = stage.browser().await;
    for (page, widget, without) in [
        (PREVIEW, "glob", false),
        (SITE, "long", false),
        // What of a long list fits is sent.
        (FIRST, "long", true),
        (SITE, "short", true),
        (SITE, "open", true),
    ] {
        for (how, next) in [(RELOAD.to_owned(), ""), (click("next"), "?page=2")] {
            open(&browser, page, widget, "").await;
            let told = moved(&browser, &how).await;
            assert_eq!(
                (told.title == "widget", told.is_refused()),
                (without, !without),
                "{page} {widget} {how}"
            );
            assert!(!without || told.address.ends_with(next), "{told:?}");
        }
        for how in [RELOAD, &click("kept")] {
            open(&browser, page, widget, "?kept").await;
            // And again, with the ticket that came with it.
            for long_after in [false, !without] {
                loaded(&browser).await;
                if long_after {
                    // Its ticket is over by then.
                    tokio::time::sleep(Duration::from_millis(1_100)).await;
                }
                let told = moved(&browser, how).await;
                assert_eq!(told.title, "widget", "{page} {widget} {how}");
                browser.enter_frame(FRAME).await.unwrap();
                browser.wait_for("body[data-ready]:not([data-ticket=null])", SOON).await.unwrap();
                browser.leave_frames().await.unwrap();
            }
        }
    }
    let by_ticket = stage.decision(|line| line["class"] == "frame" && line["opened_by"] == PREVIEW).await;
    assert_eq!(
        (&by_ticket["reason"], &by_ticket["embedder"]),
        (&json!("ticket"), &json!(EDGE)),
        "{by_ticket}"
    );
}

#[tokio::test]
async fn it_goes_back_to_where_it_was() {
    let stage = stage().await;
    let browser = stage.browser().await;
    for (page, widget) in [(PREVIEW, "glob"), (SITE, "long")] {
        open(&browser, page, widget, "?kept").await;
        assert_eq!(moved(&browser, &click("kept")).await.title, "widget");
        let told = moved(&browser, "history.back()").await;
        assert!(told.title == "widget" && !told.address.contains("page=2"), "{told:?}");
    }
}

#[tokio::test]
async fn the_demo_s_frame_comes_back_and_goes_on() {
    let spec = EdgeSpec::stored(&json!([widget("glob", json!(["pr-*.preview.example.com"]))]));
    let stage = Stage::start(spec, &["pr-1.preview.example.com"]).await;
    let tag = format!("<script src=\"{EDGE}/w/glob/loader.js\" async></script>");
    stage.sites.put("/", &[], probe::page(&tag));
    let browser = stage.browser().await;
    browser.goto(&format!("{PREVIEW}/")).await.unwrap();
    open_chat(&browser).await;
    let opened = || stage.edge.metric("embedgate_tickets_total{outcome=\"accepted\"}");
    for _ in 0..2 {
        let before = opened().await;
        browser.enter_frame(super::FRAME).await.unwrap();
        browser.wait_for(".agent:not(.thinking)", SOON).await.unwrap();
        browser.eval("window.before = setTimeout(() => location.reload())").await.unwrap();
        browser.leave_frames().await.unwrap();
        // The frame's document, and its session.
        eventually("it is open again", async || opened().await >= before + 2.0).await;
        browser.wait_for("#embedgate-widget[data-session=open]", SOON).await.unwrap();
        browser.enter_frame(super::FRAME).await.unwrap();
        browser.wait_until("window.before === undefined", SOON).await.unwrap();
        browser.wait_for(".agent:not(.thinking)", SOON).await.unwrap();
        assert!(browser.text("#loaded").await.unwrap().contains(PREVIEW));
        browser.leave_frames().await.unwrap();
    }
}

#[tokio::test]
async fn a_removed_page_is_refused_at_the_next_reload() {
    let stage = stage().await;
    let browser = stage.browser().await;
    open(&browser, PREVIEW, "glob", "?kept").await;
    assert_eq!(moved(&browser, RELOAD).await.title, "widget");
    stage.save(&widget("glob", json!(["other.example"]))).await;
    let told = moved(&browser, RELOAD).await;
    assert_ne!(told.title, "widget");
    assert!(told.text.contains("https://pr-1.preview.example.com"), "{told:?}");
    let refused = stage.decision(|line| line["class"] == "frame" && line["verdict"] == "deny").await;
    assert_eq!(
        (&refused["reason"], &refused["opened_by"]),
        (&json!("not_listed"), &json!(PREVIEW)),
        "{refused}"
    );
}

#[tokio::test]
async fn a_stolen_ticket_frames_nothing_elsewhere() {
    let stage = stage().await;
    let browser = stage.browser().await;
    open(&browser, PREVIEW, "glob", "").await;
    loaded(&browser).await;
    browser.enter_frame(FRAME).await.unwrap();
    let stolen = browser.eval("document.body.dataset.ticket").await.unwrap().as_str().unwrap().to_owned();
    browser.leave_frames().await.unwrap();

    let query = format!("?ticket={stolen}");
    open(&browser, &format!("{STRANGER}/"), "glob", &query).await;
    let told = shown(&browser, &[FRAME]).await;
    assert!(told.title != "widget" && told.text.contains(STRANGER), "by its referrer: {told:?}");
    open(&browser, &format!("{STRANGER}/silent"), "glob", &query).await;
    assert!(shown(&browser, &[FRAME]).await.is_refused(), "by the browser");

    // A frame that anybody may show moves on to the other widget's: the referrer is the edge's own.
    open(&browser, &format!("{STRANGER}/"), "open", "").await;
    loaded(&browser).await;
    let elsewhere = format!("location.assign('../glob/frame?ticket={stolen}')");
    let told = moved(&browser, &elsewhere).await;
    assert!(told.is_refused(), "{told:?}");
    let judged = stage.decision(|line| line["widget"] == "glob" && line["embedder"] == EDGE).await;
    assert_eq!((&judged["reason"], &judged["opened_by"]), (&json!("ticket"), &json!(PREVIEW)), "{judged}");
    // The same on the page that it names.
    open(&browser, PREVIEW, "open", "").await;
    loaded(&browser).await;
    assert_eq!(moved(&browser, &elsewhere).await.title, "widget");
}
