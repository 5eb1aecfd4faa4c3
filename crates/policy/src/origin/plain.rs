//! Fast path of the parser, for the origins that nearly every page sends.

use super::{Host, MAX_LABEL, MAX_NAME, Origin, Scheme, parse_port};

impl<'a> Origin<'a> {
    /// Parses `https://name` or `http://name`, with or without a port, in one pass. `None` leaves the text to
    /// the full parser, which gives the same result for everything accepted here, and an error for the rest.
    #[inline]
    pub(super) fn plain(text: &'a str) -> Option<Origin<'a>> {
        let (scheme, rest) = match text.strip_prefix("https://") {
            Some(rest) => (Scheme::Https, rest),
            None => (Scheme::Http, text.strip_prefix("http://")?),
        };
        let bytes = rest.as_bytes();
        let (mut label, mut end) = (0, bytes.len());
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => {}
                b'.' => {
                    is_plain_label(bytes.get(label..at)?).then_some(())?;
                    label = at + 1;
                }
                b':' => {
                    end = at;
                    break;
                }
                _ => return None,
            }
        }
        let last = bytes.get(label..end)?;
        // If the last label starts with a digit, the host may be an address.
        if !is_plain_label(last) || last.first()?.is_ascii_digit() || end > MAX_NAME {
            return None;
        }
        let (host_text, port_text) = rest.split_at_checked(end)?;
        let port = match port_text.strip_prefix(':') {
            None => None,
            Some(text) => Some(parse_port(text).ok()?),
        };
        if port.is_some() && port == scheme.default_port() {
            return None;
        }
        Some(Origin { text, host_text, scheme, host: Host::Name(host_text), port })
    }
}

/// Whether a label has a valid length and is not an A-label.
#[inline]
fn is_plain_label(label: &[u8]) -> bool {
    (1..=MAX_LABEL).contains(&label.len()) && !label.starts_with(b"xn--")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::origin::OriginError;

    /// What the parser says without the quick way.
    fn whole(text: &str) -> Result<Origin<'_>, OriginError> {
        match Origin::split(text)? {
            (origin, "") => Ok(origin),
            _ => Err(OriginError::Path),
        }
    }

    proptest! {
        #[test]
        fn what_it_takes_the_whole_parser_takes_for_the_same(
            text in "(https|http|ws)://((xn--)?[a-z0-9_-]{0,3}\\.){0,3}[a-z0-9A-Z_*-]{0,4}(\\.|:(443|80|0|08|[0-9]{1,6})?)?(/|\\?|@a)?",
        ) {
            if let Some(plain) = Origin::plain(&text) {
                prop_assert_eq!(whole(&text), Ok(plain));
            }
        }

        #[test]
        fn of_any_length(labels in prop::collection::vec(1..70_usize, 1..8)) {
            let labels: Vec<String> = labels.into_iter().map(|length| "a".repeat(length)).collect();
            let text = format!("https://{}", labels.join("."));
            prop_assert_eq!(Origin::plain(&text), whole(&text).ok());
        }
    }

    #[test]
    fn it_takes_what_pages_send() {
        for text in ["https://example.com", "http://localhost:3000", "https://www.a-b_c.example:8443"] {
            assert_eq!(Origin::plain(text), Some(whole(text).unwrap()), "{text}");
        }
        for text in [
            "https://127.0.0.1",
            "https://[::1]",
            "https://xn--mnchen-3ya.example",
            "https://a.xn--p1ai",
            "https://example.com/",
            "https://example.com:443",
            "https://Example.com",
            "https://a..b",
            "https://a.",
            "https://",
            "https://a:",
            "capacitor://localhost",
            "null",
            "",
        ] {
            assert_eq!(Origin::plain(text), None, "{text}");
        }
    }
}
