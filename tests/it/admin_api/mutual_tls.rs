//! An admin listener that others can reach: nobody gets in without a certificate and a token.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::support::certificates::{Authority, Pair};
use crate::support::edge::{Edge, EdgeSpec, READ_TOKEN};
use crate::support::eventually;
use crate::support::raw::Connection;

/// The certificates of a listener and its operators.
pub struct Operators {
    pub folder: tempfile::TempDir,
    pub servers: Authority,
    pub clients: Authority,
}

impl Operators {
    pub fn new() -> Self {
        let made = Self {
            folder: tempfile::tempdir().unwrap(),
            servers: Authority::new(),
            clients: Authority::new(),
        };
        made.servers.issue(&["localhost", "127.0.0.1"]).write(made.folder.path(), "admin");
        made.write_authority(&made.clients);
        std::fs::write(made.folder.path().join("servers.pem"), made.servers.pem()).unwrap();
        made.clients.issue(&["operator"]).write(made.folder.path(), "operator");
        made
    }

    fn write_authority(&self, authority: &Authority) {
        std::fs::write(self.folder.path().join("clients.pem"), authority.pem()).unwrap();
    }

    pub fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// An edge whose admin listener asks for certificates. It isn't waited for.
    pub fn edge(&self) -> Edge {
        let [cert, key, ca] = ["admin.pem", "admin.key", "clients.pem"].map(|name| self.file(name));
        let admin = format!("tls = {{ cert = {cert:?}, key = {key:?}, client_ca = {ca:?} }}");
        Edge::spawn(EdgeSpec { admin, ..EdgeSpec::default() })
    }

    /// A client with this certificate, which remembers the sessions that it may resume.
    fn client(&self, versions: &[&'static SupportedProtocolVersion], client: Option<&Pair>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.servers.pem().as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let builder = builder.with_protocol_versions(versions).unwrap().with_root_certificates(roots);
        match client {
            Some(pair) => {
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![pair.der()], key).unwrap()
            }
            None => builder.with_no_client_auth(),
        }
    }

    /// The status of a call with this certificate and token; `None` where there is no connection.
    async fn status(&self, edge: &Edge, client: Option<&Pair>, token: &str) -> Option<u16> {
        let config = Arc::new(self.client(&[&TLS12, &TLS13], client));
        self.call(edge, config, token).await.map(|(status, _)| status)
    }

    /// The status of a call, and how the handshake went.
    async fn call(
        &self,
        edge: &Edge,
        config: Arc<ClientConfig>,
        token: &str,
    ) -> Option<(u16, ClientConnection)> {
        let stream = TcpStream::connect(edge.admin).await.ok()?;
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(config).connect(name, stream).await.ok()?;
        let request = format!(
            "GET /v1/status HTTP/1.1\r\nHost: localhost:{}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n",
            edge.admin.port()
        );
        // In TLS 1.3 a refused certificate shows with the first read.
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
        let answer = crate::support::raw::Answer::parse(&bytes)?;
        Some((answer.status, stream.into_inner().1))
    }
}

#[tokio::test]
async fn a_certificate_and_a_token_are_needed() {
    let operators = Operators::new();
    let edge = operators.edge();
    let operator = operators.clients.issue(&["operator"]);
    eventually("the listener answers", async || {
        operators.status(&edge, Some(&operator), READ_TOKEN).await == Some(200)
    })
    .await;
    assert_eq!(operators.status(&edge, Some(&operator), "unknown").await, Some(401));
    assert_eq!(operators.status(&edge, None, READ_TOKEN).await, None);
    let stranger = Authority::new().issue(&["operator"]);
    assert_eq!(operators.status(&edge, Some(&stranger), READ_TOKEN).await, None);
    let own = operators.servers.issue(&["operator"]);
    assert_eq!(
        operators.status(&edge, Some(&own), READ_TOKEN).await,
        None,
        "the servers' authority is another"
    );
    let plain = edge.api(Method::GET, "/v1/status").send().await;
    assert!(plain.is_err(), "{plain:?}");
}

#[tokio::test]
async fn who_says_nothing_keeps_nobody_waiting() {
    let operators = Operators::new();
    let edge = operators.edge();
    let operator = operators.clients.issue(&["operator"]);
    eventually("the listener answers", async || {
        operators.status(&edge, Some(&operator), READ_TOKEN).await == Some(200)
    })
    .await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(Connection::open(edge.admin).await);
    }
    let asked = operators.status(&edge, Some(&operator), READ_TOKEN);
    let status = tokio::time::timeout(Duration::from_secs(3), asked).await;
    assert_eq!(status.expect("an answer beside silent connections"), Some(200));
}

#[tokio::test]
async fn another_authority_is_taken_while_it_runs() {
    let operators = Operators::new();
    let edge = operators.edge();
    let (old, others) = (operators.clients.issue(&["operator"]), Authority::new());
    let new = others.issue(&["operator"]);
    eventually("the old certificate is good", async || {
        operators.status(&edge, Some(&old), READ_TOKEN).await == Some(200)
    })
    .await;
    assert_eq!(operators.status(&edge, Some(&new), READ_TOKEN).await, None);
    std::fs::write(operators.file("clients.pem"), "no certificate").unwrap();
    eventually("the fault is told", async || edge.log().contains("clients.pem: no certificate;")).await;
    assert_eq!(operators.status(&edge, Some(&old), READ_TOKEN).await, Some(200), "the last good ones stay");
    operators.write_authority(&others);
    eventually("the new certificate is good", async || {
        operators.status(&edge, Some(&new), READ_TOKEN).await == Some(200)
    })
    .await;
    assert_eq!(operators.status(&edge, Some(&old), READ_TOKEN).await, None);
}

#[tokio::test]
async fn each_call_shows_its_certificate_again() {
    let operators = Operators::new();
    let edge = operators.edge();
    let operator = operators.clients.issue(&["operator"]);
    eventually("the listener answers", async || {
        operators.status(&edge, Some(&operator), READ_TOKEN).await == Some(200)
    })
    .await;
    for version in [&TLS12, &TLS13] {
        // One client, which would resume what it could.
        let client = Arc::new(operators.client(&[version], Some(&operator)));
        for _ in 0..2 {
            let (status, connection) = operators.call(&edge, Arc::clone(&client), READ_TOKEN).await.unwrap();
            assert_eq!(status, 200);
            assert_eq!(connection.handshake_kind(), Some(HandshakeKind::Full), "{version:?}");
            assert_eq!(connection.tls13_tickets_received(), 0);
        }
    }
}
