//! `--admin URL`: questions to a running edge instead of the configured rules.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use rustls::crypto::ring::default_provider;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::Agent;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig, TlsProvider};

use super::CliError;
use crate::config::AdminSettings;

const TIMEOUT: Duration = Duration::from_secs(30);
/// Time for an edge to prepare an answer that is downloaded.
const PREPARED: Duration = Duration::from_secs(600);
/// Largest answer that is read, in bytes.
const LARGEST: u64 = 256 << 20;

/// Options that name a running edge and the credentials for it.
#[derive(Args, Debug)]
pub(super) struct Remote {
    /// Ask a running edge at its admin listener, such as http://127.0.0.1:9090, instead of reading the
    /// configured rules.
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
    /// File with a token: the edge's token file, or a file with only the token.
    #[arg(long, value_name = "FILE", default_value = "data/admin.tokens", requires = "admin")]
    token_file: PathBuf,
    /// For https: PEM file of the authority that signed the listener's certificate.
    #[arg(long, value_name = "FILE", requires = "admin")]
    ca: Option<PathBuf>,
    /// For https: PEM file of the client certificate to present.
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_cert: Option<PathBuf>,
    /// For https: PEM file of the client certificate's key.
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    client_key: Option<PathBuf>,
}

impl Remote {
    /// The edge to ask, where one is named.
    pub(super) fn edge(&self) -> Result<Option<RemoteEdge>, CliError> {
        let Some(url) = &self.admin else { return Ok(None) };
        self.at(url, &self.token_file).map(Some)
    }

    /// The edge that is named, or else the one of these settings.
    pub(super) fn edge_or(
        &self,
        settings: impl FnOnce() -> Result<AdminSettings, CliError>,
    ) -> Result<RemoteEdge, CliError> {
        if let Some(edge) = self.edge()? {
            return Ok(edge);
        }
        let admin = settings()?;
        match admin.tls {
            None => self.at(&format!("http://{}", admin.listen), &admin.token_file),
            Some(_) => Err(CliError::MutualTls { listen: admin.listen }),
        }
    }

    fn at(&self, url: &str, token_file: &Path) -> Result<RemoteEdge, CliError> {
        let url = url.trim_end_matches('/').to_owned();
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .max_redirects(0)
            // No proxy, even if the environment names one: the token is for this listener alone.
            .proxy(None);
        if url.starts_with("https://") {
            config = config.tls_config(self.tls()?);
        }
        let token = token(token_file)?;
        Ok(RemoteEdge { agent: config.build().new_agent(), url, token })
    }

    fn tls(&self) -> Result<TlsConfig, CliError> {
        let ca = self.ca.as_ref().ok_or(CliError::NoAuthority)?;
        let mut config = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::new_with_certs(&certificates(ca)?))
            .unversioned_rustls_crypto_provider(Arc::new(default_provider()));
        if let (Some(cert), Some(key)) = (&self.client_cert, &self.client_key) {
            let pem = read(key)?;
            let key = PrivateKey::from_pem(&pem).map_err(|error| unusable(key, &error))?;
            config = config.client_cert(Some(ClientCert::new_with_certs(&certificates(cert)?, key)));
        }
        Ok(config.build())
    }
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, CliError> {
    let pem = read(path)?;
    let items = ureq::tls::parse_pem(&pem).filter_map(|item| match item {
        Ok(ureq::tls::PemItem::Certificate(certificate)) => Some(Ok(certificate)),
        Ok(_) => None,
        Err(error) => Some(Err(unusable(path, &error))),
    });
    items.collect()
}

fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(path).map_err(|error| unusable(path, &error))
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> CliError {
    CliError::Unusable { path: path.to_owned(), detail: error.to_string() }
}

/// The first token of a token file that may change something, or else the first, or the only word of a file with just a
/// token.
fn token(path: &Path) -> Result<String, CliError> {
    let text = String::from_utf8_lossy(&read(path)?).into_owned();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut tokens = lines.filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        match (words.next()?, words.next()) {
            ("write", Some(token)) => Some((false, token)),
            (_, Some(token)) | (token, None) => Some((true, token)),
        }
    });
    let first = tokens.next();
    let writer = first.into_iter().chain(tokens).find(|(only_reads, _)| !only_reads);
    let token = writer.or(first).map(|(_, token)| token);
    token.map(str::to_owned).ok_or_else(|| unusable(path, &"the file has no token"))
}

/// Client of a running edge's admin listener.
pub(super) struct RemoteEdge {
    agent: Agent,
    /// Base URL, without a slash at its end.
    pub(super) url: String,
    token: String,
}

/// Problem document (RFC 9457), as far as it is shown here.
#[derive(Deserialize)]
struct ReceivedProblem {
    code: String,
    detail: String,
}

impl RemoteEdge {
    /// The answer to a call without a body.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        let request = self.agent.get(format!("{}{path}", self.url)).header("authorization", self.bearer());
        self.read(request.call())
    }

    /// The answer to a question.
    pub(super) fn ask<T: DeserializeOwned>(&self, path: &str, question: &Value) -> Result<T, CliError> {
        let request = self.agent.post(format!("{}{path}", self.url)).header("authorization", self.bearer());
        self.read(request.content_type("application/json").send(question.to_string()))
    }

    /// The answer to a call that changes something and needs no body.
    pub(super) fn post<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        let request = self.agent.post(format!("{}{path}", self.url)).header("authorization", self.bearer());
        self.read(request.send_empty())
    }

    /// Writes the body of an answer to a file, piece by piece. How many bytes it has.
    pub(super) fn download(&self, path: &str, file: &mut File) -> Result<u64, CliError> {
        let fault = |detail: String| CliError::Remote { url: self.url.clone(), detail };
        let request = self.agent.get(format!("{}{path}", self.url)).header("authorization", self.bearer());
        let request = request.config().timeout_global(None).timeout_recv_response(Some(PREPARED)).build();
        let mut answer = self.answered(request.call())?;
        let mut body = answer.body_mut().as_reader();
        io::copy(&mut body, file).map_err(|error| fault(format!("the answer broke off: {error}")))
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }

    fn read<T: DeserializeOwned>(
        &self,
        answer: Result<http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<T, CliError> {
        let body = self.body(&mut self.answered(answer)?)?;
        let fault = |detail: String| CliError::Remote { url: self.url.clone(), detail };
        serde_json::from_slice(&body)
            .map_err(|error| fault(format!("this is not an answer of embedgate's admin API: {error}")))
    }

    /// An answer that is no refusal.
    fn answered(
        &self,
        answer: Result<http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<http::Response<ureq::Body>, CliError> {
        let mut answer = answer
            .map_err(|error| CliError::Unreachable { url: self.url.clone(), detail: error.to_string() })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let detail = match serde_json::from_slice(&self.body(&mut answer)?) {
            Ok(ReceivedProblem { code, detail }) => format!("{code}: {detail}"),
            Err(_) => format!("the answer is {status}"),
        };
        Err(CliError::Remote { url: self.url.clone(), detail })
    }

    fn body(&self, answer: &mut http::Response<ureq::Body>) -> Result<Vec<u8>, CliError> {
        let body = answer.body_mut().with_config().limit(LARGEST).read_to_vec();
        body.map_err(|error| CliError::Remote { url: self.url.clone(), detail: error.to_string() })
    }
}
