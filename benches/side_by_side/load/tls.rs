//! TLS 1.3 handshakes, full or resumed. The client doesn't verify (that would be its own work, and most of what its
//! core does).

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Result, ensure};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, HandshakeKind, SignatureScheme};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::http1::{connect, exchange};
use crate::scenario::Request;

/// A client that opens one connection after the other.
#[derive(Clone)]
pub struct Shaker {
    addr: SocketAddr,
    connector: TlsConnector,
    /// Of the next connection.
    kind: HandshakeKind,
    /// Each connection resumes what the one before was given.
    resumes: bool,
    requests: Rc<[Vec<u8>]>,
    buffer: Vec<u8>,
}

impl Shaker {
    /// One that never resumes.
    pub fn new(addr: SocketAddr, requests: Rc<[Vec<u8>]>) -> Result<Self> {
        Self::with(addr, requests, Resumption::disabled(), false)
    }

    /// One that always does, but for its first connection.
    pub fn resuming(addr: SocketAddr, requests: Rc<[Vec<u8>]>) -> Result<Self> {
        Self::with(addr, requests, Resumption::in_memory_sessions(1), true)
    }

    fn with(
        addr: SocketAddr,
        requests: Rc<[Vec<u8>]>,
        resumption: Resumption,
        resumes: bool,
    ) -> Result<Self> {
        let connector = connector(b"http/1.1", resumption)?;
        let (kind, buffer) = (HandshakeKind::Full, vec![0; 16 * 1024]);
        Ok(Self { addr, connector, kind, resumes, requests, buffer })
    }

    pub async fn once(&mut self, n: usize) -> Result<()> {
        let mut stream = handshake(self.addr, &self.connector).await?;
        let kind = stream.get_ref().1.handshake_kind();
        ensure!(kind == Some(self.kind), "a handshake of kind {kind:?} in place of {:?}", self.kind);
        if self.resumes {
            self.kind = HandshakeKind::Resumed;
        }
        let head = exchange(&mut stream, &self.requests[n % self.requests.len()], &mut self.buffer).await?;
        ensure!(head.status == 200, "{} in place of 200", head.status);
        // With close_notify; a peer that is gone already doesn't matter.
        let _ = stream.shutdown().await;
        Ok(())
    }
}

/// A connection with TLS.
pub async fn handshake(addr: SocketAddr, connector: &TlsConnector) -> Result<TlsStream<TcpStream>> {
    let stream = connect(addr).await?;
    Ok(connector.connect(ServerName::try_from(Request::HOST)?, stream).await?)
}

/// For connections that speak `protocol`.
pub fn connector(protocol: &[u8], resumption: Resumption) -> Result<TlsConnector> {
    let provider = CryptoProvider { kx_groups: vec![ring::kx_group::X25519], ..ring::default_provider() };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting))
        .with_no_client_auth();
    config.resumption = resumption;
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

#[derive(Debug)]
struct Trusting;

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
