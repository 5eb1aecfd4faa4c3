//! What becomes, on the page that is open, of everything that a page can ask the edge for.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::stage::EDGE;
use crate::support::browser::Browser;
use crate::support::sites::Sites;

/// What each surface gave: `tag`, `crossorigin`, `module` and `import` of the loader; `frame`; `fetch`, `preflight` and
/// `streamed` by `fetch()`, of which the last two have a preflight; `stream` by `EventSource`; `socket`.
pub type Told = BTreeMap<String, Surface>;

/// What one surface gave.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Surface {
    /// The widget's own answer came and was used.
    pub works: bool,
    /// What there was to read: in the console, in the frame or in the answer.
    pub said: String,
}

const SCRIPT: (&str, &str) = ("content-type", "text/javascript");

/// Puts a page that can probe at each of these paths, with these fields.
pub fn put(sites: &Sites, pages: &[(&str, &[(&'static str, &'static str)])]) {
    sites.put("/probe.js", &[SCRIPT], include_str!("probe.js"));
    for (path, fields) in pages {
        sites.put(path, fields, page(""));
    }
}

/// A page that can probe, with `more` in it.
pub fn page(more: &str) -> String {
    format!("<!doctype html><title>embedder</title><body><script src=\"/probe.js\"></script>{more}")
}

/// Puts a script at this path.
pub fn put_script(sites: &Sites, path: &str, script: impl Into<String>) {
    sites.put(path, &[SCRIPT], script);
}

/// Tries everything on the page that is open.
pub async fn probe(browser: &Browser, widget: &str) -> Told {
    let mut told = scripts(browser, widget).await;
    told.extend(calls(browser, &format!("calls('{EDGE}/w/{widget}/')")).await);
    told.insert("frame".to_owned(), frame(browser, widget).await);
    told
}

/// The loader, each way; what it says is taken from the browser's console.
pub async fn scripts(browser: &Browser, widget: &str) -> Told {
    let before = browser.console().await.unwrap().len();
    let mut told = calls(browser, &format!("scripts('{EDGE}/w/{widget}/')")).await;
    let mut way = String::new();
    for line in browser.console().await.unwrap().split_off(before) {
        if let Some((_, name)) = line.split_once("\"way: ") {
            name.trim_end_matches('"').clone_into(&mut way);
        } else if let Some(surface) = told.get_mut(&way) {
            surface.said += &line;
        }
    }
    told
}

/// What an expression of `probe.js` tells.
pub async fn calls(browser: &Browser, expression: &str) -> Told {
    serde_json::from_value(browser.eval(expression).await.unwrap()).unwrap()
}

/// The frame, by what a person sees in it.
pub async fn frame(browser: &Browser, widget: &str) -> Surface {
    browser.eval(&format!("frame('{EDGE}/w/{widget}/')")).await.unwrap();
    let shown = shown(browser, &["document.querySelector('iframe')"]).await;
    Surface { works: shown.title == "Chat with Pip", said: shown.text }
}

/// A document, as a person sees it.
#[derive(Debug, Deserialize)]
pub struct Shown {
    pub address: String,
    pub title: String,
    pub text: String,
}

impl Shown {
    /// The browser has put a page of its own in its place.
    pub fn is_refused(&self) -> bool {
        self.address.starts_with("chrome-error:")
    }
}

/// The document in the frame to which these expressions lead, each inside the one before.
pub async fn shown(browser: &Browser, path: &[&str]) -> Shown {
    for expression in path {
        browser.enter_frame(expression).await.unwrap();
    }
    let shown = browser
        .eval("{ address: location.href, title: document.title, text: document.body.innerText }")
        .await
        .unwrap();
    browser.leave_frames().await.unwrap();
    serde_json::from_value(shown).unwrap()
}
