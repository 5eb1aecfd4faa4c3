//! Presented tickets: in `Authorization: Embed …`, in `?ticket=…`, or, for WebSockets, where scripts can't set a
//! field, in the offered subprotocol `embed-ticket.…`. A frame that reloads or follows a link has its ticket only in
//! the address. Widgets that know nothing of tickets have theirs in a [`cookie`]. All of them are removed before the
//! upstream gets the request, also from `Referer`.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::uri::{PathAndQuery, Uri};
use percent_encoding::percent_decode;

use super::cookie;
use crate::edge::http::fields::Fields;
use crate::edge::http::message::RequestHead;
use embedgate_policy::headers::members;

const SCHEME: &[u8] = b"embed";
const PARAMETER: &str = "ticket";
const SUBPROTOCOL: &[u8] = b"embed-ticket.";

/// Presented ticket, as written in the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented<'r> {
    /// No ticket.
    Nothing,
    /// One ticket, presented in one or more ways.
    Ticket(&'r [u8]),
    /// Different tickets: the edge must not guess which one counts.
    Several,
}

impl<'r> Presented<'r> {
    /// Finds the ticket of a session. Allocates nothing.
    pub fn find(request: &'r RequestHead) -> Self {
        let found = in_authorization(&request.fields)
            .chain(in_query(request))
            .chain(offered(&request.fields).filter_map(|token| token.strip_prefix(SUBPROTOCOL)));
        Self::all(found)
    }

    /// Finds the ticket of a frame, which is in its address.
    pub fn in_address(request: &'r RequestHead) -> Self {
        Self::all(in_query(request))
    }

    pub(super) fn all(found: impl Iterator<Item = &'r [u8]>) -> Self {
        found.fold(Self::Nothing, |before, ticket| match before {
            Self::Nothing => Self::Ticket(ticket),
            // A script may send the same ticket in two ways.
            Self::Ticket(other) if other == ticket => before,
            Self::Ticket(_) | Self::Several => Self::Several,
        })
    }
}

fn in_query(request: &RequestHead) -> impl Iterator<Item = &[u8]> {
    let parameters = request.uri.query().into_iter().flat_map(|query| parameters(query.as_bytes()));
    parameters.filter_map(ticket_parameter)
}

fn in_authorization(headers: &Fields) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all(header::AUTHORIZATION)
        // `fetch` joins two fields with the same name into one line.
        .flat_map(|value| members(value.as_bytes()))
        .filter_map(embed_credentials)
}

/// The credentials of the scheme `Embed` (RFC 9110 §11.4; schemes are case-insensitive).
fn embed_credentials(value: &[u8]) -> Option<&[u8]> {
    let value = value.trim_ascii();
    let (scheme, credentials) = value.split_at(value.iter().position(u8::is_ascii_whitespace)?);
    scheme.eq_ignore_ascii_case(SCHEME).then(|| credentials.trim_ascii())
}

fn parameters(query: &[u8]) -> impl Iterator<Item = &[u8]> {
    query.split(|byte| *byte == b'&')
}

fn ticket_parameter(parameter: &[u8]) -> Option<&[u8]> {
    let name = parameter.split(|byte| *byte == b'=').next()?;
    is_parameter(name).then(|| parameter.get(name.len() + 1..).unwrap_or_default())
}

/// Whether an upstream would read `name` as `ticket`, also with letters written as `%XX` (RFC 3986 §2.1).
fn is_parameter(name: &[u8]) -> bool {
    percent_decode(name).eq(PARAMETER.bytes())
}

/// A query without its tickets; `None` if it has none.
fn without_tickets(query: &[u8]) -> Option<Vec<u8>> {
    if !parameters(query).any(|parameter| ticket_parameter(parameter).is_some()) {
        return None;
    }
    let others = parameters(query).filter(|parameter| ticket_parameter(parameter).is_none());
    Some(others.collect::<Vec<_>>().join(&b'&'))
}

/// The subprotocols that a handshake offers (RFC 6455 §11.3.4).
fn offered(headers: &Fields) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL);
    lines.flat_map(tokens)
}

