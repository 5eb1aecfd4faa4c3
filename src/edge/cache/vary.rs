//! `Vary` (RFC 9111 §4.1): which fields of a request an upstream's answer depends on, and what they were. Compared is
//! what the upstream gets, so that a field which the edge sets is compared as set.

use http::header::{self, HeaderName, HeaderValue};

use crate::edge::fields::Fields;
use crate::policy::headers::{Sender, sender};

const EMBEDDER_ORIGIN: &str = "x-embedder-origin";

/// The fields of a request that an answer may be selected by.
#[derive(Clone, Copy, Debug)]
pub struct Selecting<'r> {
    /// What the browser sent.
    pub fields: &'r Fields,
    /// What the edge says as `X-Embedder-Origin`.
    pub embedder: Option<&'r HeaderValue>,
}

/// The fields that an answer was selected by, and their values.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Selected(Box<[(HeaderName, Value)]>);

/// The value of a field; `None` where the request had none.
type Value = Option<Box<[u8]>>;

impl Selected {
    /// What `response`, the answer to `request`, depends on. `None` where it can't be given to a second request:
    /// `*`, a field that is another one each time, or one that is a person's own.
    pub fn read(response: &Fields, request: Selecting<'_>) -> Option<Self> {
        let mut selected: Vec<(HeaderName, Value)> = Vec::new();
        for line in response.get_all(header::VARY) {
            for name in line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                if name.is_empty() {
                    continue;
                }
                // `*` is a token as well, so it comes this way.
                let name = HeaderName::from_bytes(name).ok()?;
                match origin(&name) {
                    Origin::Nobody => return None,
                    Origin::Key => {}
                    Origin::Request if selected.iter().any(|(known, _)| *known == name) => {}
                    Origin::Request => {
                        let value = request.value(&name);
                        selected.push((name, value));
                    }
                }
            }
        }
        Some(Self(selected.into()))
    }

    /// Whether an answer that was selected so is one to this request, too.
    pub fn fits(&self, request: Selecting<'_>) -> bool {
        self.0.iter().all(|(name, value)| request.is(name, value.as_deref()))
    }
}

/// Where the value of a field comes from that an upstream names.
enum Origin {
    /// The request, or what the edge found out about it.
    Request,
    /// What an answer is kept under: no two requests for one key differ in it.
    Key,
    /// Each request has its own.
    Nobody,
}

fn origin(name: &HeaderName) -> Origin {
    match name.as_str() {
        "*" | "authorization" | "cookie" => Origin::Nobody,
        EMBEDDER_ORIGIN => Origin::Request,
        "host" | "x-widget-id" | "x-widget-environment" => Origin::Key,
        _ if sender(name) != Sender::Anyone => Origin::Nobody,
        _ => Origin::Request,
    }
}

impl Selecting<'_> {
    /// All lines of a field, joined as RFC 9110 §5.3 has it.
    fn value(&self, name: &HeaderName) -> Value {
        if name.as_str() == EMBEDDER_ORIGIN {
            return self.embedder.map(|value| value.as_bytes().into());
        }
        let mut lines = self.fields.get_all(name);
        let mut joined = lines.next()?.as_bytes().to_vec();
        for line in lines {
            joined.extend_from_slice(b", ");
            joined.extend_from_slice(line.as_bytes());
        }
        Some(joined.into())
    }

    /// Whether a field has this value; allocates only where it has several lines.
    fn is(&self, name: &HeaderName, value: Option<&[u8]>) -> bool {
        if name.as_str() == EMBEDDER_ORIGIN {
            return self.embedder.map(HeaderValue::as_bytes) == value;
        }
        let mut lines = self.fields.get_all(name);
        match (lines.next(), lines.next()) {
            (None, _) => value.is_none(),
            (Some(line), None) => value == Some(line.as_bytes()),
            (Some(_), Some(_)) => self.value(name).as_deref() == value,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> Fields {
        Fields::of(fields)
    }

    fn fits(
        vary: &'static str,
        one: &[(&'static str, &'static str)],
        other: &[(&'static str, &'static str)],
    ) -> bool {
        let (one, other) = (headers(one), headers(other));
        let selected =
            Selected::read(&headers(&[("vary", vary)]), Selecting { fields: &one, embedder: None }).unwrap();
        selected.fits(Selecting { fields: &other, embedder: None })
    }

    #[test]
    fn an_answer_fits_requests_that_select_it() {
        let gzip = [("accept-encoding", "gzip")];
        assert!(fits("Accept-Encoding", &gzip, &gzip));
        assert!(!fits("Accept-Encoding", &gzip, &[("accept-encoding", "br")]));
        assert!(!fits("Accept-Encoding", &gzip, &[]));
        assert!(!fits("accept-language, ACCEPT-ENCODING", &[], &gzip));
        assert!(fits("", &gzip, &[]), "an empty field selects by nothing");
        let lines = [("accept-language", "de"), ("accept-language", "en")];
        assert!(fits("Accept-Language", &lines, &[("accept-language", "de, en")]), "RFC 9110 §5.3");
        assert!(!fits("Accept-Language", &lines, &[("accept-language", "de")]));
        assert!(fits("Origin", &[("origin", "https://a.example")], &[("origin", "https://a.example")]));
        assert!(!fits("Origin", &[("origin", "https://a.example")], &[("origin", "https://b.example")]));
        assert!(fits("X-Widget-Id", &[], &[("x-widget-id", "forged")]), "the edge's own, part of the key");
    }

    #[test]
    fn the_embedder_is_compared_as_the_upstream_is_told() {
        let forged = headers(&[("x-embedder-origin", "https://a.example")]);
        let (a, b) =
            (HeaderValue::from_static("https://a.example"), HeaderValue::from_static("https://b.example"));
        let vary = headers(&[("vary", "X-Embedder-Origin")]);
        let of = |embedder| Selecting { fields: &forged, embedder };
        let selected = Selected::read(&vary, of(Some(&a))).unwrap();
        assert!(selected.fits(of(Some(&a))));
        assert!(!selected.fits(of(Some(&b))));
        assert!(!selected.fits(of(None)), "what a visitor says of itself is not what the upstream is told");
    }

    #[test]
    fn what_nobody_shares_is_not_kept() {
        let none = Fields::default();
        for vary in [
            "*",
            "Accept-Encoding, *",
            "Cookie",
            "Authorization",
            "X-Decision-Id",
            "X-Forwarded-For",
            "no field",
        ] {
            let vary = headers(&[("vary", vary)]);
            assert_eq!(Selected::read(&vary, Selecting { fields: &none, embedder: None }), None, "{vary:?}");
        }
    }
}
