//! The demo in a real browser: the widget loads on the listed site and says why not on the other.

use std::path::Path;
use std::time::Duration;

use crate::support::browser::{Browser, BrowserOptions};
use crate::support::edge::{Edge, EdgeSpec};

const SOON: Duration = Duration::from_secs(10);

/// Screenshots are kept where they can be looked at.
fn screenshot(name: &str) -> std::path::PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

#[tokio::test]
async fn the_widget_loads_where_it_is_listed() {
    let edge = Edge::start(EdgeSpec::default()).await;
    let browser = Browser::start(BrowserOptions::default()).await.unwrap();
    browser.goto(&format!("http://site.localhost:{}/", edge.http.port())).await.unwrap();
    browser.wait_for("#outcome[data-outcome=loaded]", SOON).await.unwrap();
    let launcher =
        "document.getElementById('embedgate-widget').shadowRoot.querySelector('.launcher').click()";
    browser.eval(launcher).await.unwrap();
    browser.wait_for("#embedgate-widget[data-session=open]", SOON).await.unwrap();
    let frame = "document.getElementById('embedgate-widget').shadowRoot.querySelector('iframe')";
    browser.enter_frame(frame).await.unwrap();
    browser.wait_for(".agent:not(.thinking)", SOON).await.unwrap();
    browser.leave_frames().await.unwrap();
    browser.screenshot(&screenshot("site.png")).await.unwrap();
    let errors: Vec<_> =
        browser.console().await.unwrap().into_iter().filter(|line| line.starts_with("SEVERE")).collect();
    assert!(errors.iter().all(|line| line.contains("favicon.ico")), "{errors:?}");
}

#[tokio::test]
async fn a_stranger_is_refused_and_told_why() {
    let edge = Edge::start(EdgeSpec::default()).await;
    let browser = Browser::start(BrowserOptions::default()).await.unwrap();
    let stranger = format!("http://stranger.localhost:{}", edge.http.port());
    browser.goto(&format!("{stranger}/")).await.unwrap();
    browser.wait_for("#outcome[data-outcome=refused]", SOON).await.unwrap();
    let line = browser.wait_for_console("may not be embedded", SOON).await.unwrap();
    assert!(line.contains(&stranger), "{line}");
    assert_eq!(browser.eval("document.getElementById('embedgate-widget') === null").await.unwrap(), true);
    browser.screenshot(&screenshot("stranger.png")).await.unwrap();
}
