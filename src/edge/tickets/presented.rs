//! How a session call presents its ticket: `Authorization: Embed …`, `?ticket=…`, or, where a page's script can set no
//! field, the offered WebSocket subprotocol `embed-ticket.…`. All of them are taken out before the upstream.

use http::header::{self, HeaderMap, HeaderValue};
use http::uri::{PathAndQuery, Uri};
use percent_encoding::percent_decode_str;
use pingora::Result;
use pingora::http::RequestHeader;

use crate::policy::headers::members;

const SCHEME: &[u8] = b"embed";
const PARAMETER: &str = "ticket";
const SUBPROTOCOL: &[u8] = b"embed-ticket.";

/// What a request presents, as written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented<'r> {
    /// Nothing.
    Nothing,
    /// One ticket, in whatever ways.
    Ticket(&'r [u8]),
    /// Two that differ: which one counts is not for the edge to guess.
    Several,
}

impl<'r> Presented<'r> {
    /// Finds it. Allocates nothing.
    pub fn find(request: &'r RequestHeader) -> Self {
        let in_query = request.uri.query().into_iter().flat_map(parameters).filter_map(ticket_parameter);
        let found = in_authorization(&request.headers)
            .chain(in_query.map(str::as_bytes))
            .chain(offered(&request.headers).filter_map(|token| token.strip_prefix(SUBPROTOCOL)));
        found.fold(Self::Nothing, |before, ticket| match before {
            Self::Nothing => Self::Ticket(ticket),
            Self::Ticket(other) if other == ticket => before,
            Self::Ticket(_) | Self::Several => Self::Several,
        })
    }
}

fn in_authorization(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all(header::AUTHORIZATION)
        .into_iter()
        // `fetch` joins two fields of a name into one line.
        .flat_map(|value| members(value.as_bytes()))
        .filter_map(embed_credentials)
}

/// The credentials of the scheme `Embed` (RFC 9110 §11.4; schemes have no case).
fn embed_credentials(value: &[u8]) -> Option<&[u8]> {
    let value = value.trim_ascii();
    let (scheme, credentials) = value.split_at(value.iter().position(u8::is_ascii_whitespace)?);
    scheme.eq_ignore_ascii_case(SCHEME).then(|| credentials.trim_ascii())
}

fn parameters(query: &str) -> impl Iterator<Item = &str> {
    query.split('&')
}

fn ticket_parameter(parameter: &str) -> Option<&str> {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    is_parameter(name).then_some(value)
}

/// Whether an upstream would take it for the parameter, whichever letters are written as `%XX` (RFC 3986 §2.1).
fn is_parameter(name: &str) -> bool {
    percent_decode_str(name).eq(PARAMETER.bytes())
}

/// The subprotocols that a handshake offers (RFC 6455 §11.3.4).
fn offered(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).into_iter();
    lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
}

/// The subprotocol that carries the ticket, to be named in a 101 whose upstream chose none: a browser fails a
/// handshake that acknowledges none of those it offered.
pub fn subprotocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let token = offered(headers).find(|token| token.starts_with(SUBPROTOCOL))?;
    HeaderValue::from_bytes(token).ok()
}

/// The request without its tickets, as the upstream gets it; `None` where it presents none.
///
/// # Errors
/// What is left of a field is no value.
pub fn without_tickets(request: &RequestHeader) -> Result<Option<RequestHeader>> {
    if Presented::find(request) == Presented::Nothing {
        return Ok(None);
    }
    let mut bare = request.clone();
    strip_authorization(&mut bare)?;
    strip_subprotocols(&mut bare)?;
    strip_query(&mut bare);
    Ok(Some(bare))
}

fn strip_authorization(request: &mut RequestHeader) -> Result<()> {
    if in_authorization(&request.headers).next().is_none() {
        return Ok(());
    }
    let lines = request.headers.get_all(header::AUTHORIZATION).iter();
    let others: Vec<HeaderValue> = lines.filter_map(without_embed).collect();
    request.remove_header(&header::AUTHORIZATION);
    others.into_iter().try_for_each(|value| request.append_header(header::AUTHORIZATION, value).map(drop))
}

