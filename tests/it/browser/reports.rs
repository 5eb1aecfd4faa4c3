//! The browser's own reports: it knows every page around a frame, and tells the edge of those that no request shows.

use reqwest::Method;
use serde_json::{Value, json};

use super::SOON;
use super::probe::shown;
use super::stage::{EDGE, SITE, STRANGER, Stage};
use crate::reports::{await_outcomes, kept, outcomes};
use crate::support::browser::Browser;
use crate::support::edge::EdgeSpec;
use crate::support::raw;
use crate::support::upstream::Document;

/// The widget's sites, beside the one that every test here has.
const SITES: [&str; 5] =
    [SITE, "https://shop.example", "https://blog.example", "https://docs.example", "https://jobs.example"];
const PREVIEW: &str = "https://pr-1.preview.example";
const AHEAD: &str = "https://ahead.example";
const TITLE: &str = "widget";

/// `?in=` says what is around the widget of `?id=`, outermost first: sites, and `sandbox`.
const PAGE: &str = r#"<!doctype html><title>embedder</title><body><script>
    const asked = new URLSearchParams(location.search);
    const [step, ...rest] = asked.get("in").split(" ").filter(Boolean);
    const inner = `/?${new URLSearchParams({ in: rest.join(" "), id: asked.get("id") })}`;
    const frame = document.createElement("iframe");
    if (step === undefined) frame.src = `EDGE/w/${asked.get("id")}/frame`;
    else if (step === "sandbox") { frame.src = inner; frame.sandbox = "allow-scripts"; }
    else frame.src = step + inner;
    document.body.append(frame);
</script>"#;

/// A page that fetches the widget's frame ahead, and does not open it.
const FETCHES_AHEAD: &str = r#"<!doctype html><title>ahead</title><link rel="prefetch" href="EDGE/w/monitored/frame">
    <link rel="prefetch" href="EDGE/w/monitored/loader.js"><body>"#;

