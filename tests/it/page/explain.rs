//! Explain: a page's address is enough, with and without script, and what would admit it is one click away.

use serde_json::{Value, json};

use super::{SOON, address, sign_in};
use crate::browser::screenshot;
use crate::support::browser::{Browser, BrowserOptions};
use crate::support::edge::{Edge, EdgeSpec, WRITE_TOKEN};

fn spec() -> EdgeSpec {
    let widgets = json!([{ "id": "w", "allowed_domains": ["example.com", "*.example.org:8443"] }]);
    EdgeSpec::stored(&widgets)
}

/// Types into a field, as a person does.
async fn fill(browser: &Browser, name: &str, value: &str) {
    let value = serde_json::to_string(value).unwrap();
    let field = format!("document.querySelector('[name={name}]')");
    let typed =
        format!("{field}.value = {value}, {field}.dispatchEvent(new Event('input', {{ bubbles: true }}))");
    browser.eval(&typed).await.unwrap();
}

async fn verdict_is(browser: &Browser, verdict: &str, sentence: &str) {
    let sentence = serde_json::to_string(sentence).unwrap();
    let shown = format!(
        "document.querySelector('[data-verdict={verdict}] .sentence')?.textContent.includes({sentence}) === true"
    );
    browser.wait_until(&shown, SOON).await.unwrap();
}

#[tokio::test]
async fn a_page_is_explained_while_somebody_types() {
    let edge = Edge::start(spec()).await;
    let browser = Browser::start(BrowserOptions::default()).await.unwrap();
    sign_in(&browser, &edge, WRITE_TOKEN).await;
    browser.goto(&format!("{}/explain?widget=w", address(&edge))).await.unwrap();
    browser.wait_for("#answer .empty", SOON).await.unwrap();
    fill(&browser, "page", "https://example.com/shop?a=b#c").await;
    verdict_is(&browser, "allow", "the entry example.com names it").await;
    let told = browser
        .eval("[...document.querySelectorAll('#answer tr[data-class]')].map(row => row.dataset.class)");
    assert_eq!(told.await.unwrap(), json!(["asset", "frame", "session"]));

    fill(&browser, "page", "Www.Example.org/shop").await;
    verdict_is(&browser, "deny", "but not its port").await;
    let add = "/widgets/w?add=";
    let link = browser.eval("document.querySelector('a[data-add]').getAttribute('href')").await.unwrap();
    let entry = browser.eval("document.querySelector('a[data-add]').dataset.add").await.unwrap();
    assert_eq!(
        (link.as_str().unwrap().strip_prefix(add), entry.as_str()),
        (entry.as_str(), Some("www.example.org"))
    );
    browser.screenshot(screenshot("explain.png")).await.unwrap();
    // The address is the question: the same without script.
    let shared = browser.eval("location.pathname + location.search").await.unwrap();
    assert_eq!(shared, "/explain?page=Www.Example.org%2Fshop&widget=w");
    let plain = edge.admin(shared.as_str().unwrap()).await.text().await.unwrap();
    assert!(plain.contains("data-verdict=\"deny\"") && !plain.contains("href=\"/widgets/w?add="), "{plain}");
    assert!(plain.contains("<code data-add=\"www.example.org\">"), "whoever may only look has no button");

    // What somebody was shown is found again.
    let denied =
        reqwest::Client::new().get(edge.url("/w/w/loader.js")).header("origin", "https://stranger.example");
    let told = denied.send().await.unwrap().text().await.unwrap();
    let is_id = |word: &&str| word.len() == 36 && word.bytes().filter(|byte| *byte == b'-').count() == 4;
    let id = told.split(|c: char| !c.is_ascii_hexdigit() && c != '-').find(is_id).unwrap().to_owned();
    fill(&browser, "decision", &id).await;
    browser.wait_for(&format!("[data-decision='{id}']"), SOON).await.unwrap();
    verdict_is(&browser, "deny", "No entry of w admits https://stranger.example").await;

    // The view of the widget has the entry that was proposed.
    browser.goto(&format!("{}{}", address(&edge), link.as_str().unwrap())).await.unwrap();
    let proposed =
        "document.querySelector('form[data-change=add] [name=pattern]').value === 'www.example.org'";
    browser.wait_until(proposed, SOON).await.unwrap();
    browser.goto(&format!("{}{}", address(&edge), shared.as_str().unwrap())).await.unwrap();

    // A session that is over leads to the sign-in, and back.
    browser.driver().delete_all_cookies().await.unwrap();
    fill(&browser, "decision", "").await;
    browser.wait_for("[name=token]", SOON).await.unwrap();
    let severe: Vec<String> = browser.console().await.unwrap();
    assert!(severe.iter().all(|line| !line.contains("Content Security Policy")), "{severe:#?}");
}

#[tokio::test]
async fn a_page_stands_for_what_a_browser_sends() {
    let edge = Edge::start(spec()).await;
    let ask = async |question: Value| {
        let call = edge.api(reqwest::Method::POST, "/v1/explain").json(&question);
        let answer = call.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    for (page, class, verdict, reason) in [
        ("https://example.com/a?b#c", "asset", "allow", "exact"),
        ("example.com", "session", "allow", "exact"),
        ("http://example.com/", "session", "deny", "insecure_scheme"),
        ("https://a.example.org:8443/x", "frame", "allow", "wildcard"),
        ("about:srcdoc", "session", "deny", "opaque_origin"),
        ("data:text/html,a", "asset", "allow", "no_embedder"),
        ("https://example.com./", "session", "deny", "malformed_origin"),
    ] {
        let (status, told) = ask(json!({ "widget": "w", "page": page, "class": class })).await;
        assert_eq!(
            (status, &told["verdict"], &told["reason"]),
            (200, &json!(verdict), &json!(reason)),
            "{page}: {told}"
        );
    }
    let (status, told) =
        ask(json!({ "widget": "w", "page": "a.example", "origin": "https://a.example" })).await;
    assert_eq!((status, &told["errors"][0]["pointer"]), (422, &json!("/page")), "{told}");
    let wrong = edge.admin("/explain?decision=none").await;
    assert_eq!(wrong.status(), 200);
    assert!(wrong.text().await.unwrap().contains("role=\"alert\">a decision id has 36 characters"));
}
