//! The code of the embedding guide, taken out of it and run in a real browser.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::browser::Browser;
use crate::support::certificates::Authority;
use crate::support::edge::{Edge, EdgeSpec, usual_routes};
use crate::support::{ports, sites::Sites, upstream::Scripted};

const GUIDE: &str = "docs/embedding.md";
const EDGE: &str = "https://widgets.example";
const SITE: &str = "https://example.com";
const SOON: Duration = Duration::from_secs(10);

/// What the frame does with the guide's code, and tells the page around it.
const USE: &str = r#"
const answer = await (await call("session")).json();
const socket = await connect("session");
socket.onmessage = ({ data }) => parent.postMessage({ by_fetch: answer.embedder, by_socket: JSON.parse(data).text }, "*");
socket.onclose = async ({ code, reason }) => {
  const then = await call("session").then(({ status }) => status, ({ message }) => message);
  parent.postMessage({ code, reason, then }, "*");
};
"#;

/// The JavaScript of the guide, block by block.
fn blocks() -> Vec<String> {
    let text = std::fs::read_to_string(GUIDE).unwrap();
    let blocks = text.split("```js\n").skip(1);
    blocks.map(|block| block.split_once("```").unwrap().0.to_owned()).collect()
}

#[tokio::test]
async fn its_ten_lines_hold_a_session() {
    let [tickets, ask_page, loader] = <[String; 3]>::try_from(blocks()).expect("three blocks of JavaScript");
    let frame = format!("<!doctype html><script type=\"module\">{ask_page}{tickets}{USE}</script>");
    let frame = format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{frame}", frame.len());
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
    let authority = Authority::new();
    let certificate = authority.issue(&["widgets.example"]);
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = certificate.write(folder.path(), "edge");
    let tls = ports::free();
    let mut document = json!({ "id": "w", "access": "enforce", "allowed_domains": ["example.com"] });
    let mut spec = EdgeSpec { source: "store", ..EdgeSpec::on(upstream.addr, &json!([document])) };
    spec.public_origins = Some(format!("[\"{EDGE}\"]"));
    spec.edge =
        format!("tls = [{{ listen = \"{tls}\", certificates = [{{ cert = {cert:?}, key = {key:?} }}] }}]");
    let on = |upstream: &str| format!("class = \"frame\"\nupstream = \"{upstream}\"");
    spec.routes = Some(usual_routes("demo").replace(&on("demo"), &on("app")));
    let edge = Edge::start(spec).await;

    let sites = Sites::start(&authority, &["example.com"]).await;
    let page = format!(
        "<!doctype html><title>site</title><script type=\"module\">
        window.told = [];
        addEventListener(\"message\", ({{ data }}) => typeof data === \"object\" && told.push(data));
        const base = \"{EDGE}/w/w/\", frame = document.createElement(\"iframe\");
        {loader}
        frame.src = `${{base}}frame`;
        document.body.append(frame);
        </script>"
    );
    sites.put("/", &[], page.clone());
    sites.put("/silent", &[("referrer-policy", "no-referrer")], page);
    let browser = Browser::start(sites.browser(&[("widgets.example:443", tls)], &certificate)).await.unwrap();
    let told = async |path: &str| {
        browser.goto(&format!("{SITE}{path}")).await.unwrap();
        browser.wait_until("window.told?.length > 0", SOON).await.unwrap();
        browser.eval("told[0]").await.unwrap()
    };
    for path in ["/silent", "/"] {
        let told = told(path).await;
        assert_eq!(told["by_fetch"], SITE, "{path}: {told}");
        assert!(told["by_socket"].as_str().unwrap().contains(SITE), "{path}: {told}");
    }

    document["allowed_domains"] = json!(["other.example"]);
    assert_eq!(edge.put(&document).await.0, 200);
    browser.wait_until("told.length > 1", SOON).await.unwrap();
    let end: Value = browser.eval("told[1]").await.unwrap();
    assert_eq!((&end["code"], &end["reason"]), (&json!(1008), &json!("origin no longer allowed")), "{end}");
    assert!(end["then"].as_str().unwrap().contains("may not be embedded on https://example.com"), "{end}");
}
