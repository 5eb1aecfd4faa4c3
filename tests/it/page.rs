//! The operator's page, in Chromium on a real edge.

mod looks;
mod overview;

use std::time::Duration;

use thirtyfour::By;

use crate::support::browser::Browser;
use crate::support::edge::Edge;

/// Time for what a view does at once, on a machine that is busy.
pub const SOON: Duration = Duration::from_secs(20);

/// The address of a view.
pub fn view(edge: &Edge, path: &str) -> String {
    format!("http://{}{path}", edge.admin)
}

/// Signs in with a token, as a person does, and waits for the overview.
pub async fn sign_in(browser: &Browser, edge: &Edge, token: &str) {
    browser.goto(&view(edge, "/")).await.unwrap();
    let field = browser.driver().find(By::Css("input[name=token]")).await.unwrap();
    field.send_keys(format!("{token}\n")).await.unwrap();
    browser.wait_for("form[action='/sign-out']", SOON).await.unwrap();
}
