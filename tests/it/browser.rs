//! The demo in a real browser: the widget loads on the listed site and says why not on the other.

use std::path::Path;
use std::time::Duration;

use crate::support::browser::{Browser, BrowserOptions};
use crate::support::edge::{Edge, EdgeSpec};

mod agreement;
mod ancestors;
mod cached;
mod cookies;
mod frame_moves;
mod frame_streams;
mod iframe_session;
mod limits;
mod opaque;
mod prefetched;
mod probe;
mod public_pages;
mod readable;
mod reasons;
mod refused_posts;
mod reports;
mod restored;
mod rewritten;
mod saved;
mod service_worker;
pub mod stage;
mod surfaces;
mod voice;

const SOON: Duration = Duration::from_secs(10);

/// Screenshots are kept where they can be looked at.
pub fn screenshot(name: &str) -> std::path::PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots").join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    path
}

const FRAME: &str = "document.getElementById('embedgate-widget').shadowRoot.querySelector('iframe')";

/// Opens the widget as a visitor does, and waits until its session is open.
pub async fn open_chat(browser: &Browser) {
    let launcher =
        "document.getElementById('embedgate-widget').shadowRoot.querySelector('.launcher').click()";
    browser.wait_for("#embedgate-widget", SOON).await.unwrap();
    browser.eval(launcher).await.unwrap();
    browser.wait_for("#embedgate-widget[data-session=open]", SOON).await.unwrap();
}

#[tokio::test]
async fn the_widget_loads_where_it_is_listed() {
    let edge = Edge::start(EdgeSpec::default()).await;
    let browser = Browser::start(BrowserOptions::default()).await.unwrap();
    browser.goto(&format!("http://site.localhost:{}/", edge.http.port())).await.unwrap();
    browser.wait_for("#outcome[data-outcome=loaded]", SOON).await.unwrap();
    open_chat(&browser).await;
    browser.enter_frame(FRAME).await.unwrap();
    browser.wait_for(".agent:not(.thinking)", SOON).await.unwrap();
    browser.leave_frames().await.unwrap();
    browser.screenshot(&screenshot("site.png")).await.unwrap();
    let errors: Vec<_> =
        browser.console().await.unwrap().into_iter().filter(|line| line.starts_with("SEVERE")).collect();
    assert!(errors.iter().all(|line| line.contains("favicon.ico")), "{errors:?}");
}

/// Runs the first change of the README, with this word in place of `allow`.
fn first_change(edge: &Edge, word: &str) {
    let readme = std::fs::read_to_string("README.md").unwrap();
    let command = readme.lines().find_map(|line| line.strip_prefix("target/debug/embedgate widgets allow "));
    let arguments = command.expect("the README has its first change").split(' ');
    let ran = Edge::command(edge.folder()).args(["widgets", word]).args(arguments).output().unwrap();
    assert!(ran.status.success() && ran.stderr.is_empty(), "{ran:?}");
}

/// The change that the README makes first: one command, seen on the page that is let in and in a chat that ends.
#[tokio::test]
async fn one_command_lets_a_site_in_and_ends_the_chats_of_another() {
    let spec = EdgeSpec { source: "store", ..EdgeSpec::default() };
    let edge = Edge::start(spec).await;
    let (site, stranger) = ("site.localhost", "stranger.localhost");
    let of = |host: &str| format!("http://{host}:{}/", edge.http.port());
    let browser = Browser::start(BrowserOptions::default()).await.unwrap();

    browser.goto(&of(stranger)).await.unwrap();
    browser.wait_for("#outcome[data-outcome=refused]", SOON).await.unwrap();
    let badge = "document.getElementById('list-badge').textContent";
    assert_eq!(browser.eval(badge).await.unwrap(), "This site may not embed the widget");
    first_change(&edge, "allow");
    browser.goto(&of(stranger)).await.unwrap();
    browser.wait_for("#outcome[data-outcome=loaded]", SOON).await.unwrap();
    assert_eq!(browser.eval(badge).await.unwrap(), "This site may embed the widget");

    open_chat(&browser).await;
    browser.enter_frame(FRAME).await.unwrap();
    browser.wait_for(".agent:not(.thinking)", SOON).await.unwrap();
    browser.leave_frames().await.unwrap();
    first_change(&edge, "disallow");
    browser.wait_for("#embedgate-widget[data-session=ended]", SOON).await.unwrap();
    browser.enter_frame(FRAME).await.unwrap();
    browser.wait_for(".note.ended", SOON).await.unwrap();
    browser
        .wait_until("document.getAnimations().every((one) => one.playState === 'finished')", SOON)
        .await
        .unwrap();
    browser.leave_frames().await.unwrap();
    browser.screenshot(&screenshot("ended.png")).await.unwrap();
    assert_eq!(edge.metric("embedgate_sessions_revoked_total").await, 1.0);
    browser.goto(&of(site)).await.unwrap();
    browser.wait_for("#outcome[data-outcome=loaded]", SOON).await.unwrap();
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
