//! Pages that a signed-in operator's browser opens beside: of another site, of another port of the same host, and under a
//! name that leads to the admin listener. A cookie knows no ports, so the browser sends it from the second one.

use serde_json::{Value, json};

use super::{SOON, address, sign_in};
use crate::support::browser::{Browser, BrowserOptions};
use crate::support::edge::{Edge, EdgeSpec, READ_TOKEN, WRITE_TOKEN};
use crate::support::upstream::{Upstream, got};

/// Whatever a page can make a browser send to `ADMIN`, and what it learns.
const ATTACK: &str = r##"(async () => {
  const told = {};
  const document_ = JSON.stringify({ id: "w", access: "open" });
  const ask = async (name, path, options) => {
    const asked = fetch("ADMIN" + path, { credentials: "include", ...options });
    told[name] = await asked.then((answer) => `${answer.type} ${answer.status}`, () => "unreadable");
  };
  const json = { headers: { "content-type": "application/json" }, body: document_ };
  const form = { headers: { "content-type": "application/x-www-form-urlencoded" } };
  const blind = { method: "POST", mode: "no-cors" };
  await ask("read", "/v1/widgets");
  await ask("view", "/");
  await ask("put", "/v1/widgets/w", { method: "PUT", ...json });
  await ask("delete", "/v1/widgets/w?confirm=9", { method: "DELETE" });
  await ask("readable post", "/v1/widgets/w/disable", { method: "POST" });
  await ask("post", "/v1/widgets/w/disable", blind);
  await ask("batch", "/v1/batch?confirm=9", { ...blind, body: `{"put":${document_}}\n` });
  await ask("sign out", "/sign-out", blind);
  await ask("sign in", "/sign-in", { ...blind, ...form, body: "token=TOKEN" });
  const load = (name, element) => new Promise((done) => {
    element.onload = element.onerror = ({ type }) => { told[name] ??= type; done(); };
    document.body.append(element);
  });
  const make = (tag, more) => Object.assign(document.createElement(tag), more);
  await load("script", make("script", { src: "ADMIN/v1/widgets" }));
  await load("image", make("img", { src: "ADMIN/assets/icon.svg" }));
  await load("style", make("link", { rel: "stylesheet", href: "ADMIN/assets/page.css" }));
  await load("frame", make("iframe", { src: "ADMIN/", name: "view" }));
  for (const [path, value] of [["/v1/widgets/w/disable", ""], ["/sign-out", ""], ["/sign-in", "TOKEN"]]) {
    const frame = make("iframe", { name: "posted" + path });
    const posted = make("form", { method: "post", action: "ADMIN" + path, target: frame.name });
    posted.append(make("input", { name: "token", value }));
    document.body.append(posted);
    await load("blank" + path, frame);
    const answered = new Promise((done) => { frame.onload = done; });
    posted.submit();
    await answered;
  }
  return told;
})()"##;

/// The cookies that a server at this address gets from the browser.
async fn cookies(browser: &Browser, url: &str) -> Option<String> {
    browser.goto(url).await.unwrap();
    let told = browser.text("body").await.unwrap();
    let told: Value = serde_json::from_str(&told).unwrap_or_else(|_| panic!("{told}"));
    got(&told, "cookie").map(str::to_owned)
}

#[tokio::test]
async fn a_page_elsewhere_changes_nothing_and_learns_nothing() {
    let upstream = Upstream::start("app").await;
    let widgets = json!([{ "id": "w", "access": "enforce", "allowed_domains": ["example.com"] }]);
    let edge = Edge::start(EdgeSpec { source: "store", ..EdgeSpec::on(upstream.addr, &widgets) }).await;
    let (admin, port) = (address(&edge), upstream.addr.port());
    let browser = Browser::start(BrowserOptions::default()).await.unwrap();
    sign_in(&browser, &edge, WRITE_TOKEN).await;
    // The page itself may.
    let own = "fetch('/v1/widgets/w/purge', { method: 'POST' }).then(({ status }) => status)";
    assert_eq!(browser.eval(own).await.unwrap(), 200);
    assert_eq!(browser.eval("document.cookie").await.unwrap(), "", "no script sees it");

    // Another port gets the cookie; what is behind the edge does not.
    let other_port = format!("http://localhost:{port}/");
    let direct = cookies(&browser, &other_port).await.unwrap_or_default();
    assert!(direct.starts_with("embedgate_admin="), "{direct}");
    let behind = format!("http://localhost:{}/w/w/trust", edge.http.port());
    assert_eq!(cookies(&browser, &behind).await, None);

    let before: Value = edge.admin("/v1/widgets/w").await.json().await.unwrap();
    let sent = ATTACK.replace("ADMIN", &admin).replace("TOKEN", READ_TOKEN);
    for page in [other_port, format!("http://stranger.localhost:{port}/")] {
        browser.goto(&page).await.unwrap();
        let told = browser.eval(&sent).await.unwrap();
        for asked in ["read", "view", "put", "delete", "readable post"] {
            assert_eq!(told[asked], "unreadable", "{page}: {told}");
        }
        for asked in ["script", "image", "style"] {
            assert_eq!(told[asked], "error", "{page}: {told}");
        }
        for asked in ["post", "batch", "sign out", "sign in"] {
            assert!(["opaque 0", "unreadable"].contains(&told[asked].as_str().unwrap()), "{page}: {told}");
        }
        browser.enter_frame("document.querySelector('iframe[name=view]')").await.unwrap();
        let shown = browser.text("body").await.unwrap();
        assert!(!shown.contains("Sign out") && !shown.contains("Token"), "{page}: {shown}");
        browser.leave_frames().await.unwrap();
    }
    let after: Value = edge.admin("/v1/widgets/w").await.json().await.unwrap();
    assert_eq!(after, before);
    assert_eq!(edge.metric("embedgate_rules_generation").await, 1.0, "nothing has changed");

    // A name that leads here is not the admin listener's, for calls and for the sign-in.
    let rebound = format!("http://rebound.localhost:{}/", edge.admin.port());
    for path in ["", "sign-in", "v1/widgets"] {
        browser.goto(&format!("{rebound}{path}")).await.unwrap();
        let shown = browser.text("body").await.unwrap();
        assert!(shown.contains("Host must be one of admin.hosts"), "{path}: {shown}");
    }
    let asked = "fetch('/v1/widgets/w/disable', { method: 'POST' }).then(({ status }) => status)";
    assert_eq!(browser.eval(asked).await.unwrap(), 403);

    // The person is still signed in, as who they were, and signs out.
    browser.goto(&format!("{admin}/")).await.unwrap();
    let role = "document.querySelector('main').dataset.role";
    assert_eq!(browser.eval(role).await.unwrap(), "write");
    browser.eval("document.querySelector(\"form[action='/sign-out']\").requestSubmit()").await.unwrap();
    browser.wait_for("#token", SOON).await.unwrap();
    browser.goto(&format!("{admin}/")).await.unwrap();
    browser.wait_for("#token", SOON).await.unwrap();
}
