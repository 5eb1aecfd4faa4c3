//! The view of the checklist: what it says before a run, a run, and its result.

use std::time::Duration;

use crate::browser::screenshot;
use crate::support::browser::{Browser, BrowserOptions};
use crate::support::edge::{Edge, EdgeSpec, READ_TOKEN, WRITE_TOKEN};

const SOON: Duration = Duration::from_secs(15);

async fn sign_in(browser: &Browser, edge: &Edge, token: &str, then: &str) {
    browser.goto(&format!("http://{}/sign-in", edge.admin)).await.unwrap();
    let submit = format!(
        "const form = document.querySelector('form'); form.elements.token.value = '{token}'; form.requestSubmit();"
    );
    browser.eval(&format!("(() => {{ {submit} }})()")).await.unwrap();
    browser.wait_for("main#main", SOON).await.unwrap();
    browser.goto(&format!("http://{}{then}", edge.admin)).await.unwrap();
}

#[tokio::test]
async fn a_checklist_is_run_and_read_on_the_page() {
    let edge = Edge::start(EdgeSpec { source: "store", ..EdgeSpec::default() }).await;
    let browser = Browser::start(BrowserOptions::default()).await.unwrap();
    sign_in(&browser, &edge, WRITE_TOKEN, "/checklist?widget=unknown").await;
    browser.wait_for(".fault a[href='/widgets']", SOON).await.unwrap();
    browser.goto(&format!("http://{}/checklist?widget=wgt_demo", edge.admin)).await.unwrap();
    browser.wait_for(".empty", SOON).await.unwrap();
    let run = |site: &str| {
        format!(
            "(() => {{ const form = document.getElementById('run'); form.elements.site.value = '{site}'; form.requestSubmit(); }})()"
        )
    };
    browser.eval(&run("https://stranger.example.com/")).await.unwrap();
    browser.wait_for("#fault:not([hidden])", SOON).await.unwrap();
    let fault = browser.eval("document.getElementById('fault').textContent").await.unwrap();
    assert!(fault.as_str().unwrap().contains("no entry of the list admits"), "{fault}");
    browser.eval(&run(&format!("http://site.localhost:{}/", edge.http.port()))).await.unwrap();
    browser.wait_for("#linked .badge.good", SOON).await.unwrap();
    let failed = browser.eval("document.querySelectorAll('.badge.bad').length").await.unwrap();
    assert_eq!(failed, 0);
    browser.screenshot(&screenshot("checklist.png")).await.unwrap();
    browser.resize((360, 800)).await.unwrap();
    let wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth";
    assert_eq!(browser.eval(wide).await.unwrap(), false, "it fits on a phone");

    browser.eval("document.querySelector('form.who').requestSubmit()").await.unwrap();
    browser.wait_for("form input[name=token]", SOON).await.unwrap();
    sign_in(&browser, &edge, READ_TOKEN, "/checklist?widget=wgt_demo").await;
    browser.wait_for("#linked .badge.good", SOON).await.unwrap();
    assert_eq!(browser.eval("document.getElementById('run') === null").await.unwrap(), true);
}
