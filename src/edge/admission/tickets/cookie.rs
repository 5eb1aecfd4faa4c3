//! Tickets in a cookie, for iframes of widgets that know nothing of tickets. The browser keeps the cookie for the
//! widget under the customer's site (CHIPS, `Partitioned`), and sends it with everything that the iframe asks.
//!
//! `__Host-` keeps sub-domains from setting it, and scripts never see it. It is read only on requests from an own
//! origin: a page or a frame of another site that makes the browser send it is judged by its own `Origin`.
//!
//! Cookies ignore ports, so a browser sends those of the operator's page here, too. They go no further, either.

use http::HeaderValue;
use http::header;

use super::presented::Presented;
use crate::edge::http::fields::Fields;
use embedgate_policy::headers::{PAGE_COOKIE, PLAIN_PAGE_COOKIE, TICKET_COOKIE};

const PREFIX: &[u8] = TICKET_COOKIE.as_bytes();

/// Finds the ticket in this widget's cookie. Allocates nothing.
pub(super) fn find<'r>(fields: &'r Fields, widget: &str) -> Presented<'r> {
    let values = pairs(fields).filter_map(|pair| value_of(pair, widget));
    Presented::all(values)
}

/// Whether a `Cookie` line has a cookie that no upstream may see.
pub(super) fn is_in_line(line: &HeaderValue) -> bool {
    split(line.as_bytes()).any(is_own)
}

/// Removes the ticket cookies of all widgets and those of the operator's page, and no other cookie.
pub(super) fn strip(fields: &mut Fields) {
    if !fields.get_all(header::COOKIE).any(is_in_line) {
        return;
    }
    let lines: Vec<Vec<u8>> = fields
        .get_all(header::COOKIE)
        .map(|line| split(line.as_bytes()).filter(|pair| !is_own(pair)).collect::<Vec<_>>().join(&b"; "[..]))
        .collect();
    fields.remove(&header::COOKIE);
    for line in lines.into_iter().filter(|line| !line.is_empty()) {
        // Parts of a valid value are valid.
        if let Ok(line) = HeaderValue::from_bytes(&line) {
            fields.append(header::COOKIE, line);
        }
    }
}

/// Whether a `Set-Cookie` of an upstream would set a cookie that is the edge's alone.
pub fn is_reserved(set_cookie: &HeaderValue) -> bool {
    // Browsers send a cookie without a name as its value alone, which may look like one with a name.
    let sets_own = |pair: &[u8]| is_own(pair.strip_prefix(b"=").map_or(pair, <[u8]>::trim_ascii));
    split(set_cookie.as_bytes()).next().is_some_and(sets_own)
}

/// The pairs of all `Cookie` lines (RFC 6265 §4.2.1).
fn pairs(fields: &Fields) -> impl Iterator<Item = &[u8]> {
    fields.get_all(header::COOKIE).flat_map(|line| split(line.as_bytes()))
}

fn split(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b';').map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty())
}

/// Whether a cookie is the edge's own: a ticket, or that of a person at the operator's page.
fn is_own(pair: &[u8]) -> bool {
    pair.starts_with(PREFIX) || [PAGE_COOKIE, PLAIN_PAGE_COOKIE].iter().any(|name| is_named(pair, name))
}

/// Whether a cookie has this name. Some who read cookies take off the white space around it.
fn is_named(pair: &[u8], name: &str) -> bool {
    let rest = pair.strip_prefix(name.as_bytes()).map(<[u8]>::trim_ascii_start);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"="))
}

fn value_of<'p>(pair: &'p [u8], widget: &str) -> Option<&'p [u8]> {
    pair.strip_prefix(PREFIX)?.strip_prefix(widget.as_bytes())?.strip_prefix(b"=")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const COOKIE: &str = "cookie";

    #[test]
    fn a_widget_has_its_own() {
        for (line, found) in [
            ("__Host-embed.w1=a.b", Presented::Ticket(b"a.b")),
            ("x=1; __Host-embed.w1=a.b;y", Presented::Ticket(b"a.b")),
            ("__Host-embed.w1=a.b; __Host-embed.w1=a.b", Presented::Ticket(b"a.b")),
            ("__Host-embed.w1=a.b; __Host-embed.w1=c.d", Presented::Several),
            ("__Host-embed.w2=a.b", Presented::Nothing),
            ("__Host-embed.w11=a.b; __host-embed.w1=a.b; embed.w1=a.b", Presented::Nothing),
            ("__Host-embed.w1", Presented::Nothing),
            ("x=__Host-embed.w1=a.b", Presented::Nothing),
        ] {
            assert_eq!(find(&Fields::of(&[(COOKIE, line)]), "w1"), found, "{line}");
        }
        let lines = [(COOKIE, "x=1"), (COOKIE, "__Host-embed.w1=a.b")];
        assert_eq!(find(&Fields::of(&lines), "w1"), Presented::Ticket(b"a.b"));
    }

    #[test]
    fn those_of_all_widgets_are_taken_out_and_no_other() {
        for (line, left) in [
            ("__Host-embed.w1=a.b", None),
            ("__Host-embed.w1=a.b; __Host-embed.w2=c", None),
            ("x=1; __Host-embed.w1=a.b; y=\"2\"", Some("x=1; y=\"2\"")),
            ("x=1;y=2", Some("x=1;y=2")),
            ("__Host-other=1; embed.w1=2", Some("__Host-other=1; embed.w1=2")),
            ("__Host-embedgate=1a; x=1; embedgate_admin=2b", Some("x=1")),
            ("embedgate_admin =1a;__Host-embedgate;x=1", Some("x=1")),
            ("embedgate_admins=1; x=embedgate_admin=1", Some("embedgate_admins=1; x=embedgate_admin=1")),
            ("__Host-embedgate2=1; Embedgate_admin=1", Some("__Host-embedgate2=1; Embedgate_admin=1")),
        ] {
            let mut fields = Fields::of(&[(COOKIE, line), ("accept", "*/*")]);
            strip(&mut fields);
            assert_eq!((fields.text(COOKIE), fields.text("accept")), (left, Some("*/*")), "{line}");
            assert!(!fields.get_all(header::COOKIE).any(is_in_line), "{line}");
        }
    }

    #[test]
    fn no_upstream_sets_one() {
        for (value, reserved) in [
            ("__Host-embed.w1=a.b; Path=/", true),
            (" __Host-embed.w1=", true),
            ("x=__Host-embed.w1", false),
            ("embedgate_admin=1; Path=/v1", true),
            ("__Host-embedgate=; Secure; Path=/", true),
            ("=embedgate_admin=1; Path=/", true),
            ("x=1; embedgate_admin=1", false),
            ("", false),
        ] {
            assert_eq!(is_reserved(&HeaderValue::from_static(value)), reserved, "{value}");
        }
    }
}
