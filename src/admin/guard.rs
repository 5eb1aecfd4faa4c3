//! Guard against pages in a browser. A page that rebinds its name to this address (DNS rebinding) sends its
//! own `Host`, and a page that posts here sends its own `Origin`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};

use super::Admin;
use super::problem::Problem;

/// Middleware that passes only requests whose `Host` is one of `admin.hosts`, and whose `Origin`, if any,
/// names the same host.
pub(super) async fn guard(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    match check(&admin.hosts, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn check(hosts: &[String], headers: &HeaderMap) -> Result<(), Problem> {
    let host = single(headers, header::HOST).unwrap_or_default();
    if !hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(name(host))) {
        let detail = format!("Host must be one of admin.hosts: {}", hosts.join(", "));
        return Err(Problem::forbidden(detail));
    }
    let same = |origin: &str| origin.split_once("://").is_some_and(|(_, of)| of.eq_ignore_ascii_case(host));
    if headers.contains_key(header::ORIGIN) && !single(headers, header::ORIGIN).is_some_and(same) {
        let detail = "pages of other origins may not call the admin listener";
        return Err(Problem::forbidden(detail));
    }
    Ok(())
}

fn single(headers: &HeaderMap, field: header::HeaderName) -> Option<&str> {
    let mut lines = headers.get_all(field).iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => line.to_str().ok(),
        _ => None,
    }
}

/// A host without its port; an IPv6 address keeps its brackets.
fn name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn allowed(fields: &[(&'static str, &str)]) -> bool {
        let hosts = ["localhost".to_owned(), "127.0.0.1".to_owned(), "[::1]".to_owned()];
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        check(&hosts, &headers).is_ok()
    }

    #[test]
    fn only_known_hosts() {
        for host in ["localhost", "localhost:9090", "LOCALHOST:1", "127.0.0.1:9090", "[::1]:9090", "[::1]"] {
            assert!(allowed(&[("host", host)]), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:9090", "", "::1"] {
            assert!(!allowed(&[("host", host)]), "{host}");
        }
        assert!(!allowed(&[]));
        assert!(!allowed(&[("host", "localhost"), ("host", "localhost")]));
    }

    #[test]
    fn only_the_own_origin() {
        let host = ("host", "localhost:9090");
        assert!(allowed(&[host, ("origin", "http://localhost:9090")]));
        for origin in ["http://evil.example", "null", "http://localhost", "http://localhost:9091"] {
            assert!(!allowed(&[host, ("origin", origin)]), "{origin}");
        }
    }
}
