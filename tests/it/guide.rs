//! The code of the guides, taken out of them and run in a real browser, and the story that the guide on limits tells.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::browser::Browser;
use crate::support::edge::{Edge, EdgeSpec, usual_routes};
use crate::support::sites::Sites;
use crate::support::tls::EdgeTls;
use crate::support::upstream::Scripted;

mod refused;
mod thief;

const GUIDE: &str = "docs/embedding.md";
const EDGE: &str = "https://widgets.example";
const SITE: &str = "https://example.com";
const SOON: Duration = Duration::from_secs(10);

/// What the frame does with the guide's code, and tells the page around it.
const USE: &str = r#"
const answer = await (await call("session")).json();
keep();
const socket = await connect("session");
socket.onmessage = ({ data }) => {
  const by_socket = JSON.parse(data).text;
  parent.postMessage({ came_with_one: Boolean(sent), by_fetch: answer.embedder, by_socket }, "*");
};
socket.onclose = async ({ code, reason }) => {
  const then = await call("session").then(({ status }) => status, ({ message }) => message);
  parent.postMessage({ code, reason, then }, "*");
};
"#;

/// The JavaScript of the guide: the ten lines, the question to the page, the page's answer, and what keeps a ticket.
pub fn blocks() -> [String; 4] {
    let guide = std::fs::read_to_string(GUIDE).unwrap();
    let blocks = guide.split("```js\n").skip(1);
    let blocks: Vec<_> = blocks.map(|block| block.split_once("```").unwrap().0.to_owned()).collect();
    blocks.try_into().expect("four blocks of JavaScript")
}

/// The strictest policy of a site that says what the guide wants it to, and that its own script may run.
fn strict_site(guide: &str) -> &'static str {
    let (_, needed) = guide.split_once("| `Content-Security-Policy` | `").unwrap();
    let needed = needed.split_once('`').unwrap().0.replace("https://chat.example.net", EDGE);
    let policy = needed.replace("script-src ", "script-src 'nonce-own' ");
    Box::leak(format!("default-src 'none'; {policy}").into_boxed_str())
}

#[tokio::test]
async fn its_ten_lines_hold_a_session() {
    let guide = std::fs::read_to_string(GUIDE).unwrap();
    let [tickets, ask_page, loader, keeping] = blocks();
    let frame = format!("<!doctype html><script type=\"module\">{ask_page}{tickets}{keeping}{USE}</script>");
    let frame = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{frame}",
        frame.len()
    );
    let frame = Arc::new(frame);
    let upstream = Scripted::start(move |mut connection, _| {
        let frame = Arc::clone(&frame);
        async move {
            while connection.request().await.is_some() {
                connection.send(frame.as_str()).await;
            }
        }
    })
    .await;
    let tls = EdgeTls::of("widgets.example");
    let mut document = json!({ "id": "w", "access": "enforce", "allowed_domains": ["example.com"] });
    let mut spec = EdgeSpec { source: "store", ..EdgeSpec::on(upstream.addr, &json!([document])) };
    spec.public_origins = Some(format!("[\"{EDGE}\"]"));
    tls.add_to(&mut spec);
    let on = |upstream: &str| format!("class = \"frame\"\nupstream = \"{upstream}\"");
    spec.routes = Some(usual_routes("demo").replace(&on("demo"), &on("app")));
    let edge = Edge::start(spec).await;

    let sites = Sites::start(&tls.authority, &["example.com"]).await;
    let page = format!(
        "<!doctype html><title>site</title><script type=\"module\" nonce=\"own\">
        window.told = [];
        addEventListener(\"message\", ({{ data }}) => typeof data === \"object\" && told.push(data));
        const base = \"{EDGE}/w/w/\", frame = document.createElement(\"iframe\");
        {loader}
        frame.src = `${{base}}frame`;
        document.body.append(frame);
        </script>"
    );
    let policy = ("content-security-policy", strict_site(&guide));
    sites.put("/", &[policy], page.clone());
    sites.put("/silent", &[policy, ("referrer-policy", "no-referrer")], page);
    let browser =
        Browser::start(sites.browser(&[("widgets.example:443", tls.addr)], &tls.certificate)).await.unwrap();
    for (path, came_with_one) in [("/silent", false), ("/", true)] {
        browser.goto(&format!("{SITE}{path}")).await.unwrap();
        // Once it has reloaded, it has one whatever the page keeps to itself.
        for (time, came_with_one) in [came_with_one, true].into_iter().enumerate() {
            browser.wait_until(&format!("window.told?.length > {time}"), SOON).await.unwrap();
            let told = browser.eval(&format!("told[{time}]")).await.unwrap();
            assert_eq!(told["came_with_one"], came_with_one, "{path}: {told}");
            assert_eq!(told["by_fetch"], SITE, "{path}: {told}");
            assert!(told["by_socket"].as_str().unwrap().contains(SITE), "{path}: {told}");
            if time == 0 {
                browser.enter_frame("document.querySelector('iframe')").await.unwrap();
                browser.eval("setTimeout(() => location.reload())").await.unwrap();
                browser.leave_frames().await.unwrap();
            }
        }
    }

    document["allowed_domains"] = json!(["other.example"]);
    assert_eq!(edge.put(&document).await.0, 200);
    browser.wait_until("told.length > 2", SOON).await.unwrap();
    let end: Value = browser.eval("told[2]").await.unwrap();
    assert_eq!((&end["code"], &end["reason"]), (&json!(1008), &json!("origin no longer allowed")), "{end}");
    assert!(end["then"].as_str().unwrap().contains("may not be embedded on https://example.com"), "{end}");
}
