//! Widgets on the page: found, changed with every change tried before, and only looked at by whoever may not change them.

use reqwest::Method;
use serde_json::{Value, json};

use super::{SOON, sign_in, view};
use crate::support::browser::{Browser, BrowserOptions};
use crate::support::edge::{Edge, EdgeSpec, READ_TOKEN, WRITE_TOKEN};
use crate::support::eventually;

const LEFT_OVER: &str = "old-shop.vercel.app";

pub async fn visit(edge: &Edge, widget: &str, origin: &str) -> u16 {
    let request = reqwest::Client::new().get(edge.url(&format!("/w/{widget}/loader.js")));
    request.header("origin", origin).send().await.unwrap().status().as_u16()
}

pub async fn stored(edge: &Edge, id: &str) -> Value {
    edge.admin(&format!("/v1/widgets/{id}")).await.json().await.unwrap()
}

/// Clicks the first element that matches. Whatever covers it doesn't matter.
pub async fn click(browser: &Browser, css: &str) {
    browser.wait_for(css, SOON).await.unwrap();
    browser.eval(&format!("document.querySelector({css:?}).click()")).await.unwrap();
}

pub async fn fill(browser: &Browser, css: &str, value: &str) {
    browser.wait_for(css, SOON).await.unwrap();
    browser.eval(&format!("document.querySelector({css:?}).value = {value:?}")).await.unwrap();
}

/// What the dialog says, once it has buttons.
pub async fn asked(browser: &Browser) -> String {
    browser.wait_for("dialog.change menu", SOON).await.unwrap();
    browser.text("dialog.change").await.unwrap()
}

/// Saves what the dialog asks about, and waits until the view says which revision is in force.
pub async fn save(browser: &Browser, revision: u64) {
    click(browser, "dialog.change menu li:nth-child(2) button").await;
    let said =
        format!("document.getElementById('saved')?.textContent === 'Revision {revision} is in force.'");
    browser.wait_until(&said, SOON).await.unwrap();
    let shown = format!("document.querySelector('[data-revision=\"{revision}\"]') !== null");
    browser.wait_until(&shown, SOON).await.unwrap();
    assert_eq!(browser.eval("document.querySelector('dialog') === null").await.unwrap(), true);
}

