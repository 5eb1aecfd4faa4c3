//! Where a request by cookie comes from. A browser adds the cookie to whatever leads here: also to what a page of another
//! port of the same host makes it send, because cookies know no ports.

use http::header::{self, HeaderMap, HeaderName};
use http::{Method, Uri};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Why a request may not use the session that its cookie stands for; `None`: it may.
pub(super) fn fault(scheme: &str, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<&'static str> {
    if !method.is_safe() && !is_own(scheme, headers) {
        return Some("a change by a session needs the `Origin` of the admin listener itself");
    }
    // Browsers without this field are old, and send a `SameSite=Strict` cookie to no other site.
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
    let is_of_this = sites.all(|site| site == "same-origin" || site == "none");
    (!is_of_this && !is_visit(method, uri, headers))
        .then_some("pages of other origins may not use the session of a person here")
}

/// Whether the origin is that of the admin listener, as it was asked: scheme, host and port.
pub(super) fn is_own(scheme: &str, headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(host), Some(origin)) = (text(header::HOST), text(header::ORIGIN)) else { return false };
    origin.split_once("://").is_some_and(|(of, rest)| of == scheme && rest.eq_ignore_ascii_case(host))
}

/// Whether a tab opens a view, as by a link: no other page can read what it shows.
fn is_visit(method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
    let says = |name, word| headers.get(name).is_some_and(|value| value == word);
    *method == Method::GET
        && !uri.path().starts_with("/v1/")
        && says(SEC_FETCH_MODE, "navigate")
        && says(SEC_FETCH_DEST, "document")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn may(method: &str, path: &str, fields: &[(&'static str, &str)]) -> bool {
        let mut headers = HeaderMap::from_iter([(header::HOST, "localhost:9090".parse().unwrap())]);
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        let method = method.parse().unwrap();
        fault("http", &method, &path.parse().unwrap(), &headers).is_none()
    }

    #[test]
    fn a_change_needs_the_own_origin() {
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            for (origin, may_change) in [
                (Some("http://localhost:9090"), true),
                (Some("http://LOCALHOST:9090"), true),
                (Some("https://localhost:9090"), false),
                (Some("http://localhost:9091"), false),
                (Some("http://localhost"), false),
                (Some("http://127.0.0.1:9090"), false),
                (Some("localhost:9090"), false),
                (Some("null"), false),
                (Some(""), false),
                (None, false),
            ] {
                let fields: Vec<_> = origin.map(|origin| ("origin", origin)).into_iter().collect();
                assert_eq!(may(method, "/v1/widgets/w", &fields), may_change, "{method} {origin:?}");
            }
        }
    }

    #[test]
    fn what_another_page_makes_a_browser_send_is_none_of_it() {
        let own = ("origin", "http://localhost:9090");
        for (site, is_of_this) in
            [("same-origin", true), ("none", true), ("same-site", false), ("cross-site", false), ("", false)]
        {
            let site = ("sec-fetch-site", site);
            for (method, path) in
                [("GET", "/v1/status"), ("HEAD", "/"), ("GET", "/"), ("POST", "/v1/explain")]
            {
                assert_eq!(may(method, path, &[site, own]), is_of_this, "{method} {path} {site:?}");
            }
            // A link in another tab leads to a view, and to nothing else.
            let visit = [site, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
            assert!(may("GET", "/widgets/w", &visit), "{site:?}");
            for (method, path) in [("GET", "/v1/status"), ("POST", "/v1/explain")] {
                let visit = [&visit[..], &[own]].concat();
                assert_eq!(may(method, path, &visit), is_of_this, "{method} {path} {site:?}");
            }
            let frame = [site, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
            assert_eq!(may("GET", "/", &frame), is_of_this, "{site:?}");
        }
        let twice = [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")];
        assert!(!may("GET", "/v1/status", &twice));
        assert!(may("GET", "/v1/status", &[]), "a program, or an old browser");
    }
}
