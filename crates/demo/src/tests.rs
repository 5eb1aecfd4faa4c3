#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures_util::{SinkExt, StreamExt};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::*;

/// The demo on a real socket. Gives `127.0.0.1:PORT`.
async fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(DemoSite::serve(listener));
    address
}

async fn get(address: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    let request = Client::new().get(format!("http://{address}{path}"));
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await.unwrap()
}

fn field<'r>(response: &'r Response, name: &str) -> &'r str {
    response.headers().get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
}

#[tokio::test]
async fn static_files_have_their_type_and_are_revalidated_by_their_tag() {
    let address = start().await;
    for (path, content_type) in [
        ("/w/wgt_demo/loader.js", "text/javascript; charset=utf-8"),
        ("/w/wgt_demo/assets/frame.js", "text/javascript; charset=utf-8"),
        ("/w/wgt_demo/assets/session.js", "text/javascript; charset=utf-8"),
        ("/w/wgt_demo/assets/widget.css", "text/css; charset=utf-8"),
        ("/w/wgt_demo/assets/icon.svg", "image/svg+xml"),
        ("/w/wgt_demo/trust/style.css", "text/css; charset=utf-8"),
    ] {
        let fresh = get(&address, path, &[]).await;
        assert_eq!(fresh.status(), StatusCode::OK, "{path}");
        assert_eq!(field(&fresh, "content-type"), content_type, "{path}");
        assert_eq!(field(&fresh, "cache-control"), "public, max-age=300", "{path}");
        let tag = field(&fresh, "etag").to_owned();

        for known in [tag.clone(), format!("\"other\", W/{tag}"), "*".to_owned()] {
            let again = get(&address, path, &[("if-none-match", &known)]).await;
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{path} {known}");
            assert_eq!(field(&again, "etag"), tag);
            assert_eq!(field(&again, "cache-control"), "public, max-age=300");
            assert_eq!(again.text().await.unwrap(), "");
        }
        let changed = get(&address, path, &[("if-none-match", "\"other\"")]).await;
        assert_eq!(changed.status(), StatusCode::OK, "{path}");
    }
    assert_eq!(get(&address, "/w/wgt_demo/assets/loader.js", &[]).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(get(&address, "/w/wgt_demo", &[]).await.status(), StatusCode::NOT_FOUND);
}

#[test]
fn a_host_page_carries_the_tag_and_stands_for_its_own_name_only() {
    let demo = DemoSite {
        public_origin: "http://edge.test:81".to_owned(),
        widget: "wgt_demo".to_owned(),
        operators_page: "http://localhost:9090/".to_owned(),
    };
    let tag = r#"<script src="http://edge.test:81/w/wgt_demo/loader.js" async></script>"#;
    for (host, says, other) in [
        ("site.localhost:8080", "Larkfield Coffee", "//stranger.localhost:8080/"),
        ("STRANGER.localhost", "Copperline Lamps", "//site.localhost/"),
    ] {
        let page = demo.host_page(host).unwrap();
        assert!(page.contains(tag) && page.contains(says) && page.contains(other), "{host}: {page}");
        assert!(!page.contains("{{"), "{host}: an unfilled field");
    }
    assert_eq!(demo.host_page("127.0.0.1:1"), None);
    // Where the edge has a name of its own, its `/` is nobody's.
    assert_eq!(demo.host_page("edge.test:81"), None);
    let demo = DemoSite { public_origin: "http://localhost:81".to_owned(), ..demo };
    let index = demo.host_page("Localhost:81").unwrap();
    for place in [
        "//site.localhost:81/",
        "//stranger.localhost:81/",
        "wgt_demo",
        "http://localhost:81/w/wgt_demo/loader.js",
        "href=\"http://localhost:9090/\"",
    ] {
        assert!(index.contains(place), "{place}: {index}");
    }
    assert!(!index.contains("{{"), "an unfilled field");
}

#[tokio::test]
async fn the_frame_shows_who_embeds_it_and_escapes_it() {
    let address = start().await;
    let known = get(
        &address,
        "/w/from_path/frame",
        &[("x-widget-id", "wgt_x"), ("x-embedder-origin", "https://a.test/\"><script>&'")],
    )
    .await;
    assert!(field(&known, "content-security-policy").contains("script-src 'self'"));
    assert_eq!(field(&known, "cache-control"), "no-cache");
    let body = known.text().await.unwrap();
    let shown = "https://a.test/&quot;&gt;&lt;script&gt;&amp;&#39;";
    assert!(body.contains(&format!("Loaded on {shown}<")), "{body}");
    assert!(
        body.contains(&format!("data-embedder=\"{shown}\"")) && body.contains("data-widget=\"wgt_x\""),
        "{body}"
    );
    assert!(!body.contains("{{"), "an unfilled field");

    let unknown = get(&address, "/w/wgt_demo/frame", &[]).await.text().await.unwrap();
    assert!(
        unknown.contains("data-embedder=\"\"") && unknown.contains("data-widget=\"wgt_demo\""),
        "{unknown}"
    );
}

#[test]
fn values_are_not_read_as_templates() {
    let filled = page::fill("{{a}}-{{b}}-{{c}}{{", &[("a", "{{b}}"), ("b", "<x>")]);
    assert_eq!(filled, "{{b}}-&lt;x&gt;-{{");
}

#[tokio::test]
async fn the_trust_center_links_to_its_own_pages_from_each_of_them() {
    let address = start().await;
    for (path, title) in [
        ("/w/wgt_demo/trust", "<h1 id=\"title\">Trust Center</h1>"),
        ("/w/wgt_demo/trust/consent", "<h1 id=\"title\">Consent</h1>"),
        ("/w/wgt_demo/trust/terms", "<h1 id=\"title\">Terms</h1>"),
    ] {
        let page = get(&address, path, &[("x-widget-environment", "staging")]).await;
        assert_eq!(page.status(), StatusCode::OK, "{path}");
        let body = page.text().await.unwrap();
        assert!(body.contains(title) && body.contains("staging") && !body.contains("{{"), "{path}: {body}");
        for link in ["trust\"", "trust/consent\"", "trust/terms\"", "trust/style.css\""] {
            assert!(body.contains(&format!("href=\"/w/wgt_demo/{link}")), "{path}: {link}");
        }
    }
    assert_eq!(get(&address, "/w/wgt_demo/trust/none", &[]).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_session_answers_over_http() {
    let address = start().await;
    let edge = [
        ("x-widget-id", "wgt_x"),
        ("x-widget-environment", "staging"),
        ("x-embedder-origin", "https://a.test"),
    ];
    let described = get(&address, "/w/wgt_demo/session", &edge).await;
    assert_eq!(field(&described, "cache-control"), "no-store");
    let described: Value = described.json().await.unwrap();
    assert_eq!(described["widget"], "wgt_x");
    assert_eq!(described["environment"], "staging");
    assert_eq!(described["embedder"], "https://a.test");
    assert!(described["greeting"].as_str().unwrap().contains("https://a.test"));

    let messages = format!("http://{address}/w/wgt_demo/session/messages");
    let said = Client::new().post(&messages).json(&json!({ "text": " blue? " })).send().await.unwrap();
    assert_eq!(said.status(), StatusCode::OK);
    assert_eq!(said.json::<Value>().await.unwrap(), json!({ "reply": "You said “blue?”." }));

    let post = |body: String, content_type: &'static str| {
        Client::new().post(&messages).header("content-type", content_type).body(body).send()
    };
    let large = json!({ "text": "x".repeat(session::MAX_MESSAGE_BYTES) }).to_string();
    assert_eq!(post(large, "application/json").await.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
    let other = post("{}".to_owned(), "application/json").await.unwrap();
    assert_eq!(other.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let form = post("text=x".to_owned(), "text/plain").await.unwrap();
    assert_eq!(form.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn the_session_greets_and_answers_over_websocket() {
    let address = start().await;
    let (mut socket, _) =
        tokio_tungstenite::connect_async(format!("ws://{address}/w/wgt_demo/session")).await.unwrap();
    let mut hear = async |said: Option<Message>| {
        if let Some(said) = said {
            socket.send(said).await.unwrap();
        }
        socket.next().await.unwrap().unwrap()
    };
    let parsed = |message: Message| serde_json::from_str::<Value>(message.to_text().unwrap()).unwrap();

    let greeting = parsed(hear(None).await);
    assert_eq!(greeting["type"], "greeting");
    let reply = json!({ "type": "reply", "text": "You said “blue”." });
    assert_eq!(parsed(hear(Some(Message::text(r#"{"text":"blue"}"#))).await), reply);
    assert_eq!(parsed(hear(Some(Message::text("blue"))).await), reply);
    assert_eq!(hear(Some(Message::binary(vec![0, 255]))).await, Message::binary(vec![0, 255]));
    socket.close(None).await.unwrap();
    while let Some(Ok(_)) = socket.next().await {}

    let half =
        get(&address, "/w/wgt_demo/session", &[("connection", "upgrade"), ("upgrade", "websocket")]).await;
    assert_eq!(half.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn events_greet_and_then_tick() {
    let address = start().await;
    let mut events = get(&address, "/w/wgt_demo/session/events", &[]).await;
    assert_eq!(field(&events, "content-type"), "text/event-stream");
    let mut heard = String::new();
    while !heard.contains("event: tick") {
        heard.push_str(std::str::from_utf8(&events.chunk().await.unwrap().unwrap()).unwrap());
    }
    assert!(heard.starts_with("event: greeting\ndata: {\"text\":"), "{heard}");
}
