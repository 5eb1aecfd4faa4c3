//! An admin listener that others can reach: nobody gets in without a certificate and a token.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::certificates::{Authority, Pair};
use crate::support::edge::{Edge, EdgeSpec, READ_TOKEN};
use crate::support::raw::{self, Connection};
use crate::support::{eventually, ports};

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
        self.write_authorities(&[authority]);
    }

    fn write_authorities(&self, authorities: &[&Authority]) {
        let pem: String = authorities.iter().map(|authority| authority.pem()).collect();
        std::fs::write(self.folder.path().join("clients.pem"), pem).unwrap();
    }

    pub fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// An edge whose admin listener asks for certificates. It isn't waited for.
    pub fn edge(&self) -> Edge {
        self.edge_with("")
    }

    /// The same with more tables.
    pub fn edge_with(&self, more: &str) -> Edge {
        let [cert, key, ca] = ["admin.pem", "admin.key", "clients.pem"].map(|name| self.file(name));
        let admin = format!("tls = {{ cert = {cert:?}, key = {key:?}, client_ca = {ca:?} }}");
        Edge::spawn(EdgeSpec { admin, more: more.to_owned(), ..EdgeSpec::default() })
    }

    /// A client with this certificate, which remembers the sessions that it may resume.
    pub fn client(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        client: Option<&Pair>,
    ) -> ClientConfig {
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
    pub async fn status(&self, edge: &Edge, client: Option<&Pair>, token: &str) -> Option<u16> {
        let config = Arc::new(self.client(&[&TLS12, &TLS13], client));
        self.call(edge, config, token).await.map(|(status, _)| status)
    }

    /// A connection that the handshake left open; in TLS 1.3 a refusal shows later.
    pub async fn connect(&self, edge: &Edge, config: Arc<ClientConfig>) -> Option<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(edge.admin).await.ok()?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(config).connect(name, stream).await.ok()
    }

    /// The status of a call, and how the handshake went.
    async fn call(
        &self,
        edge: &Edge,
        config: Arc<ClientConfig>,
        token: &str,
    ) -> Option<(u16, ClientConnection)> {
        let mut stream = self.connect(edge, config).await?;
        let request = format!(
            "GET /v1/status HTTP/1.1\r\nHost: localhost:{}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n",
            edge.admin.port()
        );
        // In TLS 1.3 a refused certificate shows with the first read.
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

#[tokio::test]
async fn what_is_no_authority_does_not_start() {
    let whole = Authority::new().pem();
    let torn = format!("{whole}{}", &Authority::new().pem()[..200]);
    let operators = Operators::new();
    let leaf = operators.clients.issue(&["operator"]);
    for (content, says) in [
        (Some(""), "no certificate; the file must have PEM certificates"),
        (Some("no certificate"), "no certificate; the file must have PEM certificates"),
        (Some(leaf.key.as_str()), "no certificate; the file must have PEM certificates"),
        (Some(torn.as_str()), "not a certificate chain: "),
        (Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "can't be read"),
        (Some(leaf.cert.as_str()), "is no certificate authority; name the authority that issued"),
        (None, "not a certificate chain: "),
    ] {
        let operators = Operators::new();
        match content {
            Some(content) => std::fs::write(operators.file("clients.pem"), content).unwrap(),
            None => std::fs::remove_file(operators.file("clients.pem")).unwrap(),
        }
        let edge = operators.edge();
        let checked = Edge::command(edge.folder()).arg("check").output().unwrap();
        let (success, log) = edge.ended().await;
        assert!(!success && !log.contains("ready on") && !log.contains("panicked"), "{content:?}: {log}");
        let last = log.lines().last().unwrap();
        assert!(last.contains("clients.pem: ") && last.contains(says), "{content:?}: {log}");
        let checked = String::from_utf8(checked.stdout).unwrap();
        assert!(checked.contains("clients.pem: ") && checked.contains(says), "{content:?}: {checked}");
    }
}

#[tokio::test]
async fn nothing_of_the_file_opens_the_listener_while_it_runs() {
    let operators = Operators::new();
    let edge = operators.edge();
    let operator = operators.clients.issue(&["operator"]);
    let stranger = Authority::new();
    let strangers = stranger.issue(&["operator"]);
    eventually("the listener answers", async || {
        operators.status(&edge, Some(&operator), READ_TOKEN).await == Some(200)
    })
    .await;
    let torn = format!("{}{}", stranger.pem(), &stranger.pem()[..200]);
    let refused = "new certificates refused; the last good ones stay in force";
    for (round, content) in
        [Some(""), Some("garbage"), Some(&torn), Some(&strangers.cert), None].iter().enumerate()
    {
        match content {
            Some(content) => std::fs::write(operators.file("clients.pem"), content).unwrap(),
            None => std::fs::remove_file(operators.file("clients.pem")).unwrap(),
        }
        eventually("it is refused", async || edge.log().matches(refused).count() == round + 1).await;
        assert_eq!(operators.status(&edge, Some(&operator), READ_TOKEN).await, Some(200), "{content:?}");
        assert_eq!(operators.status(&edge, Some(&strangers), READ_TOKEN).await, None, "{content:?}");
        assert_eq!(operators.status(&edge, None, READ_TOKEN).await, None, "{content:?}");
    }
}

#[tokio::test]
async fn what_has_expired_lets_nobody_in() {
    let operators = Operators::new();
    let (expired, not_yet) = (Authority::valid(2000..2020), Authority::valid(3000..3020));
    operators.write_authorities(&[&operators.clients, &expired, &not_yet]);
    let edge = operators.edge();
    let operator = operators.clients.issue(&["operator"]);
    eventually("the listener answers", async || {
        operators.status(&edge, Some(&operator), READ_TOKEN).await == Some(200)
    })
    .await;
    for (client, refused) in [
        (operators.clients.issue_valid(&["operator"], 2000..2020), "a certificate that has expired"),
        (operators.clients.issue_valid(&["operator"], 3000..3020), "one that is not valid yet"),
        (expired.issue(&["operator"]), "one of an authority that has expired"),
        (not_yet.issue(&["operator"]), "one of an authority that is not valid yet"),
    ] {
        for version in [&TLS12, &TLS13] {
            let config = Arc::new(operators.client(&[version], Some(&client)));
            assert!(operators.call(&edge, config, READ_TOKEN).await.is_none(), "{refused}");
        }
    }
    let clients = operators.file("clients.pem");
    for says in ["expired at 2020-01-01T00:00:00Z", "not valid before 3000-01-01T00:00:00Z"] {
        let says = format!("{clients}: {says}, so the certificates that it issued are refused");
        assert!(edge.log().contains(&says), "{says}: {}", edge.log());
    }

    // None left: the listener stays as closed as it was.
    operators.write_authority(&expired);
    eventually("the expired one is in force", async || {
        operators.status(&edge, Some(&operator), READ_TOKEN).await.is_none()
    })
    .await;
    assert_eq!(operators.status(&edge, Some(&expired.issue(&["operator"])), READ_TOKEN).await, None);
    assert_eq!(operators.status(&edge, None, READ_TOKEN).await, None);
}

#[tokio::test]
async fn an_open_connection_ends_with_its_authority() {
    let operators = Operators::new();
    let edge = operators.edge();
    let (old, others) = (operators.clients.issue(&["operator"]), Authority::new());
    let new = others.issue(&["operator"]);
    eventually("the listener answers", async || {
        operators.status(&edge, Some(&old), READ_TOKEN).await == Some(200)
    })
    .await;
    let ask = format!(
        "GET /v1/status HTTP/1.1\r\nHost: localhost:{}\r\nAuthorization: Bearer {READ_TOKEN}\r\n\r\n",
        edge.admin.port()
    );
    let config = Arc::new(operators.client(&[&TLS13], Some(&old)));
    let mut kept = Connection::over(operators.connect(&edge, Arc::clone(&config)).await.unwrap());
    assert_eq!(kept.ask(&ask).await.status, 200);
    // Also one that the edge writes to by itself.
    let mut events = operators.connect(&edge, config).await.unwrap();
    events.write_all(ask.replace("status", "events").as_bytes()).await.unwrap();
    assert!(events.read(&mut [0; 1000]).await.unwrap() > 0);

    // A renewed certificate of the listener itself ends nothing.
    let renewed = operators.servers.issue(&["localhost"]);
    renewed.write(operators.folder.path(), "admin");
    eventually("it is taken", async || edge.log().contains("new certificates in force")).await;
    assert_eq!(kept.ask(&ask).await.status, 200);

    operators.write_authority(&others);
    eventually("the new certificate is good", async || {
        operators.status(&edge, Some(&new), READ_TOKEN).await == Some(200)
    })
    .await;
    let (mut stream, _) = kept.into_inner();
    let _ = stream.write_all(ask.as_bytes()).await;
    let mut answered = Vec::new();
    let ended = stream.read_to_end(&mut answered);
    let _ = tokio::time::timeout(Duration::from_secs(5), ended).await.expect("the connection ends");
    assert_eq!(String::from_utf8_lossy(&answered), "");
    // The next event shows that nobody may see it any more.
    let denied = raw::get(edge.http, "/w/wgt_demo/session", &[("Origin", "https://unlisted.example")]).await;
    assert_eq!(denied.status, 403);
    let mut told = Vec::new();
    let ended = events.read_to_end(&mut told);
    let _ = tokio::time::timeout(Duration::from_secs(5), ended).await.expect("the events end");
    assert!(!String::from_utf8_lossy(&told).contains("unlisted.example"));
}

#[tokio::test]
async fn strangers_are_counted_and_fill_no_log() {
    let operators = Operators::new();
    let probe = ports::free();
    let edge = operators.edge_with(&format!("[admin.probe]\nlisten = \"{probe}\"\n"));
    let operator = operators.clients.issue(&["operator"]);
    eventually("the listener answers", async || {
        operators.status(&edge, Some(&operator), READ_TOKEN).await == Some(200)
    })
    .await;
    let handshakes = async |family: &str, outcome: &str| {
        let text = reqwest::get(format!("http://{probe}/metrics")).await.unwrap().text().await.unwrap();
        let line = format!("embedgate_{family}_total{{outcome=\"{outcome}\"}} ");
        text.lines().find_map(|text| text.strip_prefix(&line)?.parse::<u32>().ok()).unwrap()
    };
    let before = handshakes("admin_tls_handshakes", "done").await;
    let stranger = Authority::new().issue(&["operator"]);
    for _ in 0..10 {
        assert_eq!(operators.status(&edge, None, READ_TOKEN).await, None);
        assert_eq!(operators.status(&edge, Some(&stranger), READ_TOKEN).await, None);
        let mut plain = TcpStream::connect(edge.admin).await.unwrap();
        plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        drop(TcpStream::connect(edge.admin).await.unwrap());
    }
    for (outcome, least) in [("refused", 20), ("not_tls", 10), ("left", 10)] {
        eventually(outcome, async || handshakes("admin_tls_handshakes", outcome).await >= least).await;
    }
    assert_eq!(handshakes("admin_tls_handshakes", "done").await, before);
    for outcome in ["done", "refused", "not_tls"] {
        assert_eq!(handshakes("tls_handshakes", outcome).await, 0, "those are the data listeners' own");
    }
    assert!(!edge.log().to_ascii_lowercase().contains("handshake"), "{}", edge.log());
}
