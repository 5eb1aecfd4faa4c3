//! Mapping of upstream errors to a status and a metrics label.

use http::StatusCode;
use pingora_core::{Error, ErrorSource, ErrorType, Result};

use super::upstream::NO_SERVER;

/// The status of the answer to the client; `None` if the client itself has left.
pub fn status(error: &Error) -> Option<StatusCode> {
    match (error.esource(), error.etype()) {
        (_, ErrorType::HTTPStatus(code)) => StatusCode::from_u16(*code).ok(),
        (ErrorSource::Upstream, kind) if *kind == NO_SERVER => Some(StatusCode::SERVICE_UNAVAILABLE),
        (
            ErrorSource::Upstream,
            ErrorType::ConnectTimedout
            | ErrorType::ReadTimedout
            | ErrorType::WriteTimedout
            | ErrorType::TLSHandshakeTimedout,
        ) => Some(StatusCode::GATEWAY_TIMEOUT),
        (ErrorSource::Upstream, _) => Some(StatusCode::BAD_GATEWAY),
        (ErrorSource::Downstream, ErrorType::InvalidHTTPHeader) => Some(StatusCode::BAD_REQUEST),
        (ErrorSource::Downstream, _) => None,
        (ErrorSource::Internal | ErrorSource::Unset, _) => Some(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// Checks the length of a request's body, so far or as stated, against the maximum of its route.
///
/// # Errors
/// The body is longer: 413.
pub fn check_length(length: u64, max_body: u64) -> Result<()> {
    if length <= max_body {
        return Ok(());
    }
    let too_large = ErrorType::HTTPStatus(StatusCode::PAYLOAD_TOO_LARGE.as_u16());
    Err(Error::explain(too_large, "the request's body is too large").into_down())
}

/// Every kind of failure.
pub const KINDS: [&str; 16] = [
    "no_healthy_server",
    "connect_timeout",
    "connect_refused",
    "connect_no_route",
    "connect",
    "certificate",
    "tls_handshake",
    "tls_handshake_timeout",
    "read_timeout",
    "write_timeout",
    "read",
    "write",
    "closed",
    "invalid_response",
    "http2",
    "other",
];

/// The kind of failure, one of [`KINDS`], for metrics and logs: stable, independent of the library's names.
pub fn kind(error: &Error) -> &'static str {
    match error.etype() {
        kind if *kind == NO_SERVER => "no_healthy_server",
        ErrorType::ConnectTimedout => "connect_timeout",
        ErrorType::ConnectRefused => "connect_refused",
        ErrorType::ConnectNoRoute => "connect_no_route",
        ErrorType::ConnectError | ErrorType::SocketError | ErrorType::BindError => "connect",
        ErrorType::InvalidCert => "certificate",
        ErrorType::TLSHandshakeFailure | ErrorType::HandshakeError => "tls_handshake",
        ErrorType::TLSHandshakeTimedout => "tls_handshake_timeout",
        ErrorType::ReadTimedout => "read_timeout",
        ErrorType::WriteTimedout => "write_timeout",
        ErrorType::ReadError => "read",
        ErrorType::WriteError => "write",
        ErrorType::ConnectionClosed => "closed",
        ErrorType::InvalidHTTPHeader | ErrorType::H1Error => "invalid_response",
        ErrorType::H2Error | ErrorType::InvalidH2 | ErrorType::H2Downgrade => "http2",
        _ => "other",
    }
}

/// The root cause of a failure in words, in one line.
pub fn cause(error: &Error) -> String {
    match error.root_cause().downcast_ref::<Error>() {
        None => error.root_cause().to_string(),
        Some(root) => match (&root.context, root.etype()) {
            (_, ErrorType::CustomCode(_, code)) => format!("it answered with {code}"),
            (Some(context), _) => context.as_str().to_owned(),
            (None, _) => kind(root).replace('_', " "),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io;

    use super::*;

    #[test]
    fn a_cause_is_told_in_words() {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let error = Error::because(ErrorType::ConnectRefused, "connecting to 127.0.0.1:1", refused());
        assert_eq!(cause(&error.into_up()), "connection refused");
        let inner = Error::explain(ErrorType::ReadTimedout, "while reading the answer").into_up();
        assert_eq!(cause(&inner), "while reading the answer");
        let outer = Error::because(ErrorType::ConnectError, "more", inner);
        assert_eq!(cause(&outer), "while reading the answer");
        assert_eq!(cause(&Error::new_up(NO_SERVER)), "no healthy server");
        let unwell = Error::explain(ErrorType::CustomCode("non 200 code", 503), "during http healthcheck");
        assert_eq!(cause(&unwell), "it answered with 503");
    }

    #[test]
    fn every_kind_is_on_the_list_and_reached() {
        let errors = [
            NO_SERVER,
            ErrorType::ConnectTimedout,
            ErrorType::ConnectRefused,
            ErrorType::ConnectNoRoute,
            ErrorType::ConnectError,
            ErrorType::SocketError,
            ErrorType::BindError,
            ErrorType::InvalidCert,
            ErrorType::TLSHandshakeFailure,
            ErrorType::HandshakeError,
            ErrorType::TLSHandshakeTimedout,
            ErrorType::ReadTimedout,
            ErrorType::WriteTimedout,
            ErrorType::ReadError,
            ErrorType::WriteError,
            ErrorType::ConnectionClosed,
            ErrorType::InvalidHTTPHeader,
            ErrorType::H1Error,
            ErrorType::H2Error,
            ErrorType::InvalidH2,
            ErrorType::H2Downgrade,
            ErrorType::UnknownError,
        ];
        let reached: BTreeSet<&str> = errors.into_iter().map(|error| kind(&Error::new(error))).collect();
        assert_eq!(reached, KINDS.into_iter().collect());
    }
}
