//! TLS in front of an edge, and behind it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use h2::client::SendRequest;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::client::TlsStream;

use super::certificates::{Authority, H2, HTTP11, Pair};
use super::edge::EdgeSpec;
use super::ports;

/// A TLS listener for one name, its certificate issued by an authority of its own.
pub struct EdgeTls {
    /// Where it listens, once an edge was started with it.
    pub addr: SocketAddr,
    pub authority: Authority,
    pub certificate: Pair,
    name: &'static str,
    files: (PathBuf, PathBuf),
    folder: TempDir,
}

impl EdgeTls {
    /// Prepares one for this name.
    pub fn of(name: &'static str) -> Self {
        let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
        let certificate = authority.issue(&[name]);
        let files = certificate.write(folder.path(), "site");
        Self { addr: ports::free(), authority, certificate, name, files, folder }
    }

    /// Makes an edge listen there, too.
    pub fn add_to(&self, spec: &mut EdgeSpec) {
        spec.edge = key(&[self.addr], std::slice::from_ref(&self.files)) + spec.edge.as_str();
    }

    /// The certificate of its authority.
    pub fn ca(&self) -> PathBuf {
        let path = self.folder().join("ca.pem");
        std::fs::write(&path, self.authority.pem()).unwrap();
        path
    }

    /// A folder of its own.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A new connection with HTTP/1.1.
    pub async fn http1(&self) -> TlsStream<TcpStream> {
        self.authority.connect(self.addr, self.name, &[HTTP11]).await
    }

    /// A new connection with HTTP/2.
    pub async fn http2(&self) -> SendRequest<Bytes> {
        let (client, connection) = h2::client::handshake(self.h2().await).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// One over which nothing of HTTP/2 was said yet.
    pub async fn h2(&self) -> TlsStream<TcpStream> {
        self.authority.connect(self.addr, self.name, &[H2]).await
    }
}

/// TLS of an upstream, as `app.internal`; HTTP/2 where that is offered.
pub struct UpstreamTls {
    pub authority: Authority,
    acceptor: TlsAcceptor,
    folder: TempDir,
}

impl UpstreamTls {
    /// Prepares it.
    pub fn new() -> Self {
        let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
        let acceptor = authority.acceptor(&["app.internal"], &[H2, HTTP11]);
        Self { authority, acceptor, folder }
    }

    /// The server's side of its handshakes.
    pub fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }

    /// The keys that make an edge trust it and speak HTTP/2 with it.
    pub fn keys(&self) -> String {
        let ca = self.folder.path().join("ca.pem");
        std::fs::write(&ca, self.authority.pem()).unwrap();
        format!("tls = true\nhttp2 = true\nsni = \"app.internal\"\nca = {ca:?}\n")
    }
}

/// The key of `[edge]` for TLS listeners with these certificates and their keys.
pub fn key(listeners: &[SocketAddr], certificates: &[(PathBuf, PathBuf)]) -> String {
    let pairs = certificates.iter().map(|(cert, key)| format!("{{ cert = {cert:?}, key = {key:?} }}, "));
    let pairs: String = pairs.collect();
    let tables =
        listeners.iter().map(|addr| format!("{{ listen = \"{addr}\", certificates = [{pairs}] }}, "));
    format!("tls = [{}]\n", tables.collect::<String>())
}
