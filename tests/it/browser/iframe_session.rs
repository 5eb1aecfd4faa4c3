//! The session inside the widget's iframe, where a browser names the widget's own host as its origin: a ticket says
//! which page opened it, whatever that page keeps to itself, and is worth what the rules in force say.

use serde_json::{Value, json};

use super::probe::{self, Surface, frame, shown};
use super::stage::{EDGE, SITE, STRANGER, Stage, listed, widget};
use super::surfaces::{POLICIES, is_silent};
use super::{FRAME, SOON, open_chat};
use crate::support::browser::Browser;
use crate::support::eventually;

/// The ticket that came with the document that was entered.
const FRAMED: &str = "performance.getEntriesByType('navigation')[0].serverTiming\
                      .find((entry) => entry.name === 'embed-ticket')?.description ?? null";

/// What the pages of every policy have: the tag.
fn put(stage: &Stage) {
    probe::put(&stage.sites, &[]);
    let tag = format!("<script src=\"{EDGE}/w/listed/loader.js\" async></script>");
    for policy in POLICIES {
        stage.sites.put(&format!("/{policy}"), &[("referrer-policy", policy)], probe::page(&tag));
    }
}

/// Asks for a ticket as the loader does, from the page.
async fn asked(browser: &Browser) -> Surface {
    let ask = format!("call('{EDGE}/w/listed/embed-ticket', {{ method: 'POST' }})");
    serde_json::from_value(browser.eval(&ask).await.unwrap()).unwrap()
}

#[tokio::test]
async fn it_opens_on_a_listed_site_under_every_referrer_policy_and_never_elsewhere() {
    let stage = Stage::of_demo(&json!([listed()])).await;
    put(&stage);
    let browser = stage.browser().await;
    let outcome =
        async |name| stage.edge.metric(&format!("embedgate_tickets_total{{outcome=\"{name}\"}}")).await;
    for policy in POLICIES {
        let (framed, issued) = (outcome("framed").await, outcome("issued").await);
        browser.goto(&format!("{SITE}/{policy}")).await.unwrap();
        open_chat(&browser).await;
        browser.enter_frame(FRAME).await.unwrap();
        browser.wait_for(".agent:not(.thinking)", SOON).await.unwrap();
        let greeting = browser.text(".agent").await.unwrap();
        assert!(greeting.contains(SITE), "under {policy}: {greeting}");
        let came_with_it = !browser.eval(FRAMED).await.unwrap().is_null();
        browser.leave_frames().await.unwrap();
        assert_eq!(came_with_it, !is_silent(policy), "under {policy}");
        // Then the loader asked from the page, and handed it over.
        let (framed, issued) = (outcome("framed").await - framed, outcome("issued").await - issued);
        assert_eq!((framed > 0.0, issued > 0.0), (came_with_it, !came_with_it), "under {policy}");
        // The page around sees the frame's timing, and not what is in it.
        let seen = format!(
            "performance.getEntriesByName('{EDGE}/w/listed/frame').flatMap((entry) => entry.serverTiming).length"
        );
        assert_eq!(browser.eval(&seen).await.unwrap(), 0, "under {policy}");
    }

    for policy in POLICIES {
        browser.goto(&format!("{STRANGER}/{policy}")).await.unwrap();
        let told = asked(&browser).await;
        assert!(
            !told.works && told.said.contains("may not be embedded on https://stranger.example."),
            "{told:?}"
        );
        if is_silent(policy) {
            // The loader came, as the edge could not know whose page it is; its iframe is kept away by the browser.
            browser.wait_for("#embedgate-widget", SOON).await.unwrap();
            browser.eval("document.getElementById('embedgate-widget').shadowRoot.querySelector('.launcher').click()").await.unwrap();
            eventually("the frame is refused", async || shown(&browser, &[FRAME]).await.is_refused()).await;
            browser.wait_for("#embedgate-widget:not([data-session=open])", SOON).await.unwrap();
        } else {
            assert!(!frame(&browser, "listed").await.works, "under {policy}");
        }
    }
    // All that was let in from the iframe's own host rests on a ticket of the listed site.
    let decisions = stage.edge.decisions();
    let of_iframes =
        decisions.iter().filter(|decision| decision["class"] == "session" && decision["embedder"] == EDGE);
    let opened: Vec<&Value> = of_iframes.filter(|decision| decision["verdict"] == "allow").collect();
    assert!(opened.len() >= POLICIES.len(), "{opened:?}");
    for decision in opened {
        assert_eq!(
            (&decision["reason"], &decision["opened_by"]),
            (&json!("ticket"), &json!(SITE)),
            "{decision}"
        );
    }
}

/// A session call in the document that was entered, with this ticket.
async fn call(browser: &Browser, path: &str, ticket: &Value) -> Surface {
    let call = format!(
        "fetch('/w/listed/{path}', {{ method: '{}', headers: {{ Authorization: 'Embed ' + {ticket} }} }})\
         .then(async (answer) => ({{ works: answer.ok, said: await answer.text() }}))",
        if path == "session" { "GET" } else { "POST" }
    );
    serde_json::from_value(browser.eval(&call).await.unwrap()).unwrap()
}

#[tokio::test]
async fn a_ticket_is_worth_what_the_rules_in_force_say() {
    let stage = Stage::of_demo(&json!([listed()])).await;
    put(&stage);
    let browser = stage.browser().await;
    let page = format!("{SITE}/origin");
    browser.goto(&page).await.unwrap();
    open_chat(&browser).await;
    browser.enter_frame(FRAME).await.unwrap();
    let ticket = browser.eval(FRAMED).await.unwrap();
    assert!(call(&browser, "session", &ticket).await.works);

    stage.save(&widget("listed", json!(["other.example"]))).await;
    browser.wait_for(".note.ended", SOON).await.unwrap();
    for path in ["session", "session/messages", "embed-ticket"] {
        let told = call(&browser, path, &ticket).await;
        assert!(
            !told.works && told.said.contains("may not be embedded on https://site.example."),
            "{told:?}"
        );
    }
    stage.save(&listed()).await;
    assert!(call(&browser, "session", &ticket).await.works, "the ticket was never what was refused");
    assert!(call(&browser, "embed-ticket", &ticket).await.works);

    // In a tab of its own nobody has opened it.
    browser.leave_frames().await.unwrap();
    browser.goto(&format!("{EDGE}/w/listed/frame")).await.unwrap();
    assert!(browser.eval(FRAMED).await.unwrap().is_null());
    let told = browser.eval("fetch('session').then((answer) => answer.status)").await.unwrap();
    assert_eq!(told, 403);
    let refused = stage.decision(|decision| decision["reason"] == "ticket_missing").await;
    assert_eq!(refused["embedder"], EDGE);
}
