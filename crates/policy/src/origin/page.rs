//! Page that a person asks about: an origin, or an address that its origin is taken of, and how a browser names it.

use std::convert::Infallible;
use std::str::FromStr;

use super::{Origin, OriginError, Scheme};
use crate::verdict::Class;

/// Page by its origin, as browsers write it.
#[derive(Clone, Debug)]
pub struct Page {
    given: String,
    /// What a browser would send; `None`: what was given.
    reduced: Option<Reduced>,
}

/// Headers by which a browser names a page in a request, by the default referrer policy
/// (`strict-origin-when-cross-origin`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedBy {
    /// The `Origin`.
    pub origin: Option<String>,
    /// The `Referer`.
    pub referer: Option<String>,
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
    #[must_use]
    pub fn origin(&self) -> &str {
        self.reduced.as_ref().map_or(&self.given, |reduced| &reduced.origin)
    }

    /// What is to be told of the origin: that it isn't what was given.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
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

impl Page {
    /// How a browser names the page in requests of this class: in calls and WebSockets by `Origin`, else by `Referer`
    /// alone. An address that is none names itself, so that a verdict says what is wrong with it.
    #[must_use]
    pub fn named_by(&self, class: Class) -> NamedBy {
        let calls = class == Class::Session;
        let text = self.origin();
        match Origin::parse(text) {
            // A referrer is an address of http or https. Of others, and of what such a page has made, there is none.
            Ok(origin) => {
                let has_referrer =
                    matches!(origin.scheme(), Scheme::Http | Scheme::Https) && !is_made(&self.given);
                NamedBy {
                    origin: calls.then(|| text.to_owned()),
                    referer: has_referrer.then(|| format!("{text}/")),
                }
            }
            Err(OriginError::Opaque | OriginError::LocalFile) => Self::opaque(calls),
            Err(_) if matches!(self.scheme().as_deref(), Some("about" | "blob" | "data" | "javascript")) => {
                Self::opaque(calls)
            }
            Err(_) => NamedBy { origin: None, referer: Some(text.to_owned()) },
        }
    }

    fn opaque(calls: bool) -> NamedBy {
        NamedBy { origin: calls.then(|| "null".to_owned()), referer: None }
    }

    fn scheme(&self) -> Option<String> {
        self.given.trim().split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase())
    }

    /// What else is to be told of such a page.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        match self.scheme().as_deref()? {
            "about" => Some(
                "`about:blank` and `about:srcdoc` have the origin of the page that made them, unless it is in a \
                 sandbox: ask about that page's address",
            ),
            "data" | "javascript" => Some("such a page has no origin of its own, whoever made it"),
            "file" => Some("browsers write `null` as the origin of a local file; Electron writes `file://`"),
            _ => None,
        }
    }
}

/// Whether the address is that of something that a page has made (`blob:`): it has the page's origin, and no referrer.
fn is_made(given: &str) -> bool {
    given.trim_start().get(..MADE.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(MADE))
}

const MADE: &str = "blob:";

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
    let address = if is_made(address) { address.get(MADE.len()..)? } else { address };
    if let Some((scheme, rest)) = address.split_once("://") {
        let origin = origin(&scheme.to_ascii_lowercase(), authority(rest))?;
        return Some(Reduced { origin, assumed_scheme: false });
    }
    let host = authority(address.strip_prefix("//").unwrap_or(address));
    if !has_a_hosts_form(host_and_port(host).0) {
        return None;
    }
    // What is developed on the own machine is rarely served over https.
    let plain =
        origin("http", host).filter(|plain| Origin::parse(plain).is_ok_and(|plain| plain.is_loopback()));
    let origin = plain.or_else(|| origin("https", host))?;
    Some(Reduced { origin, assumed_scheme: true })
}

/// The origin as browsers write it; `None` if there is none.
fn origin(scheme: &str, authority: &str) -> Option<String> {
    let (host, port) = host_and_port(authority);
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
            ("blob:https://acme.com/1", "https://acme.com"),
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
            "blob:null/1",
            "javascript://acme.com/",
            "mailto:me@acme.com",
            "a b.example",
        ] {
            let page: Page = given.parse().unwrap();
            assert_eq!((page.origin(), page.hint()), (given, None), "{given}");
        }
    }

    #[test]
    fn browsers_name_a_page_by_its_origin() {
        let listed = Some("https://acme.com");
        for (given, origin, referer) in [
            ("https://acme.com/shop?a=b#c", listed, Some("https://acme.com/")),
            ("acme.com/shop", listed, Some("https://acme.com/")),
            ("https://acme.com", listed, Some("https://acme.com/")),
            ("https://acme.com:8443/a", Some("https://acme.com:8443"), Some("https://acme.com:8443/")),
            ("localhost:3000/a", Some("http://localhost:3000"), Some("http://localhost:3000/")),
            (
                "https://münchen.example/a",
                Some("https://xn--mnchen-3ya.example"),
                Some("https://xn--mnchen-3ya.example/"),
            ),
            ("capacitor://localhost/index.html", Some("capacitor://localhost"), None),
            ("blob:https://acme.com/1", listed, None),
            ("blob:null/1", Some("null"), None),
            ("null", Some("null"), None),
            ("data:text/html,<p>hello there", Some("null"), None),
            ("file:///home/me/page.html", Some("null"), None),
            ("about:srcdoc", Some("null"), None),
        ] {
            let page: Page = given.parse().unwrap();
            let (origin, referer) = (origin.map(str::to_owned), referer.map(str::to_owned));
            for class in Class::ALL {
                let origin = origin.clone().filter(|_| class == Class::Session);
                assert_eq!(page.named_by(class), NamedBy { origin, referer: referer.clone() }, "{given}");
            }
        }
        for given in ["https://acme.com./a", "nonsense", "https://a..example/"] {
            let page: Page = given.parse().unwrap();
            let named = NamedBy { origin: None, referer: Some(given.to_owned()) };
            assert_eq!(page.named_by(Class::Session), named);
        }
    }

    #[test]
    fn pages_without_an_origin_of_their_own_have_advice() {
        for (given, has) in [
            ("about:srcdoc", true),
            ("data:text/html,a", true),
            ("FILE:///a", true),
            ("https://acme.com", false),
            ("acme.com", false),
            ("null", false),
        ] {
            assert_eq!(given.parse::<Page>().unwrap().advice().is_some(), has, "{given}");
        }
    }
}
