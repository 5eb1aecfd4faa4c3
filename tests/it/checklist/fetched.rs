//! What a run on the admin API's word fetches, and what it never does.

use std::net::{SocketAddr, TcpListener};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::edge::{Edge, EdgeSpec, READ_TOKEN};

/// Names and addresses that are not of the public internet, as sites that a list admits.
const PRIVATE: [&str; 12] = [
    "https://127.0.0.1",
    "https://127.8.8.8",
    "https://localhost",
    "https://other.localhost",
    "https://10.0.0.1",
    "https://192.168.1.1",
    "https://172.20.0.1",
    "https://169.254.169.254",
    "https://100.64.0.1",
    "https://[::1]",
    "https://[::ffff:7f00:1]",
    "https://[fd00:ec2::254]",
];

/// A listener that is not to be reached.
fn trap() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

async fn run(edge: &Edge, site: &str) -> (u16, Value) {
    let call = edge.api(Method::POST, "/v1/widgets/w/checklist").json(&json!({ "site": site }));
    let answer = call.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn point<'c>(checklist: &'c Value, code: &str) -> &'c Value {
    checklist["points"].as_array().unwrap().iter().find(|point| point["code"] == code).unwrap()
}

#[tokio::test]
async fn only_public_addresses_and_the_edge_itself_are_fetched() {
    let (trap, addr) = trap();
    let with_port = |site: &str| format!("{site}:{}", addr.port());
    let listed: Vec<String> = PRIVATE.iter().map(|site| with_port(site)).collect();
    let mut domains = listed.clone();
    domains.extend(["http://*.localhost:*".to_owned(), "https://shop.example.com".to_owned()]);
    let edge = Edge::start(EdgeSpec::stored(&json!([{ "id": "w", "allowed_domains": domains }]))).await;

    for site in &listed {
        let (status, told) = run(&edge, site).await;
        assert_eq!(status, 200, "{site}: {told}");
        let page = point(&told, "page");
        let found = page["found"].as_str().unwrap();
        assert_eq!(page["state"], "fail", "{site}: {page}");
        assert!(found.contains("which is not a public address"), "{site}: {found}");
    }
    // A port of this machine that is not the edge's.
    let (_, told) = run(&edge, &with_port("http://site.localhost")).await;
    assert!(point(&told, "page")["found"].as_str().unwrap().contains("not a public address"), "{told}");
    for (site, code) in [
        (with_port("http://127.0.0.1"), "invalid_site"),
        ("http://shop.example.com".to_owned(), "invalid_site"),
        ("file:///etc/passwd".to_owned(), "invalid_site"),
        ("https://stranger.example.com".to_owned(), "site_not_admitted"),
        (with_port("https://shop.example.com"), "site_not_admitted"),
    ] {
        let (status, told) = run(&edge, &site).await;
        assert_eq!((status, told["code"].as_str()), (422, Some(code)), "{site}: {told}");
    }
    assert!(trap.accept().is_err(), "nothing was connected");

    // The edge itself, whose own origin is on this machine.
    let (status, told) = run(&edge, &format!("http://site.localhost:{}", edge.http.port())).await;
    assert_eq!((status, point(&told, "page")["state"].as_str()), (200, Some("pass")), "{told}");
    // What was found last is what anybody may read; a run is not for everybody.
    let last: Value = edge.admin("/v1/widgets/w/checklist").await.json().await.unwrap();
    assert_eq!(last["last"]["checklist"], told);
    let url = format!("http://{}/v1/widgets/w/checklist", edge.admin);
    let call = reqwest::Client::new()
        .post(url)
        .bearer_auth(READ_TOKEN)
        .json(&json!({ "site": "https://shop.example.com" }));
    assert_eq!(call.send().await.unwrap().status(), 403);
}
