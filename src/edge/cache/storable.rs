//! Storability and freshness of answers: RFC 9111 §3 and §4.2, decided by the upstream's answer before it is
//! rewritten for browsers. Only answers with an explicit lifetime are stored. No lifetime is guessed from
//! `Last-Modified`: §4.2.2 allows it, but nobody who saves a script expects it.

use std::time::Duration;

use http::StatusCode;
use http::header::{self, HeaderName};
use jiff::Timestamp;
use pingora_cache::cache_control::{Cacheable, DirectiveKey, InterpretCacheControl};

use super::directives::{self, Directives};
use crate::edge::http::fields::Fields;

/// Statuses that this cache understands (§3) and that are useful for more than one visitor. Partial content
/// (206) is not stored, because it is not combined.
const UNDERSTOOD: [StatusCode; 8] = [
    StatusCode::OK,
    StatusCode::NON_AUTHORITATIVE_INFORMATION,
    StatusCode::MOVED_PERMANENTLY,
    StatusCode::FOUND,
    StatusCode::TEMPORARY_REDIRECT,
    StatusCode::PERMANENT_REDIRECT,
    StatusCode::NOT_FOUND,
    StatusCode::GONE,
];

/// Answer to a GET, as received.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamAnswer<'h> {
    /// The status.
    pub status: StatusCode,
    /// The fields.
    pub headers: &'h Fields,
    /// Whether the request had `Authorization`.
    pub authorized: bool,
    /// Time from sending the request to receiving the head.
    pub delay: Duration,
    /// When the head was received.
    pub at: Timestamp,
}

/// Freshness of an answer. All times count from its receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// The answer's age at its receipt (§4.2.3).
    pub age: Duration,
    /// How long it is fresh; never zero.
    pub fresh_for: Duration,
    /// How long after that it may be used while it is validated (RFC 5861 §3).
    pub stale_while_revalidate: Duration,
    /// How long after that it may replace an error (RFC 5861 §4).
    pub stale_if_error: Duration,
}

/// Fast check for answers that can't be stored; it finds most of them.
pub fn plainly_refused(status: StatusCode, headers: &Fields) -> bool {
    !UNDERSTOOD.contains(&status) || directives::plainly_refuse(headers)
}

/// The freshness of an answer; `None` if it may not be stored.
pub fn freshness(received: &UpstreamAnswer<'_>) -> Option<Freshness> {
    let headers = received.headers;
    let directives = directives::read(headers);
    let control = &directives.control;
    if directives::KEPT_OUT.iter().any(|directive| control.has_key(directive))
        || control.is_cacheable() == Cacheable::No
        || !UNDERSTOOD.contains(&received.status)
        // §3 does not forbid it, but a cookie is personal.
        || headers.contains(&header::SET_COOKIE)
        || received.authorized && !control.allow_caching_authorized_req()
    {
        return None;
    }
    let lifetime = lifetime(&directives, received)?;
    let age = age(received);
    let fresh_for = lifetime.checked_sub(age).filter(|fresh_for| !fresh_for.is_zero())?;
    Some(Freshness {
        age,
        fresh_for,
        stale_while_revalidate: control.serve_stale_while_revalidate_duration().unwrap_or_default(),
        stale_if_error: control.serve_stale_if_error_duration().unwrap_or_default(),
    })
}

/// The lifetime by §4.2.1: the first of `s-maxage`, `max-age`, and `Expires` minus `Date`. An invalid value
/// makes the answer stale.
fn lifetime(directives: &Directives, received: &UpstreamAnswer<'_>) -> Option<Duration> {
    let control = &directives.control;
    for (directive, seconds) in
        [(DirectiveKey::SMaxAge, control.s_maxage()), (DirectiveKey::MaxAge, control.max_age())]
    {
        if control.has_directive(&directive) {
            return seconds.ok().flatten().map(|seconds| Duration::from_secs(seconds.into()));
        }
    }
    if directives.targeted {
        return None;
    }
    let expires = date(received.headers, &header::EXPIRES)?;
    let sent = date(received.headers, &header::DATE).unwrap_or(received.at);
    Duration::try_from(expires.duration_since(sent)).ok()
}

/// The age by §4.2.3: from `Age` or from the clocks, whichever is more, in whole seconds.
fn age(received: &UpstreamAnswer<'_>) -> Duration {
    let said = received.headers.get(&header::AGE).and_then(|age| {
        let first = age.to_str().ok()?.split(',').next()?;
        first.trim().parse::<u32>().ok()
    });
    let said = Duration::from_secs(said.unwrap_or(0).into()) + received.delay;
    let apparent = date(received.headers, &header::DATE)
        .and_then(|sent| Duration::try_from(received.at.duration_since(sent)).ok());
    Duration::from_secs(said.max(apparent.unwrap_or_default()).as_secs())
}

/// The HTTP date of a field (RFC 9110 §5.6.7); several lines count as none.
fn date(headers: &Fields, name: &HeaderName) -> Option<Timestamp> {
    let mut lines = headers.get_all(name);
    let (Some(line), None) = (lines.next(), lines.next()) else { return None };
    Timestamp::try_from(httpdate::parse_http_date(line.to_str().ok()?).ok()?).ok()
}

#[cfg(test)]
mod tests;
