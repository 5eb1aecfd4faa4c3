//! The operator's page: who gets in, and what each view shows and does, in Chromium where that matters.

mod explain;
mod live;

use std::time::Duration;

use crate::support::browser::Browser;
use crate::support::edge::Edge;

/// More than anything here may take.
const SOON: Duration = Duration::from_secs(10);

/// Where browsers see the page, without the last slash.
fn address(edge: &Edge) -> String {
    format!("http://localhost:{}", edge.admin.port())
}

/// Signs in with a token, as a person does, and waits for the page.
async fn sign_in(browser: &Browser, edge: &Edge, token: &str) {
    browser.goto(&format!("{}/", address(edge))).await.unwrap();
    browser.wait_for("[name=token]", SOON).await.unwrap();
    let field = "document.querySelector('[name=token]')";
    let send = format!("{field}.value = '{token}', {field}.form.requestSubmit()");
    browser.eval(&send).await.unwrap();
    browser.wait_for("form[action='/sign-out']", SOON).await.unwrap();
}
