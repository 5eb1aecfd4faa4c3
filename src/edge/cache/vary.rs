//! `Vary` (RFC 9111 §4.1): the request fields that an answer depends on, and their values. The fields are
//! compared as the upstream gets them, including those that the edge sets.

use http::header::{self, HeaderName, HeaderValue};

use crate::edge::http::fields::Fields;
use embedgate_policy::headers::{Sender, sender};

const EMBEDDER_ORIGIN: &str = "x-embedder-origin";

/// Request fields that can select an answer.
#[derive(Clone, Copy, Debug)]
pub struct Selecting<'r> {
    /// The fields from the browser.
    pub fields: &'r Fields,
    /// The edge's `X-Embedder-Origin`.
    pub embedder: Option<&'r HeaderValue>,
}

/// Fields that an answer was selected by, with their values.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Selected(Box<[(HeaderName, FieldValue)]>);

/// Value of a field; `None` if the request had none.
type FieldValue = Option<Box<[u8]>>;

impl Selected {
    /// The fields that `response`, the answer to `request`, depends on. `None` if no second request can get
    /// it: `*`, a field that differs for each request, or a personal one.
    pub fn read(response: &Fields, request: Selecting<'_>) -> Option<Self> {
        let mut selected: Vec<(HeaderName, FieldValue)> = Vec::new();
        for line in response.get_all(header::VARY) {
            for name in line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                if name.is_empty() {
                    continue;
                }
                // `*` is also a token, so it is handled here.
                let name = HeaderName::from_bytes(name).ok()?;
                match origin(&name) {
                    FieldOrigin::Nobody => return None,
                    FieldOrigin::Key => {}
                    FieldOrigin::Request if selected.iter().any(|(known, _)| *known == name) => {}
                    FieldOrigin::Request => {
                        let value = request.value(&name);
                        selected.push((name, value));
                    }
                }
            }
        }
        Some(Self(selected.into()))
    }

    /// Whether an answer with this selection also fits another request.
    pub fn fits(&self, request: Selecting<'_>) -> bool {
        self.0.iter().all(|(name, value)| request.is(name, value.as_deref()))
    }
}

/// Source of the value of a field in `Vary`.
enum FieldOrigin {
    /// The request, or a fact that the edge adds.
    Request,
    /// The cache key: all requests for one key have the same value.
    Key,
    /// Differs for each request.
    Nobody,
}

fn origin(name: &HeaderName) -> FieldOrigin {
    match name.as_str() {
        "*" | "authorization" | "cookie" => FieldOrigin::Nobody,
        EMBEDDER_ORIGIN => FieldOrigin::Request,
        "host" | "x-widget-id" | "x-widget-environment" => FieldOrigin::Key,
        _ if sender(name) != Sender::Anyone => FieldOrigin::Nobody,
        _ => FieldOrigin::Request,
    }
}

impl Selecting<'_> {
    /// All lines of a field, joined by RFC 9110 §5.3.
    fn value(&self, name: &HeaderName) -> FieldValue {
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

    /// Whether a field has this value. Allocates only if it has several lines.
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
