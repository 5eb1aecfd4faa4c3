//! Streamlit: an iframe with a WebSocket, which knows nothing of tickets.

use super::recipe::Recipe;
use super::scene::{Scene, Shape};
use super::{COOKIE, NO_COOKIE};
use crate::browser::stage::{SITE, STRANGER};

const APP: Shape = Shape {
    name: "streamlit",
    product: "streamlit",
    section: "Streamlit",
    host: "helpdesk.apps.example.net",
    tag: 0,
    is_framed: true,
    launcher: None,
    input: "document.querySelector('textarea')",
    send: "document.querySelector('[data-testid=stChatInputSubmitButton]')",
    root: "document",
    text: "document.body.innerText",
};

#[tokio::test]
#[ignore = "`make integrations` runs it"]
async fn a_conversation_on_a_listed_site() {
    Scene::set(&APP).await.converse().await;
}

#[tokio::test]
#[ignore = "`make integrations` runs it"]
async fn a_stranger_reads_why_in_the_frame() {
    Scene::set(&APP).await.refuse_in_frame(STRANGER).await;
}

#[tokio::test]
#[ignore = "`make integrations` runs it"]
async fn a_save_ends_it() {
    let scene = Scene::set(&APP).await;
    scene.end_by_a_save("Cannot connect to Streamlit (HTTP status: 403)").await;
    scene.refuse_in_frame(SITE).await;
}

#[tokio::test]
#[ignore = "`make integrations` runs it"]
async fn it_goes_on_after_a_restart() {
    Scene::set(&APP).await.outlive_a_restart().await;
}

/// The cookie goes with an upload, and with the picture that comes back.
#[tokio::test]
#[ignore = "`make integrations` runs it"]
async fn a_picture_passes_both_ways() {
    Scene::set(&APP).await.send_a_picture("[data-testid=stImage] img").await;
}

#[tokio::test]
#[ignore = "`make integrations` runs it"]
async fn without_the_cookie_it_stays_a_skeleton() {
    let scene = Scene::of(&APP, Recipe::of(APP.section).with(COOKIE, NO_COOKIE)).await;
    scene.open().await;
    scene.read("Cannot connect to Streamlit (HTTP status: 403)").await;
    scene.picture("without-cookie").await;
    scene.lacks_a_ticket("_stcore/health").await;
}
