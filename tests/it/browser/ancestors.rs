//! Frames within frames, and embedders without an address of their own: the edge is told of the page directly around
//! a widget at most, the browser asks `frame-ancestors` about all of them (CSP Level 3 §6.4.2.1).

use reqwest::Method;
use serde_json::{Value, json};

use super::probe::shown;
use super::stage::{EDGE, SITE, STRANGER, Stage, widget};
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::is_full;
use crate::support::upstream::Document;

const PREVIEW: &str = "https://pr-1.preview.example.com";
const DASHBOARD: &str = "https://dashboard.example";

/// An origin around the widget; `None` is an opaque one.
type Around = Option<&'static str>;

/// A page that embeds the widget, in more frames or not.
struct Case {
    name: &'static str,
    /// The page in the tab.
    top: &'static str,
    /// What is around the widget, outermost first, in the words of [`PAGE`].
    steps: &'static [&'static str],
    /// The origins around the widget, the nearest first.
    ancestors: &'static [Around],
    /// What the browser names to the edge.
    named: Option<&'static str>,
}

const fn case(
    name: &'static str,
    (top, steps): (&'static str, &'static [&'static str]),
    ancestors: &'static [Around],
    named: Option<&'static str>,
) -> Case {
    Case { name, top, steps, ancestors, named }
}

const CASES: [Case; 21] = [
    case("plain", (SITE, &[]), &[Some(SITE)], Some(SITE)),
    case("stranger", (STRANGER, &[]), &[Some(STRANGER)], Some(STRANGER)),
    case("preview", (PREVIEW, &[]), &[Some(PREVIEW)], Some(PREVIEW)),
    case("system", (DASHBOARD, &[]), &[Some(DASHBOARD)], Some(DASHBOARD)),
    // Nested: one bad ancestor is enough for the browser; the edge hears of the nearest one alone.
    case("in_itself", (SITE, &[SITE]), &[Some(SITE), Some(SITE)], Some(SITE)),
    case("in_stranger", (STRANGER, &[SITE]), &[Some(SITE), Some(STRANGER)], Some(SITE)),
    case("around_stranger", (SITE, &[STRANGER]), &[Some(STRANGER), Some(SITE)], Some(STRANGER)),
    case("between", (SITE, &[STRANGER, SITE]), &[Some(SITE), Some(STRANGER), Some(SITE)], Some(SITE)),
    // HTML: a document of `srcdoc` has its creator's origin, and Referrer Policy §8.3 names the creator's page.
    case("srcdoc", (SITE, &["srcdoc"]), &[Some(SITE), Some(SITE)], Some(SITE)),
    case("srcdoc_stranger", (STRANGER, &["srcdoc"]), &[Some(STRANGER), Some(STRANGER)], Some(STRANGER)),
    // `about:blank` and `blob:` have it, too, and no referrer (Referrer Policy §8.4: local schemes).
    case("blank", (SITE, &["blank"]), &[Some(SITE), Some(SITE)], None),
    case("blank_stranger", (STRANGER, &["blank"]), &[Some(STRANGER), Some(STRANGER)], None),
    case("blob", (SITE, &["blob"]), &[Some(SITE), Some(SITE)], None),
    case("blob_stranger", (STRANGER, &["blob"]), &[Some(STRANGER), Some(STRANGER)], None),
    case("blob_preview", (PREVIEW, &["blob"]), &[Some(PREVIEW), Some(PREVIEW)], None),
    // An opaque origin, which is nobody's and has no referrer (Referrer Policy §8.3).
    case("data", (SITE, &["data"]), &[None, Some(SITE)], None),
    case("sandbox", (SITE, &["sandbox"]), &[None, Some(SITE)], None),
    case("sandbox_stranger", (STRANGER, &["sandbox"]), &[None, Some(STRANGER)], None),
    // A sandbox that leaves the page its origin.
    case("sandbox_own", (SITE, &["sandbox-own"]), &[Some(SITE), Some(SITE)], Some(SITE)),
    // A sandbox around the widget's own document says nothing about who embeds it.
    case("boxed", (SITE, &["boxed"]), &[Some(SITE)], Some(SITE)),
    case("boxed_stranger", (STRANGER, &["boxed"]), &[Some(STRANGER)], Some(STRANGER)),
];

/// `?in=` says what is around each widget of `?ids=`.
const PAGE: &str = r#"<!doctype html><title>embedder</title><body><script>
    const asked = new URLSearchParams(location.search);
    const [step, ...rest] = asked.get("in").split(" ").filter(Boolean);
    for (const id of asked.get("ids").split(",")) {
      const widget = `EDGE/w/${id}/frame`;
      const inner = `/?${new URLSearchParams({ in: rest.join(" "), ids: id })}`;
      const html = `<!doctype html><title>around</title><iframe src="${widget}"></iframe>`;
      const frame = document.createElement("iframe");
      if (step === undefined || step === "boxed") frame.src = widget;
      else if (step === "srcdoc") frame.srcdoc = html;
      else if (step === "blob") frame.src = URL.createObjectURL(new Blob([html], { type: "text/html" }));
      else if (step === "data") frame.src = `data:text/html,${encodeURIComponent(html)}`;
      else if (step.startsWith("https:")) frame.src = step + inner;
      else if (step !== "blank") frame.src = inner;
      if (step === "boxed" || step === "sandbox") frame.sandbox = "allow-scripts";
      if (step === "sandbox-own") frame.sandbox = "allow-scripts allow-same-origin";
      document.body.append(frame);
      if (step === "blank") frame.contentDocument.body.innerHTML = html;
    }
</script>"#;

/// The lists to try on the case at this place: all of them, or every other one beside those that are known to differ.
fn tried(place: usize, case: &Case) -> Vec<(&'static str, Value)> {
    let lists = lists().into_iter().enumerate();
    let tried = lists.filter(|(number, (list, _))| {
        is_full() || number % 2 == place % 2 || known_difference(list, case).is_some()
    });
    tried.map(|(_, list)| list).collect()
}

fn lists() -> [(&'static str, Value); 5] {
    [
        ("listed", widget("", json!(["site.example"]))),
        ("both", widget("", json!(["site.example", "stranger.example"]))),
        ("glob", widget("", json!(["pr-*.preview.example.com"]))),
        ("locked", widget("", json!([]))),
        ("open", json!({ "access": "open" })),
    ]
}

/// Where what loads differs from what the edge says of the pages around, and by which standard.
fn known_difference(list: &str, case: &Case) -> Option<bool> {
    let opaque = case.ancestors.contains(&None);
    match (list, case.name) {
        // Fetch, "append a request `Origin` header": the GET of a frame has none, so no `null` tells the edge of an
        // opaque page. A list keeps it out by `frame-ancestors`; an open widget has none. Its sessions are refused.
        ("open", _) if opaque => Some(true),
        // No source expression of CSP Level 3 says a glob; its page is named where the browser names it.
        ("glob", "blob_preview") => Some(false),
        _ => None,
    }
}

async fn says(edge: &Edge, id: &str, around: Around) -> bool {
    let question = match around {
        Some(origin) => json!({ "widget": id, "class": "frame", "referer": format!("{origin}/") }),
        None => json!({ "widget": id, "class": "frame", "origin": "null" }),
    };
    let told = edge.api(Method::POST, "/v1/explain").json(&question).send().await.unwrap();
    told.json::<Value>().await.unwrap()["verdict"] == "allow"
}

#[tokio::test]
async fn a_widget_loads_where_the_edge_allows_every_page_around_it() {
    let upstream = Document::serve("<!doctype html><title>widget</title>").await;
    let mut documents = Vec::new();
    for case in &CASES {
        for (list, mut document) in lists() {
            document["id"] = json!(format!("{list}-{}", case.name));
            documents.push(document);
        }
    }
    let mut spec = EdgeSpec::on(upstream.addr, &json!(documents));
    spec.more += &format!("[policy]\nsystem_origins = [\"{DASHBOARD}\"]\n");
    let hosts = [SITE, STRANGER, PREVIEW, DASHBOARD].map(|origin| origin.trim_start_matches("https://"));
    let stage = Stage::start(spec, &hosts).await;
    stage.sites.put("/", &[], PAGE.replace("EDGE", EDGE));
    let browser = stage.browser().await;

    let mut differences = Vec::new();
    for (place, case) in CASES.iter().enumerate() {
        let lists = tried(place, case);
        let ids: Vec<String> = lists.iter().map(|(list, _)| format!("{list}-{}", case.name)).collect();
        let steps = case.steps.join("%20");
        browser.goto(&format!("{}/?in={steps}&ids={}", case.top, ids.join(","))).await.unwrap();
        let depth = case.ancestors.len() - 1;
        for (place, ((list, _), id)) in lists.iter().zip(&ids).enumerate() {
            let outermost = format!("document.querySelectorAll('iframe')[{place}]");
            let path = [vec![outermost.as_str()], vec!["document.querySelector('iframe')"; depth]].concat();
            let loaded = shown(&browser, &path).await.title == "widget";
            let mut allowed = true;
            for around in case.ancestors {
                allowed &= says(&stage.edge, id, *around).await;
            }
            if loaded != known_difference(list, case).unwrap_or(allowed) {
                differences.push(format!("{id}: the edge says {allowed}, loaded {loaded}"));
            }
            let named = case.named.map_or(Value::Null, Value::from);
            let decision = stage.decision(|decision| decision["widget"] == id.as_str()).await;
            // Who isn't named is let in, and left to the browser.
            let heard = match case.named {
                Some(_) => says(&stage.edge, id, case.named).await,
                None => true,
            };
            if (decision["verdict"] == "allow", &decision["embedder"]) != (heard, &named) {
                differences.push(format!("{id}: {decision}"));
            }
        }
    }
    assert!(differences.is_empty(), "{differences:#?}");

    // In a tab of its own nothing is around it.
    browser.goto(&format!("{EDGE}/w/locked-plain/frame")).await.unwrap();
    assert_eq!(shown(&browser, &[]).await.title, "widget");
}
