//! Fetch Metadata: what a browser says of where a request comes from, and whether it fetches an answer ahead of need.

use http::header::{self, HeaderName, HeaderValue};

use crate::activity::sighting::ClientClass;
use crate::edge::http::fields::Fields;

/// The field with the destination of a request: what its answer is for.
pub const SEC_FETCH_DEST: HeaderName = HeaderName::from_static(DESTINATION);

const DESTINATION: &str = "sec-fetch-dest";

/// Fetch Metadata of a request (Fetch Metadata Request Headers), as far as sightings and tickets depend on it, and its
/// `Origin`. The metadata is counted, and no verdict depends on it: a client that is no browser may say what it likes.
#[derive(Clone, Copy, Debug, Default)]
pub struct FetchMetadata<'r> {
    /// The first two lines of `Origin`: a second one makes it malformed.
    origins: [Option<&'r HeaderValue>; 2],
    /// `Sec-Fetch-Site`; empty where there are several.
    site: &'r [u8],
    /// `Sec-Fetch-Dest`; empty where there are several.
    destination: &'r [u8],
    /// `Sec-Purpose`. Scripts can't set it.
    purpose: FetchPurpose,
    /// `Purpose` says `prefetch`, as browsers had it before `Sec-Purpose`. Scripts can set it, too.
    is_old_prefetch: bool,
    is_handshake: bool,
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

impl<'r> FetchMetadata<'r> {
    /// Reads it off the fields of a request, whose upgrade is a WebSocket's or none, in one pass.
    #[inline]
    pub fn read(fields: &'r Fields) -> Self {
        let mut read = Self::default();
        let (mut sites, mut destinations) = (0_u32, 0_u32);
        for (name, value) in fields.iter() {
            match *name {
                header::ORIGIN if read.origins[0].is_none() => read.origins[0] = Some(value),
                header::ORIGIN => read.origins[1] = Some(value),
                header::UPGRADE => read.is_handshake = true,
                // Fast path: names that nearly all requests have are not compared as texts.
                header::HOST
                | header::USER_AGENT
                | header::ACCEPT
                | header::ACCEPT_ENCODING
                | header::ACCEPT_LANGUAGE
                | header::REFERER
                | header::CONNECTION
                | header::COOKIE
                | header::CACHE_CONTROL
                | header::CONTENT_TYPE
                | header::CONTENT_LENGTH => {}
                _ => match name.as_str() {
                    "sec-fetch-site" => {
                        read.site = value.as_bytes();
                        sites += 1;
                    }
                    DESTINATION => {
                        read.destination = value.as_bytes();
                        destinations += 1;
                    }
                    "sec-purpose" => read.purpose = FetchPurpose::parse(value.as_bytes()),
                    "purpose" => {
                        read.is_old_prefetch = FetchPurpose::parse(value.as_bytes()) != FetchPurpose::Use;
                    }
                    _ => {}
                },
            }
        }
        if sites > 1 {
            read.site = b"";
        }
        if destinations > 1 {
            read.destination = b"";
        }
        read
    }

    /// The lines of `Origin`, two at most.
    #[inline]
    pub fn origins(&self) -> impl Iterator<Item = &'r [u8]> + use<'r> {
        self.origins.into_iter().flatten().map(HeaderValue::as_bytes)
    }

    /// The first line of `Origin`.
    pub fn origin(&self) -> Option<&'r HeaderValue> {
        self.origins[0]
    }

    /// Whether the answer is fetched ahead, and perhaps never seen: by a prefetch, or for a page that is prerendered.
    #[inline]
    pub fn is_ahead(&self) -> bool {
        // A script that sets `Purpose` to stay unseen has a preflight, and with it an `Origin`. An old browser's own
        // prefetch has none, but for assets with `crossorigin`, which then count.
        self.purpose != FetchPurpose::Use || self.is_old_prefetch && self.origins[0].is_none()
    }

    /// Whether the answer is a document for a frame and not for a tab.
    #[inline]
    pub fn is_in_frame(&self) -> bool {
        matches!(self.destination, b"iframe" | b"frame")
    }

    /// Whether the page that asks is prerendered, or was until now: it asks no second time once it is shown.
    pub fn is_of_prerendered_page(&self) -> bool {
        self.purpose == FetchPurpose::Prerender
    }

    /// The class of the client; `None` for WebSocket handshakes, in which browsers say nothing. `is_foreign`: whether
    /// `Origin` names neither the widget's own origin nor the host that was asked.
    ///
    /// Only `Origin` can contradict `same-origin`. After `location.reload()`, for example, a document's `Referer` is
    /// still the page that it came from first.
    #[inline]
    pub fn client(&self, is_foreign: impl FnOnce() -> bool) -> Option<ClientClass> {
        let site = self.site;
        // Compared by length first, so that most cost one comparison.
        let class = if site == b"cross-site" || site == b"same-site" || site == b"none" {
            ClientClass::Browser
        } else if site != b"same-origin" {
            // Nothing, or what servers have to ignore.
            ClientClass::Unknown
        } else if self.origins[0].is_some() && is_foreign() {
            ClientClass::Contradictory
        } else {
            ClientClass::Browser
        };
        (!self.is_handshake).then_some(class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let of_request = Fields::of(fields);
            let read = FetchMetadata::read(&of_request);
            assert_eq!(read.client(|| false), class_of_own, "{fields:?}");
            assert_eq!(read.client(|| true), class_of_foreign, "{fields:?}");
        }
    }

    #[test]
    fn a_frame_is_told_from_a_tab() {
        let dest = |value| ("sec-fetch-dest", value);
        for (fields, expected) in [
            (&[dest("iframe")][..], true),
            (&[dest("frame")], true),
            (&[dest("document")], false),
            (&[dest("Iframe")], false),
            (&[], false),
            (&[dest("iframe"), dest("iframe")], false),
            (&[("sec-fetch-mode", "iframe")], false),
        ] {
            assert_eq!(FetchMetadata::read(&Fields::of(fields)).is_in_frame(), expected, "{fields:?}");
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
            let of_request = Fields::of(fields);
            let read = FetchMetadata::read(&of_request);
            assert_eq!((read.is_ahead(), read.is_of_prerendered_page()), expected, "{fields:?}");
        }
    }
}
