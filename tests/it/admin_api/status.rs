//! `GET /v1/status`: what it tells beside the rules.

use reqwest::Method;
use serde_json::{Value, json};

use super::call;
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::upstream::Scripted;
use crate::support::{eventually, ports};

#[tokio::test]
async fn servers_of_upstreams_are_told_with_their_health() {
    let well = Scripted::start(|mut connection, _| async move {
        while connection.request().await.is_some() {
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        }
    })
    .await;
    let gone = ports::free();
    let mut spec = EdgeSpec::stored(&json!([{ "id": "w", "access": "open" }]));
    let check =
        "health_check = { path = \"/up\", interval = \"600ms\", timeout = \"500ms\", unhealthy_after = 1 }";
    spec.more = format!(
        "[upstreams.app]\nservers = [\"{}\", \"{gone}\"]\n{check}\n[upstreams.other]\nservers = [\"{}\"]\n",
        well.addr, well.addr
    );
    let edge = Edge::start(spec).await;
    let server = |upstream: &str, server: String, healthy: bool| json!({ "upstream": upstream, "server": server, "healthy": healthy });
    let mut app = [(well.addr.to_string(), true), (gone.to_string(), false)];
    app.sort();
    let [first, second] = app.map(|(addr, healthy)| server("app", addr, healthy));
    eventually("the server that is gone is told to be", async || {
        let (status, told) = call(&edge, Method::GET, "/v1/status").await;
        assert_eq!(status, 200);
        let servers: Vec<Value> = told["upstreams"].as_array().unwrap().clone();
        let configured: Vec<&Value> = servers.iter().filter(|server| server["upstream"] != "demo").collect();
        assert!(servers.len() == 4 && configured.len() == 3, "{told}");
        let healthy =
            edge.metric(&format!("embedgate_upstream_healthy{{server=\"{gone}\",upstream=\"app\"}}")).await;
        healthy == 0.0 && configured == [&first, &second, &server("other", well.addr.to_string(), true)]
    })
    .await;
}
