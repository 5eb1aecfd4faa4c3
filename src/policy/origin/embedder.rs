use super::{Origin, OriginError};

/// Who embeds, as told by one request's headers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Embedder<'a> {
    /// Neither `Origin` nor `Referer` came.
    Absent,
    /// `Origin: null`: a sandboxed frame, a `data:` page and the like.
    Opaque,
    /// Something came that no browser sends. Never to be treated as absent.
    Malformed(OriginError),
    /// A page of this origin.
    Known(Origin<'a>),
}

impl<'a> Embedder<'a> {
    /// Reads all `Origin` and `Referer` field values of one request, each as it came.
    ///
    /// `Origin` wins, also when it is `null` or malformed. White space around a value is HTTP's own
    /// (RFC 9110 §5.5) and does not count.
    pub fn identify(
        origin: impl Iterator<Item = &'a [u8]>,
        referer: impl Iterator<Item = &'a [u8]>,
    ) -> Embedder<'a> {
        let found = match only_value(origin) {
            Some(value) => value.and_then(Origin::parse),
            None => match only_value(referer) {
                // A referrer is a URL, so `null` there is a relative one.
                Some(value) => value.and_then(Origin::parse_referer),
                None => return Embedder::Absent,
            },
        };
        match found {
            Ok(origin) => Embedder::Known(origin),
            Err(OriginError::Opaque) => Embedder::Opaque,
            Err(error) => Embedder::Malformed(error),
        }
    }

    /// The origin, when it is known.
    #[must_use]
    pub fn origin(&self) -> Option<Origin<'a>> {
        match *self {
            Embedder::Known(origin) => Some(origin),
            Embedder::Absent | Embedder::Opaque | Embedder::Malformed(_) => None,
        }
    }
}

/// `None` when the header is absent.
fn only_value<'a>(mut lines: impl Iterator<Item = &'a [u8]>) -> Option<Result<&'a str, OriginError>> {
    let value = trim(lines.next()?);
    if lines.next().is_some() {
        return Some(Err(OriginError::MultipleLines));
    }
    Some(std::str::from_utf8(value).map_err(|_| OriginError::NonAscii))
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}
