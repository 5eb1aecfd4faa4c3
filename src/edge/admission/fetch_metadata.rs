//! Fetch Metadata: what a browser says of where a request comes from, and whether it fetches an answer ahead of need.

use crate::activity::sighting::ClientClass;
use crate::edge::http::fields::Fields;

/// Fetch Metadata of a request (Fetch Metadata Request Headers), as far as sightings and tickets depend on it. It is
/// counted, and no verdict depends on it: any client that is no browser may say what it likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FetchMetadata {
    /// `Sec-Fetch-Site`.
    site: Option<FetchSite>,
    /// `Sec-Purpose`. Scripts can't set it.
    purpose: FetchPurpose,
    /// `Purpose` says `prefetch`, as browsers had it before `Sec-Purpose`. Scripts can set it, too.
    is_old_prefetch: bool,
    has_origin: bool,
    is_handshake: bool,
}

/// Relation between the origin that a request comes from and the one that it goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FetchSite {
    SameOrigin,
    /// `same-site`, `cross-site`, or `none` where the user asked and no page.
    Other,
    /// No such relation, or several: servers ignore it, as they ignore names that they don't know.
    Invalid,
}

/// Purpose of a request (Fetch, `Sec-Purpose`; RFC 9651, an item).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum FetchPurpose {
    /// The answer is used now.
    #[default]
    Use,
    /// `prefetch`: the answer may never be used, or stored until it is.
    Prefetch,
    /// `prefetch;prerender`: the answer is used now, in a page that may never be shown.
    Prerender,
}

impl FetchPurpose {
    fn parse(value: &[u8]) -> Self {
        let mut parts = value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        if !parts.next().is_some_and(|purpose| purpose.eq_ignore_ascii_case(b"prefetch")) {
            return Self::Use;
        }
        let is_prerender = parts.any(|parameter| parameter.eq_ignore_ascii_case(b"prerender"));
        if is_prerender { Self::Prerender } else { Self::Prefetch }
    }
}

impl FetchSite {
    fn parse(value: &[u8]) -> Self {
        match value.trim_ascii() {
            b"same-origin" => Self::SameOrigin,
            b"same-site" | b"cross-site" | b"none" => Self::Other,
            _ => Self::Invalid,
        }
    }
}

impl FetchMetadata {
    /// Reads it off the fields of a request, whose upgrade is a WebSocket's or none, in one pass.
    #[inline]
    pub fn read(fields: &Fields) -> Self {
        let mut read = Self::default();
        for (name, value) in fields.iter() {
            match name.as_str() {
                "sec-fetch-site" => {
                    let site = FetchSite::parse(value.as_bytes());
                    read.site = Some(if read.site.is_none() { site } else { FetchSite::Invalid });
                }
                "sec-purpose" => read.purpose = FetchPurpose::parse(value.as_bytes()),
                "purpose" => {
                    read.is_old_prefetch = FetchPurpose::parse(value.as_bytes()) != FetchPurpose::Use;
                }
                "origin" => read.has_origin = true,
                "upgrade" => read.is_handshake = true,
                _ => {}
            }
        }
        read
    }

    /// Whether the answer is fetched ahead, and perhaps never seen: by a prefetch, or for a page that is prerendered.
    #[inline]
    pub fn is_ahead(self) -> bool {
        // A script that sets `Purpose` to stay unseen has a preflight, and with it an `Origin`. An old browser's own
        // prefetch has none, but for assets with `crossorigin`, which then count.
        self.purpose != FetchPurpose::Use || self.is_old_prefetch && !self.has_origin
    }

    /// Whether the page that asks is prerendered, or was until now: it asks no second time once it is shown.
    pub fn is_of_prerendered_page(self) -> bool {
        self.purpose == FetchPurpose::Prerender
    }

