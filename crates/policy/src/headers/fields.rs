//! Kinds of header fields for a proxy: hop-by-hop, reserved for the edge, claims of a client about itself,
//! trailers. Each list is here once, for requests and answers, on every protocol.

use http::header::{self, HeaderName, HeaderValue};

/// Whether a field is hop-by-hop (RFC 9110 §7.6.1, RFC 9112 §7.4 and RFC 7540 §3.2.1), so that no proxy
/// forwards it. `Trailer` only announces trailers, which are forwarded themselves.
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    // Compared as text: a list of `HeaderName`s would be built at each call.
    matches!(
        name.as_str(),
        "connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "http2-settings"
    )
}

/// The fields named in the lines of `Connection`, which are hop-by-hop. Skips the two options that are not
/// fields, and anything that is not a field name.
pub fn nominated<'l>(connection: impl Iterator<Item = &'l HeaderValue>) -> impl Iterator<Item = HeaderName> {
    connection
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|option| !is_persistence(option))
        .filter_map(|name| HeaderName::from_bytes(name).ok())
}

/// Whether an option of `Connection` is `close` or `keep-alive` (RFC 9112 §9.3).
pub fn is_persistence(option: &[u8]) -> bool {
    option.eq_ignore_ascii_case(b"keep-alive") || option.eq_ignore_ascii_case(b"close")
}

/// Permitted sender of a field toward the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// Any client.
    Anyone,
    /// A proxy that the configuration trusts.
    TrustedProxy,
    /// The edge alone.
    Edge,
}

/// The permitted sender of a field with this name. Names count as upstreams may read them: CGI-like servers
/// turn `-` into `_`, and some turn `.` into `_` as well, so `X_Forwarded.For` means `X-Forwarded-For` to
/// them. No proxy has a reason to write such a name.
pub fn sender(name: &HeaderName) -> Sender {
    let name = name.as_str().as_bytes();
    // For nearly every field, the first letter or the length is enough.
    match name {
        [b'x', _, ..] => of_x(name),
        [b'p', _, _, _, _] if aliases(name, b"proxy") => Sender::Edge,
        [b'f', ..] if name == b"forwarded" => Sender::TrustedProxy,
        [b't', ..] if aliases(name, b"true-client-ip") => of_proxies(name, b"true-client-ip"),
        [b'c', ..] if aliases(name, b"cf-connecting-ip") => of_proxies(name, b"cf-connecting-ip"),
        // The real fields frame a message; these only look like them.
        [b'c', ..] if name != b"content-length" && aliases(name, b"content-length") => Sender::Edge,
        [b't', ..] if name != b"transfer-encoding" && aliases(name, b"transfer-encoding") => Sender::Edge,
        _ => Sender::Anyone,
    }
}

fn of_x(name: &[u8]) -> Sender {
    let of_edge: [&[u8]; 3] = [b"x-widget-", b"x-embedder-", b"x-decision-"];
    let named_by_edge: [&[u8]; 2] = [b"x-original-url", b"x-rewrite-url"];
    if of_edge.iter().any(|prefix| starts_as(name, prefix))
        || named_by_edge.iter().any(|own| aliases(name, own))
    {
        Sender::Edge
    } else if starts_as(name, b"x-forwarded-") {
        of_proxies(name, b"x-forwarded-")
    } else if aliases(name, b"x-real-ip") {
        of_proxies(name, b"x-real-ip")
    } else if aliases(name, b"x-client-ip") {
        of_proxies(name, b"x-client-ip")
    } else {
        Sender::Anyone
    }
}

/// The permitted sender of a claim that starts like `field`: a proxy, but only with the exact spelling.
fn of_proxies(name: &[u8], field: &[u8]) -> Sender {
    if name.starts_with(field) { Sender::TrustedProxy } else { Sender::Edge }
}

fn aliases(name: &[u8], field: &[u8]) -> bool {
    name.len() == field.len() && starts_as(name, field)
}

/// Whether a lower-case name starts with `prefix` when `_` and `.` are read as `-`.
fn starts_as(name: &[u8], prefix: &[u8]) -> bool {
    name.len() >= prefix.len()
        && name
            .iter()
            .zip(prefix)
            .all(|(byte, expected)| byte == expected || *expected == b'-' && matches!(byte, b'_' | b'.'))
}

