//! Chainlit's Copilot: a script that runs in the customer's page and speaks Socket.IO with the edge.

use super::SOON;
use super::recipe::Recipe;
use super::scene::{Scene, Shape};
use crate::browser::stage::{SITE, STRANGER};

const COPILOT: Shape = Shape {
    name: "chainlit",
    product: "chainlit",
    section: "Chainlit Copilot",
    host: "chat.example.net",
    tag: 0,
    is_framed: false,
    launcher: Some(
        "document.querySelector('#chainlit-copilot')?.shadowRoot?.querySelector('#chainlit-copilot-button')",
    ),
    input: "document.querySelector('#chainlit-copilot').shadowRoot.querySelector('#chat-input')",
    send: "document.querySelector('#chainlit-copilot').shadowRoot.querySelector('#chat-submit')",
    root: "document.querySelector('#chainlit-copilot').shadowRoot",
    text: "document.querySelector('#chainlit-copilot').shadowRoot.querySelector('#cl-shadow-root').innerText",
};

#[tokio::test]
#[ignore = "`make integrations` runs it"]
async fn a_conversation_on_a_listed_site() {
    Scene::set(&COPILOT).await.converse().await;
}

#[tokio::test]
#[ignore = "`make integrations` runs it"]
async fn a_stranger_reads_why_in_the_console() {
    Scene::set(&COPILOT).await.refuse_in_console(STRANGER).await;
}

#[tokio::test]
#[ignore = "`make integrations` runs it"]
async fn a_save_ends_it() {
    let scene = Scene::set(&COPILOT).await;
    scene.end_by_a_save("Could not reach the server").await;
    scene.refuse_in_console(SITE).await;
}

#[tokio::test]
#[ignore = "`make integrations` runs it"]
async fn it_goes_on_after_a_restart() {
    Scene::set(&COPILOT).await.outlive_a_restart().await;
}

/// What the guide warns of: the Copilot sends all its calls with credentials.
#[tokio::test]
#[ignore = "`make integrations` runs it"]
async fn without_credentials_the_browser_refuses_its_answers() {
    let recipe = Recipe::of(COPILOT.section).with("credentials = true", "credentials = false");
    let scene = Scene::of(&COPILOT, recipe).await;
    scene.open().await;
    scene.browser.wait_for_console("Access-Control-Allow-Credentials", SOON).await.unwrap();
    scene.read("Failed to fetch").await;
    scene.picture("without-credentials").await;
    scene
        .stage
        .decision(|decision| decision["hint"].as_str().is_some_and(|hint| hint.contains("credentials")))
        .await;
}

#[tokio::test]
#[ignore = "`make integrations` runs it"]
async fn a_picture_passes_both_ways() {
    Scene::set(&COPILOT).await.send_a_picture(".inline-image").await;
}