async fn stage(more: &str) -> (Stage, Document) {
    let upstream = Document::serve("<!doctype html><title>widget</title>").await;
    let hosts = |origins: &[&'static str]| -> Vec<&'static str> {
        origins.iter().map(|origin| origin.trim_start_matches("https://")).collect()
    };
    let sites = hosts(&SITES);
    let mut spec = EdgeSpec::on(
        upstream.addr,
        &json!([
            // The others have never been entered.
            { "id": "monitored", "access": "monitor", "allowed_domains": sites[..1] },
            { "id": "enforced", "allowed_domains": sites },
            { "id": "glob", "access": "monitor", "allowed_domains": ["pr-*.preview.example"] },
            { "id": "open", "access": "open" },
        ]),
    );
    spec.source = "store";
    spec.more = spec.more.replace("[log]\n", "[log]\nlevel = \"debug\"\n") + more;
    let names = [sites, hosts(&[STRANGER, PREVIEW, AHEAD])].concat();
    let stage = Stage::start(spec, &names).await;
    stage.sites.put("/", &[], PAGE.replace("EDGE", EDGE));
    stage.sites.put("/unnamed", &[("referrer-policy", "no-referrer")], PAGE.replace("EDGE", EDGE));
    stage.sites.put("/ahead", &[], FETCHES_AHEAD.replace("EDGE", EDGE));
    (stage, upstream)
}

/// Opens the widget inside these pages, and tells whether it is shown.
async fn loads(browser: &Browser, around: &[&str], id: &str) -> bool {
    loads_at(browser, around, id, "/").await
}

async fn loads_at(browser: &Browser, around: &[&str], id: &str, path: &str) -> bool {
    let (top, steps) = around.split_first().unwrap();
    browser.goto(&format!("{top}{path}?in={}&id={id}", steps.join("%20"))).await.unwrap();
    let frame = "document.querySelector('iframe')";
    shown(browser, &vec![frame; around.len()]).await.title == TITLE
}

#[tokio::test]
async fn a_stranger_around_a_listed_page_is_named() {
    let (stage, _upstream) = stage("").await;
    let browser = stage.browser().await;
    // Where everybody around is on the list, or known by the verdict, there is nothing to report.
    for site in SITES {
        for id in ["monitored", "enforced", "open"] {
            assert!(loads(&browser, &[site], id).await, "{id} on {site}");
        }
    }
    assert!(loads(&browser, &[SITE, SITE], "enforced").await);
    assert!(loads(&browser, &[SITE, SITES[1]], "enforced").await);
    // A browser is never told of a glob, so its page is added; it is no page that it would report.
    assert!(loads(&browser, &[PREVIEW], "glob").await);
    assert!(loads(&browser, &[STRANGER], "monitored").await);
    assert!(loads(&browser, &[STRANGER, SITE], "open").await);
    assert_eq!(outcomes(&stage.edge).await, [0.0; 4]);

    // The edge hears of the page directly around the frame; the browser of both.
    assert!(loads(&browser, &[STRANGER, SITES[1]], "monitored").await);
    await_outcomes(&stage.edge, [1.0, 0.0, 0.0, 0.0]).await;
    assert!(!loads(&browser, &[STRANGER, SITES[1]], "enforced").await, "enforced, it is blocked");
    await_outcomes(&stage.edge, [2.0, 0.0, 0.0, 0.0]).await;
    for id in ["monitored", "enforced"] {
        assert_eq!(kept(&stage.edge, id), [STRANGER], "{id}");
    }
    // Its decision says who has embedded it, and no decision tells of the stranger.
    let decision = stage.decision(|line| line["widget"] == "enforced" && line["embedder"] == SITES[1]).await;
    assert_eq!(decision["verdict"], "allow", "{decision}");
    let strangers = stage.edge.decisions().into_iter().filter(|line| line["embedder"] == STRANGER);
    assert!(strangers.into_iter().all(|line| line["widget"] == "monitored"), "its own visit alone");
}

/// However far around the frame it is, the page that the list does not admit is the one that is named: the nearest one where
/// a policy is enforced, each where it is only monitored.
#[tokio::test]
async fn whoever_is_not_on_the_list_is_named() {
    let (stage, _upstream) = stage("").await;
    let browser = stage.browser().await;
    let nested = [
        &[SITES[1], STRANGER, SITE][..],
        &[STRANGER, SITES[1], SITE],
        &[SITES[1], STRANGER, SITES[2], SITE],
        &[STRANGER, PREVIEW, SITE],
    ];
    for (before, around) in nested.into_iter().enumerate() {
        assert!(!loads(&browser, around, "enforced").await, "{around:?}");
        await_outcomes(&stage.edge, [before as f64 + 1.0, 0.0, 0.0, 0.0]).await;
    }
    assert_eq!(kept(&stage.edge, "enforced"), [STRANGER, STRANGER, STRANGER, PREVIEW]);
    assert!(loads(&browser, &[STRANGER, PREVIEW, SITE], "monitored").await);
    await_outcomes(&stage.edge, [6.0, 0.0, 0.0, 0.0]).await;
    let mut both = kept(&stage.edge, "monitored");
    both.sort();
    assert_eq!(both, [PREVIEW, STRANGER]);
}

/// A page without a referrer, or without an origin, is not named. The page directly around the frame may be.
#[tokio::test]
async fn a_page_that_says_nothing_of_itself_is_told_of_by_the_one_inside_it() {
    let (stage, _upstream) = stage("").await;
    let browser = stage.browser().await;
    assert!(!loads_at(&browser, &[STRANGER, SITE], "enforced", "/unnamed").await);
    await_outcomes(&stage.edge, [1.0, 0.0, 0.0, 0.0]).await;
    assert_eq!(kept(&stage.edge, "enforced"), [SITE]);
    assert!(!loads_at(&browser, &[STRANGER], "enforced", "/unnamed").await);
    await_outcomes(&stage.edge, [1.0, 1.0, 0.0, 0.0]).await;
    assert!(!loads(&browser, &[SITE, "sandbox"], "enforced").await);
    await_outcomes(&stage.edge, [1.0, 2.0, 0.0, 0.0]).await;
    assert_eq!(kept(&stage.edge, "enforced"), [SITE]);
}

#[tokio::test]
async fn without_a_path_nothing_is_reported() {
    let (stage, _upstream) = stage("[reports]\npath = \"\"\n").await;
    let browser = stage.browser().await;
    assert!(!loads(&browser, &[STRANGER, SITE], "enforced").await);
    assert!(loads(&browser, &[STRANGER, SITE], "monitored").await);
    let console = browser.console().await.unwrap();
    let reported = |line: &&String| line.contains("report-only") || line.contains("Report Only");
    assert!(!console.iter().any(|line| reported(&line)), "{console:#?}");
    let frame = async |id: &str| {
        let fields = [("Referer", SITE), ("Sec-Fetch-Dest", "iframe")];
        raw::get(stage.edge.http, &format!("/w/{id}/frame"), &fields).await
    };
    let (enforced, monitored) = (frame("enforced").await, frame("monitored").await);
    let policy = enforced.field("content-security-policy");
    assert!(policy.contains("frame-ancestors") && !policy.contains("report-uri"), "{policy}");
    assert_eq!((monitored.status, monitored.field("content-security-policy-report-only")), (200, ""));
}

/// From what a monitored widget was seen on to a list that is enforced.
#[tokio::test]
async fn what_was_seen_makes_the_list_and_the_report_names_the_stranger() {
    let (stage, _upstream) = stage("").await;
    let browser = stage.browser().await;
    browser.goto(&format!("{AHEAD}/ahead")).await.unwrap();
    let fetched =
        "performance.getEntriesByType('resource').filter(({ name }) => name.includes('/w/')).length === 2";
    browser.wait_until(fetched, SOON).await.unwrap();
    for site in SITES {
        assert!(loads(&browser, &[site], "monitored").await, "{site}");
    }
    assert!(loads(&browser, &[STRANGER, SITES[4]], "monitored").await);
    await_outcomes(&stage.edge, [1.0, 0.0, 0.0, 0.0]).await;

    let origins = |sites: &Value| -> Vec<String> {
        let sites = sites.as_array().unwrap().iter();
        let mut origins: Vec<String> =
            sites.map(|site| site["origin"].as_str().unwrap().to_owned()).collect();
        origins.sort();
        origins
    };
    let mut five = SITES.map(str::to_owned);
    five.sort();
    let mut activity = Value::Null;
    crate::support::eventually("the report is told", async || {
        let told = stage.edge.admin("/v1/widgets/monitored/activity").await;
        activity = told.json().await.unwrap();
        activity["reported"]["sites"].as_array().is_some_and(|sites| !sites.is_empty())
    })
    .await;
    assert_eq!(origins(&activity["reported"]["sites"]), [STRANGER], "{activity}");
    let unlisted: Vec<String> = five.iter().filter(|site| *site != SITE).cloned().collect();
    assert_eq!(origins(&activity["refused"]["sites"]), unlisted, "{activity}");
    assert!(!activity.to_string().contains(AHEAD), "a prefetch is no sighting: {activity}");

    let answer = stage.edge.api(Method::POST, "/v1/widgets/monitored/propose").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let proposal: Value = answer.json().await.unwrap();
    let with = |standing: &str| -> Vec<String> {
        let sites = proposal["sites"].as_array().unwrap().iter();
        let wanted = sites.filter(|site| site["standing"] == standing).cloned();
        origins(&Value::Array(wanted.collect()))
    };
    let mut named = [with("added"), with("listed")].concat();
    named.sort();
    assert_eq!(named, five, "{proposal}");
    assert_eq!(with("unverified"), [STRANGER], "{proposal}");

    let mut draft = proposal["draft"].clone();
    // It is the next one.
    draft.as_object_mut().unwrap().remove("revision");
    stage.save(&draft).await;
    for site in SITES {
        assert!(loads(&browser, &[site], "monitored").await, "{site}");
    }
    assert!(!loads(&browser, &[STRANGER, SITES[4]], "monitored").await, "enforced");
}
