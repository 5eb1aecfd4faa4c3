//! TLS toward the servers.

use std::path::Path;

use super::{BUCKET, SITE, Shared, alike, assert_verdict, connected, is_connected, save_everywhere, widget};
use crate::support::certificates::{Authority, Pair};
use crate::support::edge::Edge;
use crate::support::eventually;
use crate::support::nats::bucket::Bucket;
use crate::support::nats::{NatsServer, NatsSpec};
use crate::support::relay::Relay;

/// A server that wants certificates of its clients.
async fn server(authority: &Authority, folder: &Path) -> NatsServer {
    let ca = folder.join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let (cert, key) = authority.issue(&["127.0.0.1"]).write(folder, "server");
    let more = format!("tls {{ cert_file: {cert:?}, key_file: {key:?}, ca_file: {ca:?}, verify: true }}");
    NatsServer::start_with(NatsSpec { more, ..NatsSpec::default() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make prove"]
async fn a_certificate_that_has_expired_is_told_and_a_new_one_taken() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let nats = server(&authority, folder.path()).await;
    let (relay, shared) = (Relay::start(nats.addr), Shared::new());
    let write = |pair: Pair| pair.write(folder.path(), "edge");
    let (cert, key) = write(authority.issue(&["edge-1"]));
    let ca = folder.path().join("ca.pem");
    let keys = format!("tls = {{ ca = {ca:?}, cert = {cert:?}, key = {key:?} }}");
    let url = format!("tls://{}", relay.addr);
    let edges = [Edge::start(shared.spec_with("edge-1", &[url], &keys, "")).await];
    alike(&edges).await;
    save_everywhere(&edges[0], &widget("w", &["site.example"])).await;

    write(authority.issue_valid(&["edge-1"], 2000..2010));
    relay.cut();
    connected(&edges[0], false).await;
    relay.heal();
    eventually("the server refuses it", async || nats.log().contains("expired")).await;
    eventually("the log says so", async || {
        let log = edges[0].log().to_lowercase();
        log.contains("certificate")
    })
    .await;
    assert!(!is_connected(&edges[0]).await);
    assert_verdict(&edges, "w", SITE, 200).await;

    write(authority.issue(&["edge-1"]));
    connected(&edges[0], true).await;
    alike(&edges).await;
    save_everywhere(&edges[0], &widget("w", &["other.example"])).await;
    let options =
        async_nats::ConnectOptions::new().add_root_certificates(ca).add_client_certificate(cert, key);
    let client = options.connect(format!("tls://{}", nats.addr)).await.unwrap();
    Bucket::over(client, BUCKET).is_followed_by(&["edge-1"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make prove"]
async fn a_server_of_another_authority_is_not_believed() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let nats = server(&authority, folder.path()).await;
    let other = folder.path().join("other.pem");
    std::fs::write(&other, Authority::new().pem()).unwrap();
    let (cert, key) = authority.issue(&["edge-1"]).write(folder.path(), "edge");
    let keys = format!("tls = {{ ca = {other:?}, cert = {cert:?}, key = {key:?} }}");
    let shared = Shared::new();
    let edge = Edge::spawn(shared.spec_with("edge-1", &[format!("tls://{}", nats.addr)], &keys, ""));
    eventually("it says why", async || edge.log().to_lowercase().contains("certificate")).await;
    assert!(!edge.is_ready().await, "ready without rules");
}