#[tokio::test]
async fn a_widget_is_found_and_changed_on_the_page() {
    let edge = Edge::start(EdgeSpec::stored(&json!([
        { "id": "wgt_shop", "allowed_domains": ["shop.example", LEFT_OVER], "labels": { "team": "growth" } },
        { "id": "wgt_help", "environment": "staging" },
        { "id": "wgt_open" },
    ])))
    .await;
    for (widget, origin, status) in [
        ("wgt_shop", "https://shop.example", 200),
        ("wgt_shop", "https://www.shop.example", 403),
        ("wgt_help", "https://help.example", 200),
    ] {
        assert_eq!(visit(&edge, widget, origin).await, status, "{widget} {origin}");
    }
    for (widget, kind) in [("wgt_shop", "refused"), ("wgt_help", "admitted")] {
        eventually("the visits are kept", async || {
            let path = format!("/v1/widgets/{widget}/activity");
            edge.admin(&path).await.json::<Value>().await.unwrap()[kind]["sites"] != json!([])
        })
        .await;
    }
    let browser = Browser::start(BrowserOptions::default()).await.unwrap();
    sign_in(&browser, &edge, WRITE_TOKEN).await;

    finds(&browser, &edge).await;
    restricts(&browser, &edge).await;
    removes_adds_and_undoes(&browser, &edge).await;
    bounds(&browser, &edge).await;
    is_outrun(&browser, &edge).await;
    switches_off(&browser, &edge).await;
    creates(&browser, &edge).await;
    brings_back(&browser, &edge).await;
    looks_only(&browser, &edge).await;
    confirms_a_file(&browser).await;
    let console = browser.console().await.unwrap();
    // What is refused is told on the page, and Chromium notes it, too.
    let is_fault = |line: &&String| !line.starts_with("DEBUG") && !line.contains("Failed to load resource");
    let faults: Vec<&String> = console.iter().filter(is_fault).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

/// The search needs no script.
async fn finds(browser: &Browser, edge: &Edge) {
    for (query, found) in [
        ("", json!(["wgt_help", "wgt_open", "wgt_shop"])),
        ("?id=wgt_s", json!(["wgt_shop"])),
        ("?site=shop.example&label=team%3Agrowth&access=enforce&environment=", json!(["wgt_shop"])),
        ("?environment=staging&id=wgt", json!(["wgt_help"])),
        ("?id=wgt_shop&access=open", json!([])),
    ] {
        browser.goto(&view(edge, &format!("/widgets{query}"))).await.unwrap();
        let rows = "[...document.querySelectorAll('tbody th')].map((cell) => cell.textContent)";
        assert_eq!(browser.eval(rows).await.unwrap(), found, "{query}");
    }
    let told = browser.text(".empty").await.unwrap();
    assert!(told.contains("whose id begins with wgt_shop, with the access open"), "{told}");
    browser.goto(&view(edge, "/widgets?site=*.example")).await.unwrap();
    let told = browser.text(".fault").await.unwrap();
    assert!(told.contains("this is a pattern"), "{told}");
}

/// An open widget is enforced with the site that it has let in.
async fn restricts(browser: &Browser, edge: &Edge) {
    browser.goto(&view(edge, "/widgets/wgt_help")).await.unwrap();
    let told = browser.text("#state").await.unwrap();
    assert!(told.contains("Any site may embed it"), "{told}");
    click(browser, "[data-change=access][data-access=enforce]").await;
    let told = asked(browser).await;
    assert!(told.contains("1 site seen in the last 30 days would be refused"), "{told}");
    assert!(told.contains("https://help.example, 1 request"), "{told}");
    click(browser, "dialog.change menu li:first-child button").await;
    assert_eq!(stored(edge, "wgt_help").await["revision"], 1, "nothing was saved");

    click(browser, "#enforcing input[value='help.example']").await;
    click(browser, "#enforcing button").await;
    let told = asked(browser).await;
    assert!(told.contains("It makes no difference to any site"), "{told}");
    save(browser, 2).await;
    let document = stored(edge, "wgt_help").await;
    assert_eq!(
        (&document["access"], &document["allowed_domains"]),
        (&json!("enforce"), &json!(["help.example"]))
    );
    assert_eq!(visit(edge, "wgt_help", "https://stranger.example").await, 403);
}

/// A left-over is found and removed, a refused site is let in, and that is undone.
async fn removes_adds_and_undoes(browser: &Browser, edge: &Edge) {
    browser.goto(&view(edge, "/widgets/wgt_shop")).await.unwrap();
    let told = browser.text("#findings").await.unwrap();
    assert!(told.contains("preview in production"), "{told}");
    let row = browser.text("#entry-1").await.unwrap();
    assert!(row.contains(LEFT_OVER) && row.contains("not yet"), "{row}");
    click(browser, &format!("[data-change=remove][data-entry='{LEFT_OVER}']")).await;
    asked(browser).await;
    save(browser, 2).await;

    click(browser, "[data-change=add][data-entry='www.shop.example']").await;
    let told = asked(browser).await;
    assert!(told.contains("1 site that is refused now would be admitted"), "{told}");
    save(browser, 3).await;
    assert_eq!(visit(edge, "wgt_shop", "https://www.shop.example").await, 200);
    let history = browser.text("#history").await.unwrap();
    assert!(
        history.contains("added www.shop.example") && history.contains(&format!("removed {LEFT_OVER}")),
        "{history}"
    );

    // What is wrong with an entry is told at its field.
    fill(browser, "[data-change=add] [name=pattern]", "https://a.example/cart").await;
    click(browser, "form[data-change=add] button").await;
    browser.wait_for("[data-change=add] [name=pattern][aria-invalid=true] + .fault", SOON).await.unwrap();

    click(browser, "[data-change=revert]").await;
    let told = asked(browser).await;
    assert!(told.contains("Go back to revision 2") && told.contains("would be refused"), "{told}");
    save(browser, 4).await;
    assert_eq!(visit(edge, "wgt_shop", "https://www.shop.example").await, 403);
}

/// A stolen tag is bounded.
async fn bounds(browser: &Browser, edge: &Edge) {
    fill(browser, "[name='address.sessions']", "5").await;
    fill(browser, "[name='widget.opens_per_minute']", "600").await;
    click(browser, "[data-change=limits] button").await;
    let told = asked(browser).await;
    assert!(told.contains("0 of 600 opens used this minute"), "{told}");
    save(browser, 5).await;
    let limits = json!({ "address": { "sessions": 5 }, "widget": { "opens_per_minute": 600 } });
    assert_eq!(stored(edge, "wgt_shop").await["limits"], limits);
    let told = browser.text("#limits").await.unwrap();
    assert!(told.contains("widget: 0 of 600 opens used this minute"), "{told}");
}

/// Somebody else saves while the view is open: nothing is lost, and the change can be tried on that.
async fn is_outrun(browser: &Browser, edge: &Edge) {
    let add =
        edge.api(Method::POST, "/v1/widgets/wgt_shop/domains").json(&json!({ "add": ["other.example"] }));
    assert_eq!(add.send().await.unwrap().status(), 200);
    fill(browser, "[data-change=add] [name=pattern]", "mine.example").await;
    click(browser, "form[data-change=add] button").await;
    let told = asked(browser).await;
    assert!(told.contains("Somebody else has saved") && told.contains("added other.example"), "{told}");
    click(browser, "dialog.change button.primary").await;
    browser
        .wait_until("document.querySelector('dialog menu')?.textContent.includes('Save')", SOON)
        .await
        .unwrap();
    // Between the trial and the save, too.
    let add =
        edge.api(Method::POST, "/v1/widgets/wgt_shop/domains").json(&json!({ "add": ["third.example"] }));
    assert_eq!(add.send().await.unwrap().status(), 200);
    click(browser, "dialog.change menu li:nth-child(2) button").await;
    browser
        .wait_until("document.querySelector('dialog')?.textContent.includes('third.example')", SOON)
        .await
        .unwrap();
    click(browser, "dialog.change button.primary").await;
    browser
        .wait_until("document.querySelector('dialog menu')?.textContent.includes('Save')", SOON)
        .await
        .unwrap();
    save(browser, 8).await;
    let list = json!(["shop.example", "other.example", "third.example", "mine.example"]);
    assert_eq!(stored(edge, "wgt_shop").await["allowed_domains"], list);
}

async fn switches_off(browser: &Browser, edge: &Edge) {
    click(browser, "[data-change=disable]").await;
    let told = asked(browser).await;
    assert!(told.contains("1 site seen in the last 30 days would be refused"), "{told}");
    save(browser, 9).await;
    assert_eq!(visit(edge, "wgt_shop", "https://shop.example").await, 403);
    assert!(browser.text("#state").await.unwrap().contains("It is disabled"));
}

async fn creates(browser: &Browser, edge: &Edge) {
    browser.goto(&view(edge, "/widgets")).await.unwrap();
    fill(browser, "[data-change=create] [name=id]", "wgt_new").await;
    fill(browser, "[data-change=create] [name=pattern]", "new.example").await;
    click(browser, "[data-change=create] button").await;
    asked(browser).await;
    click(browser, "dialog.change menu li:nth-child(2) button").await;
    browser.wait_until("location.pathname === '/widgets/wgt_new'", SOON).await.unwrap();
    let tag = browser.text("#tag").await.unwrap();
    let loader = format!("http://localhost:{}/w/wgt_new/loader.js", edge.http.port());
    assert_eq!(tag, format!("<script src=\"{loader}\" async></script>"));
}

/// A deleted widget is still there to be brought back.
async fn brings_back(browser: &Browser, edge: &Edge) {
    assert_eq!(edge.api(Method::DELETE, "/v1/widgets/wgt_new").send().await.unwrap().status(), 200);
    browser.goto(&view(edge, "/widgets/wgt_new")).await.unwrap();
    assert!(browser.text("#state").await.unwrap().contains("This widget was deleted"));
    click(browser, "[data-change=revert]").await;
    asked(browser).await;
    save(browser, 3).await;
    assert_eq!(stored(edge, "wgt_new").await["allowed_domains"], json!(["new.example"]));
}

/// A rules file that would touch many widgets is confirmed on the page.
async fn confirms_a_file(browser: &Browser) {
    let rules = |ids: &[&str]| {
        let widget = |id: &&str| json!({ "id": id, "allowed_domains": ["a.example"] });
        json!({ "widgets": ids.iter().map(widget).collect::<Vec<_>>() }).to_string()
    };
    let edge = Edge::start(EdgeSpec { rules: rules(&["a", "b", "c"]), ..EdgeSpec::default() }).await;
    std::fs::write(edge.rules(), rules(&["a"])).unwrap();
    eventually("the brake holds it", async || {
        let status: Value = edge.admin("/v1/status").await.json().await.unwrap();
        status["rules"]["last_error"]["code"] == "wide_change"
    })
    .await;
    sign_in(browser, &edge, WRITE_TOKEN).await;
    browser.goto(&view(&edge, "/widgets/a")).await.unwrap();
    let changes = "document.querySelectorAll('main [data-change]').length";
    assert_eq!(browser.eval(changes).await.unwrap(), 0, "the file is changed, and not the widget");
    browser.goto(&view(&edge, "/widgets")).await.unwrap();
    browser.wait_for("#rules-file .fault", SOON).await.unwrap();
    click(browser, "[data-change=file]").await;
    asked(browser).await;
    assert_eq!(browser.text("dialog.change button.danger").await.unwrap(), "Change 2 widgets");
    click(browser, "dialog.change button.danger").await;
    browser.wait_for("#saved", SOON).await.unwrap();
    let rows = "[...document.querySelectorAll('tbody th')].map((cell) => cell.textContent)";
    assert_eq!(browser.eval(rows).await.unwrap(), json!(["a"]));
}

/// Whoever may only look sees all of it, and no way to change it.
async fn looks_only(browser: &Browser, edge: &Edge) {
    click(browser, "form[action='/sign-out'] button").await;
    browser.wait_for("input[name=token]", SOON).await.unwrap();
    sign_in(browser, edge, READ_TOKEN).await;
    for path in ["/widgets/wgt_open", "/widgets", "/widgets/wgt_shop"] {
        browser.goto(&view(edge, path)).await.unwrap();
        let changes = "document.querySelectorAll('main [data-change]').length";
        assert_eq!(browser.eval(changes).await.unwrap(), 0, "{path}");
    }
    assert!(browser.text("#history").await.unwrap().contains("Revision 9"));
}
