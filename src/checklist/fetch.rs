//! Client of the checklist: each request has a time, and each answer a size. Redirects are not followed, and no proxy is used.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderName, LOCATION};
use http::{HeaderMap, Method, StatusCode};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::unversioned::transport::DefaultConnector;
use url::Url;

use super::reach::Reach;

/// Time for a request, in all.
const PATIENCE: Duration = Duration::from_secs(10);

/// Time in which a name must be looked up, and a connection be open.
const CONNECTING: Duration = Duration::from_secs(5);

/// Most of an answer that is read, in bytes.
const LARGEST: u64 = 2 << 20;

/// Longest head of an answer, in bytes.
const HEAD: usize = 64 << 10;

/// Client that asks the edge, or the site.
pub struct CheckClient {
    agent: Agent,
    reach: Reach,
    tls: Arc<ClientConfig>,
}

/// Answer to a request.
#[derive(Clone, Debug)]
pub(super) struct FetchedAnswer {
    pub(super) status: StatusCode,
    pub(super) fields: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// Failure of a request: there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{detail}")]
pub struct FetchFault {
    /// What happened.
    pub detail: String,
    /// The server showed a certificate that is not valid.
    pub is_certificate: bool,
}

/// Request for an address.
pub(super) struct CheckRequest<'r> {
    method: Method,
    url: &'r Url,
    fields: Vec<(HeaderName, String)>,
}

impl<'r> CheckRequest<'r> {
    pub(super) fn get(url: &'r Url) -> Self {
        Self { method: Method::GET, url, fields: Vec::new() }
    }

    pub(super) fn post(url: &'r Url) -> Self {
        Self { method: Method::POST, url, fields: Vec::new() }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((HeaderName::from_static(name), value.into()));
        self
    }
}

impl CheckClient {
    /// A client with this reach, which trusts the authorities of the system and these.
    ///
    /// # Errors
    ///
    /// One of these is no certificate.
    pub fn new(reach: Reach, trusted: &[CertificateDer<'static>]) -> Result<Self, rustls::Error> {
        let mut authorities = rustls_native_certs::load_native_certs().certs;
        let mut roots = RootCertStore::empty();
        // Systems have some that are out of date.
        roots.add_parsable_certificates(authorities.iter().cloned());
        for certificate in trusted {
            roots.add(certificate.clone())?;
        }
        authorities.extend_from_slice(trusted);
        let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let roots: Vec<_> = authorities.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("embedgate/", env!("CARGO_PKG_VERSION"), " (checklist)"))
            .timeout_global(Some(PATIENCE))
            .timeout_resolve(Some(CONNECTING))
            .timeout_connect(Some(CONNECTING))
            .max_response_header_size(HEAD)
            .tls_config(
                TlsConfig::builder()
                    .provider(TlsProvider::Rustls)
                    .root_certs(RootCerts::from(roots))
                    .unversioned_rustls_crypto_provider(Arc::new(default_provider()))
                    .build(),
            );
        let agent = Agent::with_parts(config.build(), DefaultConnector::default(), reach.clone());
        Ok(Self { agent, reach, tls: Arc::new(tls) })
    }

    /// The answer to a request.
    pub(super) fn ask(&self, request: CheckRequest<'_>) -> Result<FetchedAnswer, FetchFault> {
        let CheckRequest { method, url, fields } = request;
        let mut wanted = http::Request::builder().method(method).uri(url.as_str());
        for (name, value) in fields {
            wanted = wanted.header(name, value);
        }
        let wanted = wanted.body(()).map_err(|error| FetchFault::of(&ureq::Error::Http(error), url))?;
        let answer = self.agent.run(wanted).map_err(|error| FetchFault::of(&error, url))?;
        let (head, mut body) = answer.into_parts();
        let mut read = Vec::new();
        // What is beyond the bound is not looked at, and neither is what does not arrive.
        let _ = body.as_reader().take(LARGEST).read_to_end(&mut read);
        Ok(FetchedAnswer { status: head.status, fields: head.headers, body: read })
    }

    /// The chain that a server shows, its own certificate first.
    pub(super) fn chain(&self, url: &Url) -> io::Result<Vec<CertificateDer<'static>>> {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = url.port_or_known_default().unwrap_or(443);
        let addresses: Vec<SocketAddr> = match self.reach.known(host, port) {
            Some(address) => vec![address],
            None => url.socket_addrs(|| None)?,
        };
        let mut stream = connected(&addresses)?;
        stream.set_read_timeout(Some(CONNECTING))?;
        stream.set_write_timeout(Some(CONNECTING))?;
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let mut connection = ClientConnection::new(Arc::clone(&self.tls), name).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        Ok(connection
            .peer_certificates()
            .unwrap_or_default()
            .iter()
            .cloned()
            .map(CertificateDer::into_owned)
            .collect())
    }
}

