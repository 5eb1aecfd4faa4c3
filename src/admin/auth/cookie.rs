//! Cookie that stands for the session of a person at the operator's page.

use http::header::{self, HeaderMap, HeaderValue};

use super::sessions::{Digest, LIFETIME};
use super::token_file::sha256;
use embedgate_policy::headers::{PAGE_COOKIE, PLAIN_PAGE_COOKIE};

/// The name of the cookie. Browsers take a `__Host-` only over TLS.
pub(super) const fn name(is_secure: bool) -> &'static str {
    if is_secure { PAGE_COOKIE } else { PLAIN_PAGE_COOKIE }
}

/// Session that a request presents, by the digest of its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PresentedSession {
    Nothing,
    One(Digest),
    /// Cookies of the same name: somebody else may have set one of them, and nothing tells which.
    Several,
}

impl PresentedSession {
    /// Finds it in the cookies of a request.
    pub(super) fn find(is_secure: bool, headers: &HeaderMap) -> Self {
        let mut ids = ids(is_secure, headers);
        match (ids.next(), ids.next()) {
            (None, _) => Self::Nothing,
            (Some(id), None) => Self::One(id),
            (Some(_), Some(_)) => Self::Several,
        }
    }
}

/// The digests of all ids that a request presents.
pub(super) fn ids(is_secure: bool, headers: &HeaderMap) -> impl Iterator<Item = Digest> {
    // Other cookies in the same line may have any bytes.
    let lines = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes);
    let pairs = lines.flat_map(|line| line.split(|byte| *byte == b';'));
    let pairs = pairs.filter_map(|pair| str::from_utf8(pair).ok()?.split_once('='));
    let own = pairs.filter(move |(given, _)| given.trim() == name(is_secure));
    own.map(|(_, id)| sha256(id.trim()))
}

/// What makes a browser keep the id of a session.
pub(super) fn kept(is_secure: bool, id: &str) -> Result<HeaderValue, header::InvalidHeaderValue> {
    let mut value = HeaderValue::try_from(text(is_secure, id, LIFETIME.as_secs()))?;
    // Whoever has it is signed in.
    value.set_sensitive(true);
    Ok(value)
}

/// What makes a browser forget it.
pub(super) fn forgotten(is_secure: bool) -> Result<HeaderValue, header::InvalidHeaderValue> {
    HeaderValue::try_from(text(is_secure, "", 0))
}

fn text(is_secure: bool, id: &str, seconds: u64) -> String {
    let secure = if is_secure { "; Secure" } else { "" };
    format!("{}={id}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}", name(is_secure))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn found(is_secure: bool, lines: &[&str]) -> PresentedSession {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::COOKIE, line.parse().unwrap());
        }
        PresentedSession::find(is_secure, &headers)
    }

    #[test]
    fn a_request_presents_one_or_none() {
        let one = PresentedSession::One(sha256("1a"));
        for (lines, expected) in [
            (&[][..], PresentedSession::Nothing),
            (&["embedgate_admin=1a"], one),
            (&["x=1; embedgate_admin=1a ;y"], one),
            (&["x=1", "embedgate_admin=1a"], one),
            (&["x=embedgate_admin=1a; Embedgate_admin=2; embedgate_admin"], PresentedSession::Nothing),
            (&["__Host-embedgate=1a"], PresentedSession::Nothing),
            (&["x=\u{e9}; embedgate_admin=1a"], one),
            (&["embedgate_admin=1a; embedgate_admin=1a"], PresentedSession::Several),
            (&["embedgate_admin=1a; embedgate_admin =2b"], PresentedSession::Several),
            (&["embedgate_admin=1a", "embedgate_admin=2b"], PresentedSession::Several),
        ] {
            assert_eq!(found(false, lines), expected, "{lines:?}");
        }
        assert_eq!(found(true, &["__Host-embedgate=1a; embedgate_admin=2b"]), one);
    }

    #[test]
    fn browsers_keep_it_for_this_host_and_show_it_to_no_script() {
        let plain = "embedgate_admin=1a; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict";
        assert_eq!(kept(false, "1a").unwrap(), plain);
        let secure = "__Host-embedgate=1a; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure";
        assert_eq!(kept(true, "1a").unwrap(), secure);
        assert!(
            forgotten(true).unwrap().to_str().unwrap().starts_with("__Host-embedgate=; Path=/; Max-Age=0;")
        );
        assert!(kept(true, "\n").is_err());
    }
}
