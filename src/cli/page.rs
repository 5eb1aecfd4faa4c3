//! Page that a person asks about: an origin, or an address that its origin is taken of.

use std::convert::Infallible;
use std::str::FromStr;

use embedgate_policy::origin::{Origin, OriginError};

/// Page by its origin, as browsers write it.
#[derive(Clone, Debug)]
pub(super) struct Page {
    given: String,
    /// What a browser would send; `None`: what was given.
    reduced: Option<Reduced>,
}

/// Origin that was taken of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Reduced {
    origin: String,
    /// The address had no scheme.
    assumed_scheme: bool,
}

impl Page {
    /// The origin, or the text that is none.
    pub(super) fn origin(&self) -> &str {
        self.reduced.as_ref().map_or(&self.given, |reduced| &reduced.origin)
    }

    /// What is to be told of the origin: that it isn't what was given.
    pub(super) fn hint(&self) -> Option<String> {
        let Reduced { origin, assumed_scheme } = self.reduced.as_ref()?;
        let given = &self.given;
        Some(match assumed_scheme {
            true => format!("`{given}` has no scheme: it was taken as {origin}"),
            false => {
                format!("`{given}` was taken as {origin}: of a page's address, browsers send only its origin")
            }
        })
    }
}

impl FromStr for Page {
    type Err = Infallible;

    /// Takes any text: what is no address stays as it is, so that the explanation says what is wrong with it.
    fn from_str(given: &str) -> Result<Self, Infallible> {
        let reduced = if is_sent(given) { None } else { reduced(given.trim()) };
        Ok(Self { given: given.to_owned(), reduced })
    }
}

/// Whether browsers send such a value.
fn is_sent(text: &str) -> bool {
    matches!(Origin::parse(text), Ok(_) | Err(OriginError::Opaque | OriginError::LocalFile))
}

fn reduced(address: &str) -> Option<Reduced> {
    if let Some((scheme, rest)) = address.split_once("://") {
        let origin = origin(&scheme.to_ascii_lowercase(), rest)?;
        return Some(Reduced { origin, assumed_scheme: false });
    }
    let rest = address.strip_prefix("//").unwrap_or(address);
    if !has_a_hosts_form(host_and_port(authority(rest)).0) {
        return None;
    }
    // What is developed on the own machine is rarely served over https.
    let plain =
        origin("http", rest).filter(|plain| Origin::parse(plain).is_ok_and(|plain| plain.is_loopback()));
    let origin = plain.or_else(|| origin("https", rest))?;
    Some(Reduced { origin, assumed_scheme: true })
}

/// The origin as browsers write it; `None` if there is none.
fn origin(scheme: &str, rest: &str) -> Option<String> {
    let (host, port) = host_and_port(authority(rest));
    let host = match host.is_ascii() {
        true => host.to_ascii_lowercase(),
        false => idna::domain_to_ascii(host).ok()?,
    };
    let is_default = matches!((scheme, port), ("http", Some("80")) | ("https", Some("443")) | (_, Some("")));
    let port = port.filter(|_| !is_default).map(|port| format!(":{port}")).unwrap_or_default();
    let origin = format!("{scheme}://{host}{port}");
    is_sent(&origin).then_some(origin)
}

fn authority(rest: &str) -> &str {
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

/// Split at the colon before the port, not at one inside an IPv6 address.
fn host_and_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// Whether a text without a scheme is meant as a host: a single word is not, `localhost` aside.
fn has_a_hosts_form(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.starts_with('[') || host.contains('.')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_address_is_reduced_to_its_origin() {
        for (given, origin) in [
            ("https://www.acme.com/shop", "https://www.acme.com"),
            ("https://www.acme.com/", "https://www.acme.com"),
            ("https://www.acme.com?a=b#c", "https://www.acme.com"),
            ("https://www.acme.com/?next=https://other.example/", "https://www.acme.com"),
            ("HTTPS://WWW.Acme.com/Shop", "https://www.acme.com"),
            ("https://acme.com:443/", "https://acme.com"),
            ("http://acme.com:80", "http://acme.com"),
            ("https://acme.com:/", "https://acme.com"),
            ("https://acme.com:8443/a", "https://acme.com:8443"),
            ("https://münchen.example/a", "https://xn--mnchen-3ya.example"),
            (" https://acme.com ", "https://acme.com"),
            ("http://[::1]:3000/a", "http://[::1]:3000"),
            ("capacitor://localhost/index.html", "capacitor://localhost"),
            ("file:///home/me/page.html", "file://"),
        ] {
            let page: Page = given.parse().unwrap();
            assert_eq!(page.origin(), origin, "{given}");
            assert!(page.hint().unwrap().contains("browsers send only its origin"), "{given}");
        }
        for (given, origin) in [
            ("www.acme.com", "https://www.acme.com"),
            ("www.acme.com/shop", "https://www.acme.com"),
            ("//www.acme.com/shop", "https://www.acme.com"),
            ("acme.com:8443", "https://acme.com:8443"),
            ("localhost:3000/a", "http://localhost:3000"),
            ("shop.localhost", "http://shop.localhost"),
            ("127.0.0.1:5173", "http://127.0.0.1:5173"),
            ("[::1]:3000", "http://[::1]:3000"),
            ("münchen.example", "https://xn--mnchen-3ya.example"),
        ] {
            let page: Page = given.parse().unwrap();
            assert_eq!(page.origin(), origin, "{given}");
            assert!(page.hint().unwrap().contains("has no scheme"), "{given}");
        }
    }

    #[test]
    fn what_browsers_send_and_what_is_nonsense_stay() {
        for given in [
            "https://www.acme.com",
            "http://localhost:3000",
            "null",
            "file://",
            "capacitor://localhost",
            "",
            "nonsense",
            "https://",
            "https:///a",
            "https://me:secret@acme.com/",
            "https://a.example, https://b.example",
            "https://a.example https://b.example",
            "https://acme.com./a",
            "https://a..example/",
            "https://acme.com:99999/",
            "https://acme.com\\shop",
            "*.acme.com",
            "about:blank",
            "data:text/html,//a.b",
            "blob:https://acme.com/1",
            "javascript://acme.com/",
            "mailto:me@acme.com",
            "a b.example",
        ] {
            let page: Page = given.parse().unwrap();
            assert_eq!((page.origin(), page.hint()), (given, None), "{given}");
        }
    }
}
