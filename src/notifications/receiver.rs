//! Receiver of webhooks: where notifications are sent, and one try to send one (Standard Webhooks).
//!
//! A try is one POST that takes [`PATIENCE`] at most, from the look-up of the name to the end of the answer. Redirects are not
//! followed, and no proxy is used. Certificates are verified by the authorities of the system.

use std::fmt;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;
use rustls::crypto::ring::default_provider;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use url::Url;

use super::fact::WebhookId;
use super::secret_file::SecretFile;

/// Time for a try, in all.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Time in which a connection must be open.
const CONNECTING: Duration = Duration::from_secs(5);

/// Largest answer that is read, in bytes. Nothing in it counts; it is read so that the connection can be used again.
const ANSWER: u64 = 4096;

/// Longest head of an answer, in bytes.
const ANSWER_HEAD: usize = 16 << 10;

/// Longest time that a connection waits for the next notification.
const IDLE: Duration = Duration::from_secs(15);

/// Receiver of webhooks.
pub struct WebhookReceiver {
    agent: Agent,
    url: Url,
    secrets: SecretFile,
}

/// What came of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WebhookDelivery {
    /// The receiver has it.
    Arrived,
    /// The receiver doesn't want it, and another try would change nothing.
    Refused {
        /// Why.
        error: String,
    },
    /// Another try may do.
    Failed {
        /// Why.
        error: String,
        /// The time that the receiver asks for.
        asked: Option<Duration>,
        /// The receiver could not be reached at all.
        is_unreachable: bool,
    },
}

impl WebhookReceiver {
    /// The receiver at this URL, whose notifications are signed with these secrets. `patience`: the time for a try.
    pub fn new(url: Url, secrets: SecretFile, patience: Duration) -> Self {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("embedgate/", env!("CARGO_PKG_VERSION")))
            .timeout_global(Some(patience))
            .timeout_connect(Some(CONNECTING.min(patience)))
            .max_response_header_size(ANSWER_HEAD)
            .max_idle_age(IDLE);
        if url.scheme() == "https" {
            config = config.https_only(true).tls_config(tls());
        }
        Self { agent: Agent::new_with_config(config.build()), url, secrets }
    }

    /// Its scheme, host and port. The rest may be a secret.
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// Sends a notification, once.
    pub(super) fn deliver(&self, id: WebhookId, body: &str) -> WebhookDelivery {
        let (id, time) = (id.to_string(), Timestamp::now().as_second());
        let request = self
            .agent
            .post(self.url.as_str())
            .content_type("application/json")
            .header("webhook-signature", self.secrets.sign(&id, time, body))
            .header("webhook-id", id)
            .header("webhook-timestamp", time.to_string());
        match request.send(body) {
            Ok(mut answer) => {
                let delivery = self.answered(answer.status(), answer.headers());
                // Whatever is wrong with the rest, the status was said.
                let _ = answer.body_mut().with_config().limit(ANSWER).read_to_vec();
                delivery
            }
            Err(error) => self.failed(&error),
        }
    }

    /// What an answer means.
    fn answered(&self, status: StatusCode, fields: &http::HeaderMap) -> WebhookDelivery {
        let error = match status.canonical_reason() {
            Some(reason) => format!("the receiver answered {} {reason}", status.as_u16()),
            None => format!("the receiver answered {}", status.as_u16()),
        };
        match status {
            status if status.is_success() => WebhookDelivery::Arrived,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                let asked = fields.get(http::header::RETRY_AFTER).and_then(|asked| asked.to_str().ok());
                let asked = asked.and_then(|asked| retry_after(asked, Timestamp::now()));
                WebhookDelivery::Failed { error, asked, is_unreachable: false }
            }
            status if status.is_client_error() => WebhookDelivery::Refused { error },
            status if status.is_redirection() => {
                let error = format!("{error}; redirects are not followed, so set the right `notify.url`");
                WebhookDelivery::Failed { error, asked: None, is_unreachable: false }
            }
            _ => WebhookDelivery::Failed { error, asked: None, is_unreachable: false },
        }
    }

    /// What a failure means.
    fn failed(&self, error: &ureq::Error) -> WebhookDelivery {
        use ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
        let host = self.url.host_str().unwrap_or_default();
        let (error, is_unreachable) = match error {
            ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
                (format!("no connection to {host} in time"), true)
            }
            ureq::Error::Timeout(_) => ("no answer in time".to_owned(), false),
            ureq::Error::HostNotFound => (format!("no host of the name {host} was found"), true),
            ureq::Error::Io(error) => {
                let never = [ConnectionRefused, HostUnreachable, NetworkUnreachable].contains(&error.kind());
                let text = error.to_string();
                // Handshakes of TLS fail like this.
                let error = match error.kind() == ErrorKind::InvalidData && text.contains("certificate") {
                    true => format!(
                        "the certificate of {host} is not valid for this system: {text}; its authority must be one that \
                         the system knows"
                    ),
                    false => text,
                };
                (error, never)
            }
            error => (error.to_string(), false),
        };
        WebhookDelivery::Failed { error, asked: None, is_unreachable }
    }
}

impl WebhookDelivery {
    /// A try that has panicked.
    pub(super) fn broken_off(panic: String) -> Self {
        Self::Failed { error: panic, asked: None, is_unreachable: false }
    }
}

/// TLS with the authorities of the system.
fn tls() -> TlsConfig {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "notify.url: an authority of the system can't be read");
    }
    let roots: Vec<Certificate<'static>> =
        found.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
    if roots.is_empty() {
        tracing::warn!(
            "notify.url: the system knows no authority, so no https receiver is believed; install ca-certificates"
        );
    }
    TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(RootCerts::from(roots))
        .unversioned_rustls_crypto_provider(Arc::new(default_provider()))
        .build()
}

/// The time that a `Retry-After` asks for (RFC 9110 §10.2.3).
fn retry_after(field: &str, now: Timestamp) -> Option<Duration> {
    let field = field.trim();
    if let Ok(seconds) = field.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = Timestamp::try_from(httpdate::parse_http_date(field).ok()?).ok()?;
    // One that is over asks for nothing.
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

impl fmt::Debug for WebhookReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookReceiver").field("origin", &self.origin()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