    /// The class of the client; `None` for WebSocket handshakes, in which browsers say nothing. `is_foreign`: whether
    /// `Origin` names neither the widget's own origin nor the host that was asked.
    ///
    /// Only `Origin` can contradict `same-origin`. After `location.reload()`, for example, a document's `Referer` is
    /// still the page that it came from first.
    #[inline]
    pub fn client(self, is_foreign: impl FnOnce() -> bool) -> Option<ClientClass> {
        if self.is_handshake {
            return None;
        }
        Some(match self.site {
            None | Some(FetchSite::Invalid) => ClientClass::Unknown,
            Some(FetchSite::SameOrigin) if self.has_origin && is_foreign() => ClientClass::Contradictory,
            Some(FetchSite::SameOrigin | FetchSite::Other) => ClientClass::Browser,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[(&'static str, &str)]) -> FetchMetadata {
        FetchMetadata::read(&Fields::of(fields))
    }

    #[test]
    fn a_client_is_classed_by_what_it_says() {
        let (browser, contradictory, unknown) =
            (Some(ClientClass::Browser), Some(ClientClass::Contradictory), Some(ClientClass::Unknown));
        let foreign = ("origin", "https://a.example");
        for (fields, class_of_own, class_of_foreign) in [
            (&[][..], unknown, unknown),
            (&[foreign], unknown, unknown),
            (&[("sec-fetch-site", "cross-site"), foreign], browser, browser),
            (&[("sec-fetch-site", "same-site"), foreign], browser, browser),
            // A user's own wish, such as a bookmark; some forms are sent again like this.
            (&[("sec-fetch-site", "none")], browser, browser),
            (&[("sec-fetch-site", "none"), foreign], browser, browser),
            (&[foreign, ("sec-fetch-site", "same-origin")], browser, contradictory),
            (&[("sec-fetch-site", " same-origin\t"), foreign], browser, contradictory),
            // A document that reloads itself still has its first referrer.
            (&[("sec-fetch-site", "same-origin"), ("referer", "https://a.example/")], browser, browser),
            // What no browser says is as good as nothing.
            (&[("sec-fetch-site", ""), foreign], unknown, unknown),
            (&[("sec-fetch-site", "Same-Origin"), foreign], unknown, unknown),
            (&[("sec-fetch-site", "same-origin, cross-site"), foreign], unknown, unknown),
            (&[("sec-fetch-site", "cross-site"), ("sec-fetch-site", "cross-site")], unknown, unknown),
            (
                &[("sec-fetch-site", "none"), ("sec-fetch-site", "x"), ("sec-fetch-site", "none")],
                unknown,
                unknown,
            ),
            (&[("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")], unknown, unknown),
            (&[("upgrade", "websocket"), foreign], None, None),
            (&[("upgrade", "websocket"), ("sec-fetch-site", "same-origin"), foreign], None, None),
        ] {
            let read = read(fields);
            assert_eq!(read.client(|| false), class_of_own, "{fields:?}");
            assert_eq!(read.client(|| true), class_of_foreign, "{fields:?}");
        }
    }

    #[test]
    fn a_prefetch_says_so() {
        let origin = ("origin", "https://a.example");
        let (used, ahead, prerendered) = ((false, false), (true, false), (true, true));
        for (fields, expected) in [
            (&[][..], used),
            (&[("sec-purpose", "prefetch")], ahead),
            (&[("sec-purpose", "prefetch;prerender")], prerendered),
            (&[("sec-purpose", " Prefetch ; x=1 ;prerender "), origin], prerendered),
            (&[("sec-purpose", "prefetch; anonymous-client-ip")], ahead),
            (&[("sec-purpose", "prefetch;prerenders")], ahead),
            (&[("purpose", "prefetch")], ahead),
            (&[("purpose", "prefetch;prerender")], ahead),
            (&[("purpose", "prefetch"), ("sec-purpose", "prefetch;prerender"), origin], prerendered),
            // This a page's script could have written.
            (&[("purpose", "prefetch"), origin], used),
            (&[("sec-purpose", "")], used),
            (&[("sec-purpose", "prerender")], used),
            (&[("sec-purpose", "prefetches")], used),
            (&[("sec-purpose", "x;prefetch")], used),
            (&[("purpose", "preview")], used),
            (&[("x-purpose", "prefetch"), ("sec-fetch-dest", "prefetch")], used),
        ] {
            let read = read(fields);
            assert_eq!((read.is_ahead(), read.is_of_prerendered_page()), expected, "{fields:?}");
        }
    }
}
