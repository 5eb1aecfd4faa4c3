//! What every view has to be: readable in light and dark, on a desk and on a phone, for everybody, and within its policy.

use std::path::Path;

use serde_json::{Value, json};

use super::{sign_in, view};
use crate::grades::graders;
use crate::support::browser::{Browser, BrowserOptions};
use crate::support::edge::{Edge, EdgeSpec, WRITE_TOKEN};
use crate::support::is_full;

/// The views, and one that isn't there.
const VIEWS: &[&str] = &[
    "/",
    "/fleet",
    "/live",
    "/explain?widget=wgt_demo&page=https%3A%2F%2Fstranger.example%2F",
    "/checklist",
    "/sign-in",
    "/lost",
    "/widgets",
    "/widgets?id=none",
    "/widgets/wgt_demo",
];

/// Variable that names a folder, for pictures of all views.
const PICTURES: &str = "EMBEDGATE_TEST_PICTURES";

const AXE: &str =
    "axe.run({ resultTypes: ['violations'] }).then(({ violations }) => violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id}: ${target}: ${failureSummary}`)))";

const WIDER_THAN_THE_WINDOW: &str = "document.documentElement.scrollWidth > innerWidth
    ? [...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
        .map((e) => `${e.localName}.${e.className}`)
    : []";

#[tokio::test]
async fn every_view_is_fit_for_everybody() {
    let edge = Edge::start(EdgeSpec { source: "store", ..EdgeSpec::default() }).await;
    let browser = Browser::start(BrowserOptions::default()).await.unwrap();
    let axe = std::fs::read_to_string(graders().join("node_modules/axe-core/axe.min.js")).unwrap();
    sign_in(&browser, &edge, WRITE_TOKEN).await;
    let mut faults = Vec::new();
    for path in VIEWS {
        let ways = [(1280, "light"), (360, "dark"), (1280, "dark"), (360, "light")];
        for (width, scheme) in ways.into_iter().take(if is_full() { 4 } else { 2 }) {
            let name = format!("{path} at {width}, {scheme}");
            browser.resize((width, 900)).await.unwrap();
            let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
            browser.devtools("Emulation.setEmulatedMedia", features).await.unwrap();
            browser.goto(&view(&edge, path)).await.unwrap();
            browser.driver().execute(&axe, Vec::new()).await.unwrap();
            for (what, found) in [("axe", AXE), ("too wide", WIDER_THAN_THE_WINDOW)] {
                let found = browser.eval(found).await.unwrap();
                let found = found.as_array().unwrap().iter().filter_map(Value::as_str);
                faults.extend(found.map(|found| format!("{name}: {what}: {found}")));
            }
            if let Some(folder) = std::env::var_os(PICTURES) {
                picture(&browser, Path::new(&folder), path, width, scheme).await;
            }
        }
    }
    // The browser's advice is no fault, and a view that isn't there is a resource that failed to load.
    let is_fault = |line: &String| !line.starts_with("DEBUG") && !line.contains("/lost - Failed to load");
    faults.extend(browser.console().await.unwrap().into_iter().filter(is_fault));
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Photographs a whole view.
async fn picture(browser: &Browser, folder: &Path, path: &str, width: u32, scheme: &str) {
    let height = browser.eval("document.documentElement.scrollHeight").await.unwrap();
    let height = u32::try_from(height.as_u64().unwrap()).unwrap();
    browser.resize((width, height.clamp(640, 6000))).await.unwrap();
    let name = if path == "/" { "overview" } else { path.trim_matches('/') };
    let name = name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
    let file = format!("{name}-{width}-{scheme}.png");
    browser.screenshot(folder.join(file)).await.unwrap();
}
