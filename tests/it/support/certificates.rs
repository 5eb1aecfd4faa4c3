//! A certificate authority for one test, and TLS on both sides of a socket.

use std::net::SocketAddr;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// HTTP/2 in a TLS handshake (RFC 9113 §3.2).
pub const H2: &[u8] = b"h2";
/// HTTP/1.1, likewise.
pub const HTTP11: &[u8] = b"http/1.1";

/// Whoever trusts it trusts what it issues.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, both PEM.
#[derive(Clone)]
pub struct Pair {
    pub cert: String,
    pub key: String,
}

impl Pair {
    /// Writes `NAME.pem` and `NAME.key`, and tells their paths.
    pub fn write(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (cert, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        std::fs::write(&cert, &self.cert).unwrap();
        std::fs::write(&key, &self.key).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        (cert, key)
    }

    /// The certificate as it is sent in a handshake.
    pub fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.cert.as_bytes()).unwrap()
    }
}

impl Pair {
    /// The hash of its public key, as a browser is told to trust it (RFC 7469 §2.4).
    pub fn pin(&self) -> String {
        let der = self.der();
        let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
        let hash = ring::digest::digest(&ring::digest::SHA256, certificate.tbs_certificate.subject_pki.raw);
        STANDARD.encode(hash)
    }

    /// The server's side of a handshake with it.
    pub fn acceptor(&self, protocols: &[&[u8]]) -> TlsAcceptor {
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.der()], key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

impl Authority {
    /// A new one.
    pub fn new() -> Self {
        Self::valid(ALWAYS)
    }

    /// A new one that is valid from the beginning of a year to that of another.
    pub fn valid(years: Range<i32>) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        (params.not_before, params.not_after) =
            (date_time_ymd(years.start, 1, 1), date_time_ymd(years.end, 1, 1));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Were it named as what it issues, OpenSSL would take that for signed by itself.
        params.distinguished_name.push(DnType::CommonName, "Authority of tests");
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    /// Its own certificate.
    pub fn pem(&self) -> String {
        self.issuer.as_ref().pem()
    }

    /// A new certificate for these names.
    pub fn issue(&self, names: &[&str]) -> Pair {
        self.issue_valid(names, ALWAYS)
    }

    /// One that is valid from the beginning of a year to that of another.
    pub fn issue_valid(&self, names: &[&str], years: Range<i32>) -> Pair {
        self.issue_with(names, |params| {
            params.not_before = date_time_ymd(years.start, 1, 1);
            params.not_after = date_time_ymd(years.end, 1, 1);
        })
    }

    /// One as the public authorities issue them: valid from yesterday on for this many days, for servers alone.
    pub fn issue_public(&self, names: &[&str], days: i64) -> Pair {
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        let date = |days: i64| {
            let date = today.checked_add(Span::new().days(days)).unwrap();
            date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
        };
        self.issue_with(names, |params| {
            (params.not_before, params.not_after) = (date(-1), date(days));
            params.is_ca = IsCa::ExplicitNoCa;
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            params.distinguished_name.push(DnType::CommonName, names[0]);
        })
    }

    fn issue_with(&self, names: &[&str], set: impl FnOnce(&mut CertificateParams)) -> Pair {
        let key = KeyPair::generate().unwrap();
        let alternative: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(alternative).unwrap();
        set(&mut params);
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Pair { cert: cert.pem(), key: key.serialize_pem() }
    }

    /// The server's side, for a TLS upstream of these names.
    pub fn acceptor(&self, names: &[&str], protocols: &[&[u8]]) -> TlsAcceptor {
        self.issue(names).acceptor(protocols)
    }

    /// A client that believes this authority alone, and remembers the sessions that servers let it resume.
    pub fn client(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&[u8]],
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem().as_bytes()).unwrap()).unwrap();
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        config
    }

    /// A TLS connection to `addr` that asks for `name` and believes this authority alone.
    pub async fn connect(&self, addr: SocketAddr, name: &str, protocols: &[&[u8]]) -> TlsStream<TcpStream> {
        self.connect_with(&[&TLS12, &TLS13], addr, name, protocols).await.unwrap()
    }

    /// The same with these versions of TLS.
    pub async fn connect_with(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        addr: SocketAddr,
        name: &str,
        protocols: &[&[u8]],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let config = self.client(versions, protocols);
        let stream = TcpStream::connect(addr).await?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }
}

const ALWAYS: Range<i32> = 1975..4096;

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
