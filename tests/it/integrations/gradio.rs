//! Gradio, both ways: a web component in the customer's page, and an iframe. Its answers are server-sent events.

use super::recipe::Recipe;
use super::scene::{Scene, Shape};
use super::{COOKIE, NO_COOKIE};
use crate::browser::stage::{SITE, STRANGER};

const FRAME: Shape = Shape {
    name: "gradio-frame",
    product: "gradio",
    section: "Gradio",
    host: "helpdesk.example.net",
    tag: 1,
    is_framed: true,
    launcher: None,
    input: "[...document.querySelectorAll('textarea')].find((one) => one.checkVisibility())",
    send: "document.querySelector('button.submit-button')",
    root: "document",
    text: "document.body.innerText",
};

const COMPONENT: Shape = Shape { name: "gradio-component", tag: 0, is_framed: false, ..FRAME };

/// What it shows when its stream breaks off.
const LOST: &str = "Connection to the server was lost.";

#[tokio::test]
#[ignore = "`make integrations` runs it"]
async fn a_conversation_on_a_listed_site_in_the_page() {
    Scene::set(&COMPONENT).await.converse().await;
}

#[tokio::test]
#[ignore = "`make integrations` runs it"]
async fn a_conversation_on_a_listed_site_in_a_frame() {
    Scene::set(&FRAME).await.converse().await;
}

#[tokio::test]
#[ignore = "`make integrations` runs it"]
async fn a_stranger_reads_why_in_the_console() {
    Scene::set(&COMPONENT).await.refuse_in_console(STRANGER).await;
}

#[tokio::test]
#[ignore = "`make integrations` runs it"]
async fn a_stranger_reads_why_in_the_frame() {
    Scene::set(&FRAME).await.refuse_in_frame(STRANGER).await;
}

#[tokio::test]
#[ignore = "`make integrations` runs it"]
async fn a_save_ends_it_in_the_page() {
    let scene = Scene::set(&COMPONENT).await;
    scene.end_by_a_save(LOST).await;
    scene.refuse_in_console(SITE).await;
}

#[tokio::test]
#[ignore = "`make integrations` runs it"]
async fn a_save_ends_it_in_a_frame() {
    let scene = Scene::set(&FRAME).await;
    scene.end_by_a_save(LOST).await;
    scene.refuse_in_frame(SITE).await;
}

#[tokio::test]
#[ignore = "`make integrations` runs it"]
async fn it_goes_on_after_a_restart_in_the_page() {
    Scene::set(&COMPONENT).await.outlive_a_restart().await;
}

#[tokio::test]
#[ignore = "`make integrations` runs it"]
async fn it_goes_on_after_a_restart_in_a_frame() {
    Scene::set(&FRAME).await.outlive_a_restart().await;
}

#[tokio::test]
#[ignore = "`make integrations` runs it"]
async fn without_the_cookie_the_frame_gets_no_answer() {
    let scene = Scene::of(&FRAME, Recipe::of(FRAME.section).with(COOKIE, NO_COOKIE)).await;
    scene.open().await;
    scene.say("hello").await;
    scene.read("Error").await;
    scene.picture("without-cookie").await;
    scene.lacks_a_ticket("gradio_api/info").await;
}

#[tokio::test]
#[ignore = "`make integrations` runs it"]
async fn a_picture_passes_both_ways_in_the_page() {
    Scene::set(&COMPONENT).await.send_a_picture(".message img").await;
}

#[tokio::test]
#[ignore = "`make integrations` runs it"]
async fn a_picture_passes_both_ways_in_a_frame() {
    Scene::set(&FRAME).await.send_a_picture(".message img").await;
}
