//! Running edge that commands ask: which one, with which token and certificate, and its answers.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use http::Uri;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::Agent;
use ureq::config::Config;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use super::{CliError, Common};
use crate::config::AdminSettings;

mod answer;
mod call;
mod credentials;
mod download;
mod problem;

pub(super) use answer::ApiAnswer;
pub(super) use call::RemoteCall;
pub(super) use credentials::authorities;
pub use problem::ReceivedProblem;

/// Time in which a connection must be open.
const CONNECTING: Duration = Duration::from_secs(5);
/// Time for an edge to prepare an answer that is downloaded.
const PREPARED: Duration = Duration::from_secs(600);
/// What every token may ask.
const STATUS: &str = "/v1/status";
/// Largest answer that is read, in bytes.
const LARGEST: u64 = 256 << 20;
/// The token file where neither an option nor a configuration names one.
const TOKEN_FILE: &str = "data/admin.tokens";

/// Options that name a running edge and the credentials for it.
#[derive(Args, Debug)]
#[command(next_help_heading = "Which running edge, and how")]
pub(super) struct Remote {
    /// Ask the running edge at this admin listener, such as http://127.0.0.1:9090. Left out: the one of the
    /// configuration, `admin.listen`.
    #[arg(long, value_name = "URL", value_parser = admin_url)]
    admin: Option<String>,
    /// File with a token: an edge's token file, or a file with only the token. Left out: `admin.token_file` of
    /// the configuration.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// For mutual TLS: PEM file of the authority that signed the listener's certificate.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// For mutual TLS: PEM file of the client certificate to present.
    #[arg(long, value_name = "FILE")]
    client_cert: Option<PathBuf>,
    /// For mutual TLS: PEM file of the client certificate's key. Left out: the key is in the file of the
    /// certificate.
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    client_key: Option<PathBuf>,
}

/// The base URL of an admin listener, without a slash at its end.
fn admin_url(text: &str) -> Result<String, String> {
    let right = "write the listener's address, such as http://127.0.0.1:9090";
    let url = text.trim_end_matches('/');
    if !text.contains("://") {
        return match format!("http://{url}").parse::<Uri>() {
            Ok(_) if !url.is_empty() => Err(format!("the scheme is missing: write http://{url}")),
            _ => Err(right.to_owned()),
        };
    }
    let uri: Uri = url.parse().map_err(|error| format!("{error}: {right}"))?;
    let host = uri.authority().filter(|authority| !authority.as_str().contains('@'));
    // A port that is none is taken for no port at all.
    let host = host.filter(|host| host.as_str() == host.host() || host.port_u16().is_some());
    let alone = uri.path() == "/" && uri.query().is_none();
    match (uri.scheme_str(), host) {
        (Some(scheme @ ("http" | "https")), Some(host)) if alone => Ok(format!("{scheme}://{host}")),
        (Some("http" | "https"), _) => Err(right.to_owned()),
        _ => Err(format!("the scheme is neither http nor https: {right}")),
    }
}

impl Remote {
    /// The edge that `--admin` names, if it is given.
    pub(super) fn edge(&self, common: &Common) -> Result<Option<RemoteEdge>, CliError> {
        let Some(url) = &self.admin else { return Ok(None) };
        let is_tls = url.starts_with("https://");
        if !is_tls {
            self.without_tls(url)?;
        }
        // Who asks a far edge needn't have a configuration.
        let configured = || common.settings().map(|settings| settings.admin.token_file).ok();
        let token_file = self.token_file.clone().or_else(configured);
        let config = if is_tls { self.with_tls()? } else { plain() };
        let token_file = token_file.unwrap_or_else(|| TOKEN_FILE.into());
        RemoteEdge::new(Agent::new_with_config(config), url.clone(), token_file).map(Some)
    }

    /// The edge that is named, or else the one of the configuration.
    pub(super) fn running(&self, common: &Common) -> Result<RemoteEdge, CliError> {
        match self.edge(common)? {
            Some(edge) => Ok(edge),
            None => self.configured(&common.settings()?.admin),
        }
    }

    /// The edge that has this admin listener.
    pub(super) fn configured(&self, admin: &AdminSettings) -> Result<RemoteEdge, CliError> {
        let address = reachable(admin.listen);
        // A name that the listener and, with TLS, its certificate know. It needn't be in the DNS: the address is
        // known.
        let ip = SocketAddr::new(address.ip(), 0).to_string();
        let ip = ip.strip_suffix(":0").unwrap_or(&ip);
        let name = match (&admin.tls, admin.hosts.first()) {
            (None, _) if admin.hosts.iter().any(|host| host == ip) => ip,
            (_, Some(name)) => name,
            (_, None) => ip,
        };
        let (scheme, config) = match &admin.tls {
            None => ("http", plain()),
            Some(_) if self.ca.is_none() || self.client_cert.is_none() => {
                return Err(CliError::MutualTls { listen: admin.listen });
            }
            Some(_) => ("https", self.with_tls()?),
        };
        let url = format!("{scheme}://{name}:{}", address.port());
        if admin.tls.is_none() {
            self.without_tls(&url)?;
        }
        let agent = Agent::with_parts(config, DefaultConnector::default(), KnownAddress(address));
        let token_file = self.token_file.clone().unwrap_or_else(|| admin.token_file.clone());
        RemoteEdge::new(agent, url, token_file)
    }

