//! May a shared cache keep an answer, and for how long is it fresh: RFC 9111 §3 and §4.2, decided from what the
//! upstream sent, before anything of it is rewritten for browsers. Only answers with an explicit lifetime are kept;
//! nothing is guessed from `Last-Modified` (§4.2.2 allows it, and nobody who saves a script expects it).

use std::time::Duration;

use http::StatusCode;
use http::header::{self, HeaderName};
use jiff::Timestamp;
use pingora::cache::cache_control::{Cacheable, DirectiveKey, InterpretCacheControl};

use super::directives::{self, Directives};
use crate::edge::fields::Fields;

/// Final answers whose meaning this cache knows (§3) and that are of use to more than one visitor. Partial content
/// (206) is not combined, so not kept.
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

/// The answer to a GET, as it came.
#[derive(Clone, Copy, Debug)]
pub struct Received<'h> {
    /// Its status.
    pub status: StatusCode,
    /// Its fields.
    pub headers: &'h Fields,
    /// Whether the request had `Authorization`.
    pub authorized: bool,
    /// From sending the request to having the head.
    pub delay: Duration,
    /// When the head was there.
    pub at: Timestamp,
}

/// How long an answer may be used. All from the moment it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// How old it was then (§4.2.3).
    pub age: Duration,
    /// For how long it is fresh; never zero.
    pub fresh_for: Duration,
    /// For how long after that it may be used while it is being validated (RFC 5861 §3).
    pub stale_while_revalidate: Duration,
    /// For how long after that it may stand in for an error (RFC 5861 §4).
    pub stale_if_error: Duration,
}

/// Whether a glance is enough to see that an answer may not be kept, as it is for most that may not be.
pub fn plainly_refused(status: StatusCode, headers: &Fields) -> bool {
    !UNDERSTOOD.contains(&status) || directives::plainly_refuse(headers)
}

/// How an answer may be kept; `None` where it may not.
pub fn freshness(received: &Received<'_>) -> Option<Freshness> {
    let headers = received.headers;
    let directives = directives::read(headers);
    let control = &directives.control;
    if directives::KEPT_OUT.iter().any(|directive| control.has_key(directive))
        || control.is_cacheable() == Cacheable::No
        || !UNDERSTOOD.contains(&received.status)
        // Not forbidden by §3, but a cookie is somebody's.
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

/// §4.2.1: `s-maxage`, `max-age`, or `Expires` less `Date`, the first that is there. One that is there and can't be
/// read makes the answer stale.
fn lifetime(directives: &Directives, received: &Received<'_>) -> Option<Duration> {
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

/// §4.2.3: what caches on the way say, or what the clocks say, whichever is more; in whole seconds, as both are.
fn age(received: &Received<'_>) -> Duration {
    let said = received.headers.get(&header::AGE).and_then(|age| {
        let first = age.to_str().ok()?.split(',').next()?;
        first.trim().parse::<u32>().ok()
    });
    let said = Duration::from_secs(said.unwrap_or(0).into()) + received.delay;
    let apparent = date(received.headers, &header::DATE)
        .and_then(|sent| Duration::try_from(received.at.duration_since(sent)).ok());
    Duration::from_secs(said.max(apparent.unwrap_or_default()).as_secs())
}

/// A field that holds one HTTP date (RFC 9110 §5.6.7); several lines are as good as none.
fn date(headers: &Fields, name: &HeaderName) -> Option<Timestamp> {
    let mut lines = headers.get_all(name);
    let (Some(line), None) = (lines.next(), lines.next()) else { return None };
    Timestamp::try_from(httpdate::parse_http_date(line.to_str().ok()?).ok()?).ok()
}

#[cfg(test)]
mod tests;
