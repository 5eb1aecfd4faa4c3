//! The edge of [`crate::served`] asked over HTTP/2 on TLS, as browsers do.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::SendRequest;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;

use crate::served::{BETWEEN, WARM, connect, runtime, serve_edge, serve_upstream};

/// The name in the certificate.
const HOST: &str = "chat.example.net";

/// A connection to ask through, one stream after the other.
pub struct Http2 {
    runtime: Runtime,
    sender: SendRequest<Bytes>,
    request: http::Request<()>,
}

impl Http2 {
    /// Asks the edge this, after it has answered often enough to be warm.
    pub fn by_the_edge(path: &str, fields: &[(&str, &str)], status: u16) -> Self {
        let runtime = runtime();
        let (tls, certificate) = certified();
        let sender = runtime.block_on(async {
            let edge = serve_edge(serve_upstream().await, &tls).await;
            open(edge, certificate).await
        });
        let mut request = http::Request::get(format!("https://{HOST}{path}"));
        // Those of HTTP/1.1 alone have no place here (RFC 9113 §8.2.2).
        for (name, value) in fields.iter().filter(|(name, _)| !matches!(*name, "host" | "connection")) {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap();
        let mut served = Self { runtime, sender, request };
        assert_eq!(served.ask(WARM), status, "{path}");
        served
    }

    /// Asks so many times, one after the other, and gives back the last answer's status.
    pub fn ask(&mut self, times: usize) -> u16 {
        let Self { runtime, sender, request, .. } = self;
        runtime.block_on(async {
            let mut status = 0;
            for _ in 0..times {
                std::thread::sleep(BETWEEN);
                let mut sender = sender.clone().ready().await.unwrap();
                let (answer, _) = sender.send_request(request.clone(), true).unwrap();
                let answer = answer.await.unwrap();
                status = answer.status().as_u16();
                let mut body = answer.into_body();
                while let Some(piece) = body.data().await {
                    body.flow_control().release_capacity(piece.unwrap().len()).unwrap();
                }
            }
            status
        })
    }
}

/// The table of a listener, and the certificate that clients see.
fn certified() -> (String, CertificateDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![HOST.to_owned()]).unwrap().self_signed(&key).unwrap();
    // For as long as the process.
    let folder = tempfile::tempdir().unwrap().keep();
    let files = [("site.pem", certificate.pem()), ("site.key", key.serialize_pem())].map(|(name, text)| {
        let file = folder.join(name);
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    });
    let [cert, key] = files;
    let pair = format!("{{ cert = \"{cert}\", key = \"{key}\" }}");
    let table = format!("[[edge.tls]]\nlisten = \"127.0.0.1:8443\"\ncertificates = [{pair}]\n");
    (table, certificate.der().clone())
}

async fn open(edge: SocketAddr, certificate: CertificateDer<'static>) -> SendRequest<Bytes> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream: TcpStream = connect(edge).await;
    stream.set_nodelay(true).unwrap();
    let name = ServerName::try_from(HOST).unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let (sender, driver) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(driver);
    sender
}
