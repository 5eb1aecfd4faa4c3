use super::{Origin, OriginError};

/// Embedder of a request, by its headers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Embedder<'a> {
    /// Neither `Origin` nor `Referer` came.
    Absent,
    /// A page with an opaque origin, which can't be compared.
    Opaque(OpaqueOrigin),
    /// A value that no browser sends. It must never be treated as absent.
    Malformed(OriginError),
    /// A page of this origin.
    Known(Origin<'a>),
}

/// Opaque origin, as browsers write it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OpaqueOrigin {
    /// `null`: a sandboxed frame, a `data:` page, a redirected request, or in most browsers a local file.
    Null,
    /// `file://`: a local file in an app that lets files read files, such as Electron.
    File,
}

impl OpaqueOrigin {
    /// The text of the origin.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            OpaqueOrigin::Null => "null",
            OpaqueOrigin::File => super::LOCAL_FILE,
        }
    }
}

impl<'a> Embedder<'a> {
    /// Reads all `Origin` and `Referer` field values of one request, as received.
    ///
    /// `Origin` wins, even if it is opaque or malformed. White space around a value is part of HTTP (RFC 9110
    /// §5.5) and does not count.
    pub fn identify(
        origin: impl Iterator<Item = &'a [u8]>,
        referer: impl Iterator<Item = &'a [u8]>,
    ) -> Embedder<'a> {
        let found = match only_value(origin) {
            Some(value) => value.and_then(|value| {
                str::from_utf8(value).map_err(|_| OriginError::NonAscii).and_then(Origin::parse)
            }),
            None => match only_value(referer) {
                // A referrer is a URL, so `null` is a relative one there.
                Some(value) => value.and_then(Origin::parse_referer),
                None => return Embedder::Absent,
            },
        };
        match found {
            Ok(origin) => Embedder::Known(origin),
            Err(OriginError::Opaque) => Embedder::Opaque(OpaqueOrigin::Null),
            Err(OriginError::LocalFile) => Embedder::Opaque(OpaqueOrigin::File),
            Err(error) => Embedder::Malformed(error),
        }
    }

    /// The origin, when it is known.
    #[must_use]
    pub fn origin(&self) -> Option<Origin<'a>> {
        match *self {
            Embedder::Known(origin) => Some(origin),
            Embedder::Absent | Embedder::Opaque(_) | Embedder::Malformed(_) => None,
        }
    }
}

/// The only value of a header; `None` if the header is absent.
fn only_value<'a>(mut lines: impl Iterator<Item = &'a [u8]>) -> Option<Result<&'a [u8], OriginError>> {
    let value = trim(lines.next()?);
    if lines.next().is_some() {
        return Some(Err(OriginError::MultipleLines));
    }
    Some(Ok(value))
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}