fn connected(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect_timeout(address, CONNECTING) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

impl FetchedAnswer {
    /// The lines of a field, joined as one.
    pub(super) fn field(&self, name: &str) -> Option<String> {
        let lines: Vec<_> = self.lines(name).collect();
        (!lines.is_empty()).then(|| lines.join(", "))
    }

    /// The lines of a field.
    pub(super) fn lines(&self, name: &str) -> impl Iterator<Item = String> {
        self.fields.get_all(name).iter().map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned())
    }

    /// Where it redirects to.
    pub(super) fn redirect(&self, from: &Url) -> Option<Url> {
        let location = self.fields.get(LOCATION)?.to_str().ok()?;
        self.status.is_redirection().then(|| from.join(location).ok()).flatten()
    }
}

impl FetchFault {
    fn of(error: &ureq::Error, url: &Url) -> Self {
        let host = url.host_str().unwrap_or_default();
        let text = match error {
            ureq::Error::Io(error) => error.to_string(),
            ureq::Error::Other(error) => error.to_string(),
            error => error.to_string(),
        };
        let is_certificate = matches!(error, ureq::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData && text.contains("certificate"));
        let detail = match error {
            ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
                format!("no connection to {host} in time")
            }
            ureq::Error::Timeout(_) => format!("no answer from {host} in time"),
            ureq::Error::HostNotFound => format!("no host of the name {host} was found"),
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                format!("nothing listens at {}", url.origin().ascii_serialization())
            }
            _ => text,
        };
        Self { detail, is_certificate }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;
    use std::thread::{self, JoinHandle};

    use super::*;

    /// Answers one request with this text, and tells the request.
    fn answering(text: Vec<u8>) -> (SocketAddr, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut got = Vec::new();
            while !got.ends_with(b"\r\n\r\n") {
                let mut piece = [0; 1024];
                let read = stream.read(&mut piece).unwrap();
                assert!(read > 0, "the request ended early");
                got.extend_from_slice(&piece[..read]);
            }
            // Whoever has heard enough has left.
            let _ = stream.write_all(&text);
            String::from_utf8(got).unwrap()
        });
        (addr, server)
    }

    fn client(mapped: &str) -> CheckClient {
        CheckClient::new(Reach::Anywhere(vec![mapped.parse().unwrap()]), &[]).unwrap()
    }

    #[test]
    fn a_connection_is_made_to_the_address_that_was_looked_up() {
        let (addr, server) =
            answering(b"HTTP/1.1 200 OK\r\nvary: a\r\nvary: b\r\ncontent-length: 2\r\n\r\nok".to_vec());
        // No DNS knows this name.
        let url: Url = "http://shop.invalid/a?b=1".parse().unwrap();
        let client = client(&format!("shop.invalid:80={addr}"));
        let answer = client.ask(CheckRequest::get(&url).with("origin", "https://shop.example.com")).unwrap();
        assert_eq!(
            (answer.status.as_u16(), answer.field("vary").as_deref(), answer.body),
            (200, Some("a, b"), b"ok".to_vec())
        );
        let got = server.join().unwrap().to_ascii_lowercase();
        assert!(
            got.starts_with("get /a?b=1 http/1.1\r\n") && got.contains("\r\nhost: shop.invalid\r\n"),
            "{got}"
        );
        assert!(got.contains("\r\norigin: https://shop.example.com\r\n"), "{got}");
    }

    #[test]
    fn a_redirect_is_told_and_not_followed() {
        let trap = TcpListener::bind("127.0.0.1:0").unwrap();
        trap.set_nonblocking(true).unwrap();
        let to = format!("http://{}/secret", trap.local_addr().unwrap());
        let (addr, server) = answering(
            format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n").into_bytes(),
        );
        let url: Url = "http://shop.invalid/".parse().unwrap();
        let answer = client(&format!("shop.invalid:80={addr}")).ask(CheckRequest::get(&url)).unwrap();
        server.join().unwrap();
        assert_eq!(answer.redirect(&url).unwrap().as_str(), to);
        assert!(trap.accept().is_err());
    }

    #[test]
    fn no_more_is_read_than_is_looked_at() {
        let mut text = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n".to_vec();
        text.resize(text.len() + (3 << 20), b'x');
        let (addr, server) = answering(text);
        let url: Url = "http://shop.invalid/".parse().unwrap();
        let answer = client(&format!("shop.invalid:80={addr}")).ask(CheckRequest::get(&url)).unwrap();
        assert_eq!(answer.body.len() as u64, LARGEST);
        server.join().unwrap();
    }

    #[test]
    fn a_public_reach_connects_to_nothing_else() {
        let trap = TcpListener::bind("127.0.0.1:0").unwrap();
        trap.set_nonblocking(true).unwrap();
        let client = CheckClient::new(Reach::Public { own_port: None }, &[]).unwrap();
        for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0x7f.1", "2130706433"] {
            let url: Url = format!("http://{host}:{}/", trap.local_addr().unwrap().port()).parse().unwrap();
            let fault = client.ask(CheckRequest::get(&url)).unwrap_err();
            assert!(fault.detail.contains("not a public address"), "{host}: {fault}");
        }
        assert!(trap.accept().is_err());
    }
}