fn tokens(line: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// The subprotocol with the ticket. A 101 has to name it if the upstream chose none, because a browser fails
/// a handshake that selects none of the offered ones.
pub fn subprotocol(headers: &Fields) -> Option<HeaderValue> {
    let token = offered(headers).find(|token| token.starts_with(SUBPROTOCOL))?;
    HeaderValue::from_bytes(token).ok()
}

/// The subprotocol that a 101 of the edge's own names: the first offered one that is no ticket, else the ticket's.
pub fn acknowledged(headers: &Fields) -> Option<HeaderValue> {
    let other = offered(headers).find(|token| !token.is_empty() && !token.starts_with(SUBPROTOCOL));
    other.map_or_else(|| subprotocol(headers), |token| HeaderValue::from_bytes(token).ok())
}

/// The request without its tickets and the cookies of the operator's page, for the upstream; `None` if it has none of
/// either.
pub fn stripped(request: &RequestHead) -> Option<RequestHead> {
    let has_some = in_query(request).next().is_some()
        || request.fields.iter().any(|(name, value)| match *name {
            header::AUTHORIZATION => {
                members(value.as_bytes()).any(|member| embed_credentials(member).is_some())
            }
            header::SEC_WEBSOCKET_PROTOCOL => tokens(value).any(|token| token.starts_with(SUBPROTOCOL)),
            header::REFERER => without_ticket(value).is_some(),
            header::COOKIE => cookie::is_in_line(value),
            _ => false,
        });
    if !has_some {
        return None;
    }
    // Every way is stripped, not only the one that counts: no upstream may see a ticket.
    let mut bare = request.clone();
    strip_authorization(&mut bare);
    strip_subprotocols(&mut bare);
    strip_referer(&mut bare);
    strip_query(&mut bare);
    cookie::strip(&mut bare.fields);
    Some(bare)
}

fn strip_authorization(request: &mut RequestHead) {
    if in_authorization(&request.fields).next().is_none() {
        return;
    }
    let lines = request.fields.get_all(header::AUTHORIZATION);
    let others: Vec<HeaderValue> = lines.filter_map(without_embed).collect();
    request.fields.remove(&header::AUTHORIZATION);
    others.into_iter().for_each(|value| request.fields.append(header::AUTHORIZATION, value));
}

/// A line of `Authorization` without its tickets; `None` if nothing is left.
fn without_embed(line: &HeaderValue) -> Option<HeaderValue> {
    let is_other = |member: &&[u8]| embed_credentials(member).is_none();
    if members(line.as_bytes()).all(|member| is_other(&member)) {
        return Some(line.clone());
    }
    let others: Vec<&[u8]> = members(line.as_bytes()).filter(is_other).collect();
    HeaderValue::from_bytes(&others.join(&b", "[..])).ok().filter(|others| !others.is_empty())
}

fn strip_subprotocols(request: &mut RequestHead) {
    if subprotocol(&request.fields).is_none() {
        return;
    }
    let others: Vec<&[u8]> =
        offered(&request.fields).filter(|token| !token.starts_with(SUBPROTOCOL)).collect();
    let others = HeaderValue::from_bytes(&others.join(&b", "[..])).ok().filter(|others| !others.is_empty());
    request.fields.remove(&header::SEC_WEBSOCKET_PROTOCOL);
    if let Some(others) = others {
        request.fields.append(header::SEC_WEBSOCKET_PROTOCOL, others);
    }
}

/// Removes tickets from `Referer`: a frame with a ticket in its address sends that address as the referrer.
fn strip_referer(request: &mut RequestHead) {
    if !is_in_referrer(request) {
        return;
    }
    let lines = request.fields.get_all(header::REFERER);
    let lines: Vec<HeaderValue> =
        lines.map(|line| without_ticket(line).unwrap_or_else(|| line.clone())).collect();
    request.fields.remove(&header::REFERER);
    lines.into_iter().for_each(|value| request.fields.append(header::REFERER, value));
}

fn is_in_referrer(request: &RequestHead) -> bool {
    request.fields.get_all(header::REFERER).any(|line| without_ticket(line).is_some())
}

/// An address without the tickets in its query; `None` if it has none.
fn without_ticket(address: &HeaderValue) -> Option<HeaderValue> {
    let address = address.as_bytes();
    let (before, rest) = address.split_at(memchr::memchr(b'?', address)?);
    let (query, fragment) = rest.split_at(rest.iter().position(|byte| *byte == b'#').unwrap_or(rest.len()));
    let others = without_tickets(query.get(1..)?)?;
    let mark: &[u8] = if others.is_empty() { b"" } else { b"?" };
    HeaderValue::from_bytes(&[before, mark, &others, fragment].concat()).ok()
}

fn strip_query(request: &mut RequestHead) {
    let Some(others) = request.uri.query().and_then(|query| without_tickets(query.as_bytes())) else {
        return;
    };
    let mut target = request.uri.path().as_bytes().to_vec();
    if !others.is_empty() {
        target.push(b'?');
        target.extend(others);
    }
    // Over HTTP/2 the URI also has the host.
    let mut parts = request.uri.clone().into_parts();
    parts.path_and_query = PathAndQuery::from_maybe_shared(Bytes::from(target)).ok();
    // A valid target without a part of its query is still valid.
    if let Ok(uri) = Uri::from_parts(parts) {
        request.uri = uri;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn request(target: &str, fields: &[(&'static str, &str)]) -> RequestHead {
        RequestHead::of("GET", target, fields)
    }

    const AUTHORIZATION: &str = "authorization";
    const PROTOCOL: &str = "sec-websocket-protocol";

    #[test]
    fn each_way_presents_it() {
        for (target, fields) in [
            ("/s", &[(AUTHORIZATION, "Embed a.b")][..]),
            ("/s", &[(AUTHORIZATION, "embed   a.b ")]),
            ("/s?ticket=a.b", &[]),
            ("/s?x=1&ticket=a.b&y", &[]),
            ("/s?%74ic%6Bet=a.b", &[]),
            ("/s", &[(AUTHORIZATION, "Bearer x, Embed a.b")]),
            ("/s", &[(AUTHORIZATION, "Embed a.b,Digest a=\"x, Embed y\", b=c")]),
            ("/s", &[(PROTOCOL, "chat, embed-ticket.a.b")]),
            ("/s", &[(PROTOCOL, "chat"), (PROTOCOL, "embed-ticket.a.b")]),
            ("/s?ticket=a.b", &[(AUTHORIZATION, "Embed a.b"), (PROTOCOL, "embed-ticket.a.b")]),
        ] {
            let request = request(target, fields);
            assert_eq!(Presented::find(&request), Presented::Ticket(b"a.b"), "{target} {fields:?}");
        }
    }

    #[test]
    fn what_is_none_or_more_than_one() {
        for (target, fields) in [
            ("/s", &[][..]),
            ("/s?tickets=a.b", &[]),
            ("/s", &[(AUTHORIZATION, "Bearer a.b")]),
            ("/s", &[(AUTHORIZATION, "Embed")]),
            ("/s", &[(PROTOCOL, "chat, xembed-ticket.a.b")]),
        ] {
            assert_eq!(Presented::find(&request(target, fields)), Presented::Nothing, "{target} {fields:?}");
        }
        for (target, fields) in [
            ("/s?ticket=a&ticket=b", &[][..]),
            ("/s?ticket=a", &[(AUTHORIZATION, "Embed b")]),
            ("/s", &[(AUTHORIZATION, "Embed a"), (AUTHORIZATION, "Embed b")]),
            ("/s", &[(PROTOCOL, "embed-ticket.a, embed-ticket.b")]),
        ] {
            assert_eq!(Presented::find(&request(target, fields)), Presented::Several, "{target} {fields:?}");
        }
    }

    #[test]
    fn a_101_names_what_the_page_speaks_before_its_ticket() {
        for (offered, named) in [
            (&["chat, superchat"][..], Some("chat")),
            (&["embed-ticket.a.b, chat"], Some("chat")),
            (&["embed-ticket.a.b", "chat"], Some("chat")),
            (&["embed-ticket.a.b"], Some("embed-ticket.a.b")),
            (&[", "], None),
            (&[], None),
        ] {
            let lines: Vec<_> = offered.iter().map(|line| (PROTOCOL, *line)).collect();
            let acknowledged = acknowledged(&request("/s", &lines).fields);
            assert_eq!(acknowledged.as_ref().map(|value| value.to_str().unwrap()), named, "{offered:?}");
        }
    }

    #[test]
    fn a_frame_s_is_in_its_address_alone() {
        let fields = [(AUTHORIZATION, "Embed c.d"), (PROTOCOL, "embed-ticket.c.d")];
        assert_eq!(Presented::in_address(&request("/f?%74icket=a.b", &fields)), Presented::Ticket(b"a.b"));
        assert_eq!(Presented::in_address(&request("/f?tickets=a.b", &fields)), Presented::Nothing);
        assert_eq!(Presented::in_address(&request("/f?ticket=a.b&ticket=c.d", &[])), Presented::Several);
    }

    #[test]
    fn no_referrer_tells_one() {
        for (referrer, left) in [
            ("https://edge.example/f?ticket=a.b", "https://edge.example/f"),
            ("https://edge.example/f?x=1&ticket=a.b&y=%20", "https://edge.example/f?x=1&y=%20"),
            ("https://edge.example/f?%74icke%74=a.b&x", "https://edge.example/f?x"),
            ("https://edge.example/f?ticket=a.b&ticket=c.d#ticket=e", "https://edge.example/f#ticket=e"),
            ("https://edge.example/f?ticket", "https://edge.example/f"),
            ("https://edge.example/f?p=C:\\x&ticket=a.b", "https://edge.example/f?p=C:\\x"),
            ("https://edge.example/f?é&ticket=a.b", "https://edge.example/f?é"),
            (
                "https://edge.example/f?tickets=a.b&x=ticket=1",
                "https://edge.example/f?tickets=a.b&x=ticket=1",
            ),
            ("https://edge.example/ticket=a.b", "https://edge.example/ticket=a.b"),
            ("https://edge.example/f?", "https://edge.example/f?"),
        ] {
            let request = request("/s", &[("referer", referrer), ("referer", "https://a.example/")]);
            let request = stripped(&request).unwrap_or(request);
            let lines: Vec<_> = request.fields.get_all(header::REFERER).map(HeaderValue::as_bytes).collect();
            assert_eq!(lines, [left.as_bytes(), b"https://a.example/"], "{referrer}");
        }
    }

    #[test]
    fn the_upstream_sees_none_of_it() {
        let request = request(
            "/s?x=1&ticket=a.b&y=%20&ticket=",
            &[
                (AUTHORIZATION, "Embed a.b"),
                (AUTHORIZATION, "Bearer kept"),
                (PROTOCOL, "chat, embed-ticket.a.b"),
                (PROTOCOL, "superchat"),
            ],
        );
        assert_eq!(subprotocol(&request.fields).unwrap(), "embed-ticket.a.b");
        let request = stripped(&request).unwrap();
        assert_eq!(request.target(), "/s?x=1&y=%20");
        assert_eq!(request.fields.text(AUTHORIZATION), Some("Bearer kept"));
        assert_eq!(request.fields.text(PROTOCOL), Some("chat, superchat"));
        assert_eq!(Presented::find(&request), Presented::Nothing);

        for (joined, left) in [
            ("Bearer kept, Embed a.b", "Bearer kept"),
            ("Embed a.b, Digest a=\"x, Embed y\", b=c", "Digest a=\"x, Embed y\", b=c"),
        ] {
            let joined = super::tests::request("/s?%74icket=a.b&x", &[(AUTHORIZATION, joined)]);
            let joined = stripped(&joined).unwrap();
            assert_eq!(joined.target(), "/s?x");
            assert_eq!(joined.fields.text(AUTHORIZATION), Some(left));
        }

        let only = super::tests::request("/s?ticket=a.b", &[(PROTOCOL, "embed-ticket.a.b")]);
        let only = stripped(&only).unwrap();
        assert_eq!(only.target(), "/s");
        assert!(only.fields.text(PROTOCOL).is_none());
        assert_eq!(subprotocol(&only.fields), None);

        let mut over_http2 = super::tests::request("/s", &[]);
        over_http2.uri = "https://edge.example/s?ticket=a.b&x=1".parse().unwrap();
        let over_http2 = stripped(&over_http2).unwrap();
        assert_eq!(over_http2.uri, "https://edge.example/s?x=1");
    }
}
