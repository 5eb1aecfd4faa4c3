//! The operator's page: who gets in, and what each view shows and does, in Chromium where that matters.

mod attacks;
mod checklist;
mod explain;
mod guide;
mod live;
mod looks;
mod overview;
mod sessions;
mod widgets;

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response};

use crate::support::browser::Browser;
use crate::support::edge::Edge;

/// More than anything here may take.
const SOON: Duration = Duration::from_secs(20);

/// Where browsers see the page, without the last slash.
fn address(edge: &Edge) -> String {
    format!("http://localhost:{}", edge.admin.port())
}

/// The address of a view.
pub(crate) fn view(edge: &Edge, path: &str) -> String {
    format!("{}{path}", address(edge))
}

/// Signs in with a token, as a person does, and waits for the page.
pub(crate) async fn sign_in(browser: &Browser, edge: &Edge, token: &str) {
    browser.goto(&format!("{}/", address(edge))).await.unwrap();
    browser.wait_for("[name=token]", SOON).await.unwrap();
    let field = "document.querySelector('[name=token]')";
    let send = format!("{field}.value = '{token}', {field}.form.requestSubmit()");
    browser.eval(&send).await.unwrap();
    browser.wait_for("form[action='/sign-out']", SOON).await.unwrap();
}

/// A client that follows nothing and keeps no cookie.
fn client() -> Client {
    Client::builder().redirect(Policy::none()).build().unwrap()
}

/// The form of a sign-in, as the page sends it.
fn form(edge: &Edge, token: &str) -> RequestBuilder {
    client()
        .post(format!("{}/sign-in", address(edge)))
        .header("origin", address(edge))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("token={token}&next=%2F"))
}

/// The cookie of a session that a token has begun, as a browser sends it.
async fn session(edge: &Edge, token: &str) -> String {
    let answer = form(edge, token).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["location"]), (303, &"/".parse().unwrap()));
    kept(&answer)
}

/// What a browser would keep of an answer's cookie, and send.
fn kept(answer: &Response) -> String {
    answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned()
}
