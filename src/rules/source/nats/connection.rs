//! Connection to a NATS server. It is made anew after each loss, so certificates and credentials are read again, and
//! nothing that was sent before reaches the bucket later.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::Context;
use async_nats::jetstream::response::Response;
use async_nats::{Client, ConnectOptions, Event, HeaderMap, Request, RequestErrorKind, ServerAddr, Subject};
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

/// Settings of the connection to NATS, and of the bucket there.
#[derive(Clone, Debug)]
pub struct NatsConnection {
    /// Servers to try, as URLs.
    pub servers: Vec<String>,
    /// The key-value bucket.
    pub bucket: String,
    /// The local store of applied rules.
    pub cache: PathBuf,
    /// Whether TLS is required, whatever the URLs say.
    pub tls: bool,
    /// The authorities that the servers' certificates are from; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// The edge's own certificate and key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// The file of a NATS user's credentials.
    pub credentials: Option<PathBuf>,
    /// The name of this edge in the fleet.
    pub edge: String,
    /// The age from which its rules are not used any more; `None`: never.
    pub max_staleness: Option<Duration>,
}

/// Time to open a connection.
const CONNECT: Duration = Duration::from_secs(3);

/// Time for the server to answer a call.
pub(super) const CALL: Duration = Duration::from_secs(5);

/// Messages of one subscription that may wait here. The server is told to wait long before.
const WAITING_MESSAGES: usize = 1 << 17;

/// Address on which nobody listens: the library tries it once after a loss, and gives up.
const NOWHERE: &str = "nats://127.0.0.1:1";

/// Open connection to a NATS server. It ends with the first loss.
pub(super) struct ServerConnection {
    pub(super) client: Client,
    pub(super) jetstream: Context,
    /// Why it has ended.
    pub(super) ended: watch::Receiver<Option<Arc<str>>>,
}

/// Failure of a call to JetStream.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum CallFault {
    /// The server refuses it. Nothing was done.
    #[error("{description} (NATS error {code})")]
    Refused { code: u64, description: String },
    /// Nobody is there who could do it. Nothing was done.
    #[error("no JetStream server answers for it; is JetStream on, and has the bucket a leader?")]
    NoResponders,
    /// It could not be sent. Nothing was done.
    #[error("{0}")]
    Unsent(String),
    /// No answer. It may be done.
    #[error("no answer: {0}")]
    Unanswered(String),
}

impl CallFault {
    /// Whether this is the server's refusal of this code.
    pub(super) fn is(&self, wanted: ErrorCode) -> bool {
        matches!(self, Self::Refused { code, .. } if *code == wanted.0)
    }
}

impl ServerConnection {
    /// Connects to this server.
    pub(super) async fn open(settings: &NatsConnection, server: &str) -> Result<Self, String> {
        let (end, ended) = watch::channel(None);
        let end = Arc::new(end);
        let mut options = ConnectOptions::new()
            .name(format!("embedgate {}", settings.edge))
            .connection_timeout(CONNECT)
            .request_timeout(Some(CALL))
            .ping_interval(Duration::from_secs(10))
            .subscription_capacity(WAITING_MESSAGES)
            .ignore_discovered_servers()
            .max_reconnects(1)
            .reconnect_delay_callback(|_| Duration::ZERO)
            .event_callback(move |event| {
                let end = Arc::clone(&end);
                async move {
                    if let Some(reason) = ending(&event) {
                        end.send_if_modified(|ended| {
                            let first = ended.is_none();
                            ended.get_or_insert(reason.into());
                            first
                        });
                    }
                }
            });
        if settings.tls {
            options = options.require_tls(true);
        }
        if let Some(ca) = &settings.ca {
            options = options.add_root_certificates(ca.clone());
        }
        if let Some((certificate, key)) = &settings.certificate {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
        if let Some(file) = &settings.credentials {
            let read = options.credentials_file(file).await;
            options = read.map_err(|error| format!("rules.nats.credentials: {}: {error}", file.display()))?;
        }
        // The library leaves them out.
        let url: ServerAddr = server.parse().map_err(|error| told(&error))?;
        match (url.username(), url.password()) {
            (Some(user), Some(password)) => {
                options = options.user_and_password(decoded(user), decoded(password));
            }
            (Some(token), None) => options = options.token(decoded(token)),
            (None, _) => {}
        }
        let client = options.connect(server).await.map_err(|error| told(&error))?;
        client.set_server_pool(NOWHERE).await.map_err(|error| told(&error))?;
        let jetstream = async_nats::jetstream::new(client.clone());
        Ok(Self { client, jetstream, ended })
    }

    /// Why it has ended, once it has.
    pub(super) async fn end(&self) -> Arc<str> {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(reason)) => Arc::clone(reason),
            _ => "the connection is closed".into(),
        }
    }

    /// Calls JetStream's API.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        call: &str,
        request: &impl Serialize,
    ) -> Result<T, CallFault> {
        let body = serde_json::to_vec(request).map_err(|error| CallFault::Unsent(error.to_string()))?;
        self.send(format!("$JS.API.{call}").into(), Request::new().payload(body.into())).await
    }

    /// Publishes a message, and gives the server's answer to it.
    pub(super) async fn publish<T: DeserializeOwned>(
        &self,
        subject: Subject,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<T, CallFault> {
        self.send(subject, Request::new().headers(headers).payload(payload)).await
    }

    async fn send<T: DeserializeOwned>(&self, subject: Subject, request: Request) -> Result<T, CallFault> {
        let answer =
            self.client.send_request(subject, request).await.map_err(|error| match error.kind() {
                RequestErrorKind::NoResponders => CallFault::NoResponders,
                RequestErrorKind::InvalidSubject | RequestErrorKind::MaxPayloadExceeded => {
                    CallFault::Unsent(told(&error))
                }
                RequestErrorKind::TimedOut => CallFault::Unanswered(format!("within {} s", CALL.as_secs())),
                RequestErrorKind::Other => CallFault::Unanswered(told(&error)),
            })?;
        match serde_json::from_slice::<Response<T>>(&answer.payload) {
            Ok(Response::Ok(done)) => Ok(done),
            Ok(Response::Err { error }) => {
                Err(CallFault::Refused { code: error.error_code().0, description: error.to_string() })
            }
            Err(error) => Err(CallFault::Unanswered(format!("the answer can't be read: {error}"))),
        }
    }
}

/// A part of a URL as it is meant (RFC 3986 §2.1).
fn decoded(part: &str) -> String {
    percent_decode_str(part).decode_utf8_lossy().into_owned()
}

/// Why a connection has ended, where this event ends it.
fn ending(event: &Event) -> Option<&'static str> {
    match event {
        Event::Disconnected => Some("the connection to NATS was lost"),
        Event::Closed => Some("the connection to NATS is closed"),
        Event::LameDuckMode => Some("the NATS server stops"),
        Event::SlowConsumer(_) => Some("messages came faster than they could be taken"),
        Event::Connected | Event::Draining | Event::ServerError(_) | Event::ClientError(_) => None,
    }
}

/// An error with all its causes.
pub(super) fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