/// Whether a field may be a trailer (RFC 9110 §6.5.1): nothing needs it before the body, and neither framing
/// nor routing, access, caching or a policy depends on it.
pub fn is_trailer(name: &HeaderName) -> bool {
    static BEFORE: [HeaderName; 22] = [
        header::AGE,
        header::ALLOW,
        header::AUTHORIZATION,
        header::CACHE_CONTROL,
        header::COOKIE,
        header::DATE,
        header::EXPECT,
        header::EXPIRES,
        header::HOST,
        header::LOCATION,
        header::MAX_FORWARDS,
        header::ORIGIN,
        header::PRAGMA,
        header::RANGE,
        header::REFERER,
        header::REFERRER_POLICY,
        header::RETRY_AFTER,
        header::SET_COOKIE,
        header::STRICT_TRANSPORT_SECURITY,
        header::VARY,
        header::WWW_AUTHENTICATE,
        header::X_FRAME_OPTIONS,
    ];
    const PREFIXES: [&str; 6] = ["access-control-", "content-", "if-", "proxy-", "sec-", "cross-origin-"];
    let text = name.as_str();
    !is_hop_by_hop(name)
        && !BEFORE.contains(name)
        && sender(name) == Sender::Anyone
        && !PREFIXES.iter().any(|prefix| text.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn of(name: &str) -> Sender {
        sender(&HeaderName::from_bytes(name.as_bytes()).unwrap())
    }

    const EDGE: [&str; 8] = [
        "Proxy",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Widget-Id",
        "X-Widget-Anything",
        "X-Embedder-Origin",
        "X-Decision-Id",
        "X-Decision-",
    ];
    const PROXIES: [&str; 7] = [
        "X-Forwarded-For",
        "X-Forwarded-Anything",
        "X-Real-IP",
        "X-Client-IP",
        "True-Client-IP",
        "CF-Connecting-IP",
        "Forwarded",
    ];

    #[test]
    fn each_field_has_its_sender() {
        for name in EDGE {
            assert_eq!(of(name), Sender::Edge, "{name}");
        }
        for name in PROXIES {
            assert_eq!(of(name), Sender::TrustedProxy, "{name}");
        }
        for name in [
            "content-length",
            "transfer-encoding",
            "content-type",
            "x-requested-with",
            "x-widget",
            "proxy-status",
            "x-original-url-2",
            "cookie",
            "forwarded-by",
            "te",
        ] {
            assert_eq!(of(name), Sender::Anyone, "{name}");
        }
    }

    proptest! {
        #[test]
        fn other_spellings_are_nobodys(index in 0..17_usize, marks in "[-_.]{4}") {
            let framing = ["Content-Length", "Transfer-Encoding"];
            let name = EDGE.iter().chain(&PROXIES).chain(&framing).nth(index).copied().unwrap();
            let mut marks = marks.chars().cycle();
            let spelt: String =
                name.chars().map(|c| if c == '-' { marks.next().unwrap() } else { c }).collect();
            let hyphens = name.matches('-').count();
            prop_assume!(hyphens > 0 && (!name.ends_with('-') || spelt.ends_with('-')));
            let expected = match framing.contains(&name) {
                true if spelt == name => Sender::Anyone,
                false if spelt == name => of(name),
                _ => Sender::Edge,
            };
            prop_assert_eq!(of(&spelt), expected, "{}", spelt);
        }
    }

    #[test]
    fn trailers_are_what_may_come_late() {
        for (name, late) in [
            ("x-checksum", true),
            ("grpc-status", true),
            ("digest", true),
            ("content-length", false),
            ("transfer-encoding", false),
            ("host", false),
            ("x-forwarded-for", false),
            ("x_widget_id", false),
            ("set-cookie", false),
            ("access-control-allow-origin", false),
        ] {
            assert_eq!(is_trailer(&HeaderName::from_static(name)), late, "{name}");
        }
    }

    #[test]
    fn nominated_fields_are_those_of_one_connection() {
        let lines = ["keep-alive, X-Hop", "close,, x-other ,no name"].map(HeaderValue::from_static);
        assert_eq!(nominated(lines.iter()).collect::<Vec<_>>(), ["x-hop", "x-other"]);
    }
}