    /// Refuses files for TLS beside a listener that has none.
    fn without_tls(&self, url: &str) -> Result<(), CliError> {
        match (&self.ca, &self.client_cert) {
            (None, None) => Ok(()),
            _ => Err(CliError::NotHttps { url: url.to_owned() }),
        }
    }

    fn with_tls(&self) -> Result<Config, CliError> {
        let ca = self.ca.as_deref().ok_or(CliError::NoAuthority)?;
        let client = self.client_cert.as_deref();
        let client = client.map(|cert| (cert, self.client_key.as_deref().unwrap_or(cert)));
        Ok(bounded().tls_config(credentials::tls(ca, client)?).build())
    }
}

fn plain() -> Config {
    bounded().build()
}

fn bounded() -> ureq::config::ConfigBuilder<ureq::typestate::AgentScope> {
    Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECTING))
        .max_redirects(0)
        // No proxy, even if the environment names one: the token is for this listener alone.
        .proxy(None)
}

/// Where a listener on this address can be reached from this machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    match listen {
        SocketAddr::V4(any) if any.ip().is_unspecified() => (Ipv4Addr::LOCALHOST, any.port()).into(),
        SocketAddr::V6(any) if any.ip().is_unspecified() => (Ipv6Addr::LOCALHOST, any.port()).into(),
        address => address,
    }
}

/// Resolver of a name whose address is known.
#[derive(Debug)]
struct KnownAddress(SocketAddr);

impl Resolver for KnownAddress {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addresses = DefaultResolver::default().empty();
        addresses.push(self.0);
        Ok(addresses)
    }
}

/// Client of a running edge's admin listener.
pub(super) struct RemoteEdge {
    agent: Agent,
    /// Base URL, without a slash at its end.
    pub(super) url: String,
    token: String,
    token_file: PathBuf,
}

impl RemoteEdge {
    fn new(agent: Agent, url: String, token_file: PathBuf) -> Result<Self, CliError> {
        let token = credentials::token(&token_file)?;
        Ok(Self { agent, url, token, token_file })
    }