/// What is left of a line.
fn without_embed(line: &HeaderValue) -> Option<HeaderValue> {
    let is_other = |member: &&[u8]| embed_credentials(member).is_none();
    if members(line.as_bytes()).all(|member| is_other(&member)) {
        return Some(line.clone());
    }
    let others: Vec<&[u8]> = members(line.as_bytes()).filter(is_other).collect();
    HeaderValue::from_bytes(&others.join(&b", "[..])).ok().filter(|others| !others.is_empty())
}

fn strip_subprotocols(request: &mut RequestHeader) -> Result<()> {
    if subprotocol(&request.headers).is_none() {
        return Ok(());
    }
    let others: Vec<&[u8]> =
        offered(&request.headers).filter(|token| !token.starts_with(SUBPROTOCOL)).collect();
    let others = HeaderValue::from_bytes(&others.join(&b", "[..])).ok().filter(|others| !others.is_empty());
    request.remove_header(&header::SEC_WEBSOCKET_PROTOCOL);
    others.map_or(Ok(()), |others| request.insert_header(header::SEC_WEBSOCKET_PROTOCOL, others))
}

fn strip_query(request: &mut RequestHeader) {
    let Some(query) = request.uri.query() else { return };
    if !parameters(query).any(|parameter| ticket_parameter(parameter).is_some()) {
        return;
    }
    let others: Vec<&str> =
        parameters(query).filter(|parameter| ticket_parameter(parameter).is_none()).collect();
    let path = request.uri.path();
    let target = match others.is_empty() {
        true => path.to_owned(),
        false => format!("{path}?{}", others.join("&")),
    };
    // Over HTTP/2 it names the host, too.
    let mut parts = request.uri.clone().into_parts();
    parts.path_and_query = PathAndQuery::try_from(target).ok();
    // What was a target before is one without some of its query.
    if let Ok(uri) = Uri::from_parts(parts) {
        request.set_uri(uri);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn request(target: &str, fields: &[(&'static str, &str)]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", target.as_bytes(), None).unwrap();
        for (name, value) in fields {
            request.append_header(*name, *value).unwrap();
        }
        request
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
        assert_eq!(subprotocol(&request.headers).unwrap(), "embed-ticket.a.b");
        let request = without_tickets(&request).unwrap().unwrap();
        assert_eq!(request.raw_path(), b"/s?x=1&y=%20");
        assert_eq!(request.headers.get(AUTHORIZATION).unwrap(), "Bearer kept");
        assert_eq!(request.headers.get(PROTOCOL).unwrap(), "chat, superchat");
        assert_eq!(Presented::find(&request), Presented::Nothing);

        for (joined, left) in [
            ("Bearer kept, Embed a.b", "Bearer kept"),
            ("Embed a.b, Digest a=\"x, Embed y\", b=c", "Digest a=\"x, Embed y\", b=c"),
        ] {
            let joined = super::tests::request("/s?%74icket=a.b&x", &[(AUTHORIZATION, joined)]);
            let joined = without_tickets(&joined).unwrap().unwrap();
            assert_eq!(joined.raw_path(), b"/s?x");
            assert_eq!(joined.headers[AUTHORIZATION], left);
        }

        let only = super::tests::request("/s?ticket=a.b", &[(PROTOCOL, "embed-ticket.a.b")]);
        let only = without_tickets(&only).unwrap().unwrap();
        assert_eq!(only.raw_path(), b"/s");
        assert!(!only.headers.contains_key(PROTOCOL));
        assert_eq!(subprotocol(&only.headers), None);

        let mut over_http2 = super::tests::request("/s", &[]);
        over_http2.set_uri("https://edge.example/s?ticket=a.b&x=1".parse().unwrap());
        let over_http2 = without_tickets(&over_http2).unwrap().unwrap();
        assert_eq!(over_http2.uri, "https://edge.example/s?x=1");
    }
}