    /// The answer to a call without a body.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.call(&RemoteCall::get(path))
    }

    /// The answer to a question.
    pub(super) fn ask<T: DeserializeOwned>(&self, path: &str, question: &Value) -> Result<T, CliError> {
        self.call(&RemoteCall::question(path).json(question))
    }

    /// The answer to a call that changes something and needs no body.
    pub(super) fn post<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.call(&RemoteCall::post(path))
    }

    /// The answer to a call.
    pub(super) fn call<T: DeserializeOwned>(&self, call: &RemoteCall) -> Result<T, CliError> {
        let mut answer = self.send(call)?;
        let body = answer.body_mut().with_config().limit(LARGEST).read_to_vec();
        let body = body.map_err(|error| self.unreachable(call, &error))?;
        self.read(&body)
    }

    /// The answer to a call, once its head says that it was done. The body is still to be read.
    pub(super) fn send(&self, call: &RemoteCall) -> Result<http::Response<ureq::Body>, CliError> {
        let request = call.request(&self.url, &self.token);
        let request = request.map_err(|error| self.unasked(error))?;
        let request = self.agent.configure_request(request);
        let request = match call.downloaded {
            true => request.timeout_recv_response(Some(PREPARED)).timeout_per_read(Some(call.patience)),
            false => request.timeout_global(Some(call.patience)),
        };
        let mut answer = self.agent.run(request.build()).map_err(|error| self.unreachable(call, &error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let body = answer.body_mut().with_config().limit(LARGEST).read_to_vec().unwrap_or_default();
        let Ok(problem) = serde_json::from_slice::<ReceivedProblem>(&body) else {
            let detail = format!(
                "the answer is {status}, which is none of embedgate's admin API: is this its admin listener?"
            );
            return Err(self.unasked(detail));
        };
        Err(self.refused(call, status, problem))
    }

    /// A body of the admin API, as a value.
    pub(super) fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, CliError> {
        serde_json::from_slice(body)
            .map_err(|error| self.unasked(format!("this is not an answer of embedgate's admin API: {error}")))
    }

    /// A part of an answer of the admin API, as a value.
    pub(super) fn value<T: DeserializeOwned>(&self, part: &Value) -> Result<T, CliError> {
        T::deserialize(part)
            .map_err(|error| self.unasked(format!("this is not an answer of embedgate's admin API: {error}")))
    }

    /// What a refusal means to the caller: the edge wasn't asked at all, or it said no.
    fn refused(&self, call: &RemoteCall, status: http::StatusCode, problem: ReceivedProblem) -> CliError {
        match status.as_u16() {
            401 => self.unasked(format!(
                "{problem}: the token in {} is none of this edge's; name a file with one of its tokens with --token-file",
                self.token_file.display()
            )),
            // Where not even that may be asked, it is the name by which the edge was asked.
            403 if call.path == STATUS || self.get::<Value>(STATUS).is_err() => self.unasked(problem),
            _ if problem.is_no_such_call() => {
                self.unasked(format!("{problem}: this edge is of a version that doesn't know the call"))
            }
            _ => {
                let advice = match problem.code.as_str() {
                    "forbidden" => Some(format!(
                        "name a file with a token of the role `write` with --token-file; this one is of {}",
                        self.token_file.display()
                    )),
                    "read_only_source" => self.where_rules_are(),
                    _ => problem.advice(),
                };
                CliError::Refused { url: self.url.clone(), problem: Box::new(problem), advice }
            }
        }
    }

    /// Advice where the rules are files.
    fn where_rules_are(&self) -> Option<String> {
        let status: Value = self.get(STATUS).ok()?;
        let name = status["rules"]["name"].as_str()?;
        Some(format!(
            "edit {name}: the edge watches it, and `embedgate check` says what is wrong with an edit"
        ))
    }

    fn unreachable(&self, call: &RemoteCall, error: &ureq::Error) -> CliError {
        let cause: &dyn fmt::Display = match error {
            ureq::Error::Io(error) => error,
            ureq::Error::Timeout(ureq::Timeout::Connect) => &"no connection within 5 seconds",
            ureq::Error::Timeout(_) => &"no answer in time",
            ureq::Error::HostNotFound => &"no host of this name was found",
            error => error,
        };
        let detail = match error {
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                format!("{cause}: nothing listens there; is the edge running?")
            }
            ureq::Error::Io(_) | ureq::Error::Timeout(_) if call.changes && !is_before_sending(error) => {
                format!("{cause}: whether the change was made is not known; look, and run the command again")
            }
            _ => cause.to_string(),
        };
        self.unasked(detail)
    }

    fn unasked(&self, detail: impl fmt::Display) -> CliError {
        CliError::Unreachable { url: self.url.clone(), detail: detail.to_string() }
    }
}

/// Whether a call failed before anything of it was sent.
fn is_before_sending(error: &ureq::Error) -> bool {
    use io::ErrorKind::{HostUnreachable, InvalidData, NetworkUnreachable};
    match error {
        ureq::Error::Timeout(timeout) => matches!(timeout, ureq::Timeout::Connect | ureq::Timeout::Resolve),
        // Handshakes of TLS fail with invalid data.
        ureq::Error::Io(error) => matches!(error.kind(), HostUnreachable | NetworkUnreachable | InvalidData),
        _ => false,
    }
}

fn unusable(path: &Path, error: &dyn fmt::Display) -> CliError {
    CliError::Unusable { path: path.to_owned(), detail: error.to_string() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_admin_url_is_an_address_and_nothing_more() {
        for (text, url) in [
            ("http://127.0.0.1:9090", "http://127.0.0.1:9090"),
            ("http://localhost:9090/", "http://localhost:9090"),
            ("HTTPS://edge.example", "https://edge.example"),
            ("http://[::1]:9090", "http://[::1]:9090"),
        ] {
            assert_eq!(admin_url(text).as_deref(), Ok(url));
        }
        for (text, says) in [
            ("localhost:9090", "write http://localhost:9090"),
            ("127.0.0.1", "write http://127.0.0.1"),
            ("", "such as http://127.0.0.1:9090"),
            ("a b", "such as http://127.0.0.1:9090"),
            ("ftp://localhost", "neither http nor https"),
            ("http://localhost:9090/v1", "such as http://127.0.0.1:9090"),
            ("http://localhost:9090/?a", "such as http://127.0.0.1:9090"),
            ("http://me:secret@localhost", "such as http://127.0.0.1:9090"),
            ("http://", "such as http://127.0.0.1:9090"),
            ("http://localhost:99999999", "such as http://127.0.0.1:9090"),
        ] {
            let told = admin_url(text).unwrap_err();
            assert!(told.contains(says), "{text}: {told}");
        }
    }

    #[test]
    fn a_listener_on_every_address_is_asked_on_loopback() {
        for (listen, asked) in [
            ("0.0.0.0:9090", "127.0.0.1:9090"),
            ("[::]:9090", "[::1]:9090"),
            ("10.0.0.5:1", "10.0.0.5:1"),
            ("127.0.0.1:2", "127.0.0.1:2"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
