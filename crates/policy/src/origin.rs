//! Origins and their parser.
//!
//! Browsers write an origin in only one way: RFC 6454 §6.2 and the HTML standard's "serialization of an
//! origin", with hosts as the URL standard serialises them. Any other spelling did not come from a browser
//! and is refused. So one origin never has two spellings, and origins can be compared as text.
//!
//! This is narrower than the URL standard in three ways: names have only letters, digits, `-` and `_` (no
//! `!`, `~` or `*`), names and labels have the maximum lengths of DNS (253 and 63), and port 0 is not valid.

mod embedder;
mod error;
mod host;
mod own;
mod owned;
mod page;
mod plain;

pub use embedder::{Embedder, OpaqueOrigin};
pub use error::OriginError;
pub use host::Host;
pub(crate) use host::{Ipv6Text, MAX_LABEL, MAX_NAME};
pub use own::{OwnOrigin, OwnOrigins, WIDGET_LABEL, WidgetOrigins};
pub use owned::{OriginBuf, OriginSet};
pub use page::{NamedBy, Page};

use std::fmt;

/// Tuple origin as a browser serialises it: a view into the header line, always canonical.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Origin<'a> {
    text: &'a str,
    host_text: &'a str,
    scheme: Scheme<'a>,
    host: Host<'a>,
    port: Option<u16>,
}

/// Scheme of an [`Origin`], in lower case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scheme<'a> {
    /// `http`
    Http,
    /// `https`
    Https,
    /// Any other scheme with hosts, such as `capacitor` or `chrome-extension`.
    Other(&'a str),
}

impl<'a> Origin<'a> {
    /// Parses a serialised origin, as in the `Origin` header.
    ///
    /// # Errors
    /// The text is not what a browser would have written; `null` is [`OriginError::Opaque`], `file://` is
    /// [`OriginError::LocalFile`].
    pub fn parse(text: &'a str) -> Result<Origin<'a>, OriginError> {
        if let Some(origin) = Origin::plain(text) {
            return Ok(origin);
        }
        match text {
            "null" => return Err(OriginError::Opaque),
            LOCAL_FILE => return Err(OriginError::LocalFile),
            _ => {}
        }
        match Origin::split(text) {
            Ok((origin, "")) => Ok(origin),
            Err(OriginError::OpaqueScheme) => Err(OriginError::OpaqueScheme),
            // RFC 6454 allows several origins in the header. Browsers send one, and only one can be judged.
            _ if text.contains(',') || text.matches("://").nth(1).is_some() => Err(OriginError::List),
            Ok((_, rest)) if rest.starts_with('?') => Err(OriginError::Query),
            Ok((_, rest)) if rest.starts_with('#') => Err(OriginError::Fragment),
            Ok(_) => Err(OriginError::Path),
            Err(error) => Err(error),
        }
    }

    /// The origin of a `Referer` (RFC 9110 §10.1.3): an absolute URL without userinfo.
    ///
    /// Only the part up to the end of the authority is judged. The rest names nobody, and browsers leave much
    /// of it raw (URL standard, "query percent-encode set"), but never a control character.
    ///
    /// # Errors
    /// Those of [`Origin::parse`], but anything may follow the origin.
    pub fn parse_referer(value: &'a [u8]) -> Result<Origin<'a>, OriginError> {
        let (head, rest) = value.split_at(end_of_authority(value));
        // No early exit, so that the compiler can check many bytes at once.
        if rest.iter().fold(false, |control, byte| control | byte.is_ascii_control()) {
            return Err(OriginError::ControlCharacter);
        }
        let head = str::from_utf8(head).map_err(|_| OriginError::NonAscii)?;
        match Origin::plain(head) {
            Some(origin) => Ok(origin),
            None if head == LOCAL_FILE => Err(OriginError::LocalFile),
            None => Origin::split(head).map(|(origin, _)| origin),
        }
    }

    /// `https://example.com:8443`
    #[must_use]
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// The scheme.
    #[must_use]
    pub fn scheme(&self) -> Scheme<'a> {
        self.scheme
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> Host<'a> {
        self.host
    }

    /// The host as written: `example.com`, `127.0.0.1`, `[::1]`.
    #[must_use]
    pub fn host_str(&self) -> &'a str {
        self.host_text
    }

    /// The port as written; `None` stands for the scheme's default.
    #[must_use]
    pub fn explicit_port(&self) -> Option<u16> {
        self.port
    }

    /// The port in effect; `None` for a scheme that has no default and no port written.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port.or_else(|| self.scheme.default_port())
    }

    /// Whether browsers trust this host without TLS: `localhost`, names below it, `127.0.0.0/8` and `[::1]`
    /// (Secure Contexts, "potentially trustworthy origin").
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host.is_loopback()
    }

    /// Splits a URL after its authority.
    fn split(text: &'a str) -> Result<(Origin<'a>, &'a str), OriginError> {
        if text.is_empty() {
            return Err(OriginError::Empty);
        }
        refuse_foreign_bytes(text)?;
        let (scheme_text, rest) = split_before(text, |byte| matches!(byte, b':' | b'/' | b'?' | b'#'));
        let Some(rest) = rest.strip_prefix(':') else { return Err(OriginError::NotAbsolute) };
        let scheme = Scheme::parse(scheme_text)?;
        let Some(rest) = rest.strip_prefix("//") else { return Err(OriginError::NotAbsolute) };

        let (authority, rest) = split_before(rest, |byte| matches!(byte, b'/' | b'?' | b'#'));
        let (host_text, port_text) = split_port(authority);
        // Checked only after an error, because neither a valid host nor a valid port can contain them.
        let name_fault = |error| match error {
            _ if authority.contains('@') => OriginError::Userinfo,
            _ if authority.contains(',') => OriginError::List,
            error => error,
        };
        let host = Host::parse(host_text).map_err(name_fault)?;
        let port = port_text.map(parse_port).transpose().map_err(name_fault)?;
        if port.is_some() && port == scheme.default_port() {
            return Err(OriginError::DefaultPort);
        }
        let (text, rest) = text.split_at(text.len() - rest.len());
        Ok((Origin { text, host_text, scheme, host, port }, rest))
    }
}

impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

impl<'a> Scheme<'a> {
    /// `https`
    #[must_use]
    pub fn as_str(self) -> &'a str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::Other(scheme) => scheme,
        }
    }

    fn parse(text: &'a str) -> Result<Scheme<'a>, OriginError> {
        match text {
            "https" => return Ok(Scheme::Https),
            "http" => return Ok(Scheme::Http),
            // Pages with these schemes have an opaque origin or that of another page; none of them names a
            // site.
            "about" | "blob" | "data" | "file" | "filesystem" | "javascript" => {
                return Err(OriginError::OpaqueScheme);
            }
            _ => {}
        }
        // RFC 3986 §3.1
        let mut bytes = text.bytes();
        if !bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
            || !bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
        {
            return Err(OriginError::NotAbsolute);
        }
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(OriginError::UpperCase);
        }
        Ok(Scheme::Other(text))
    }

    /// The URL standard's default ports; a browser never writes these.
    fn default_port(self) -> Option<u16> {
        match self {
            Scheme::Http | Scheme::Other("ws") => Some(80),
            Scheme::Https | Scheme::Other("wss") => Some(443),
            Scheme::Other("ftp") => Some(21),
            Scheme::Other(_) => None,
        }
    }
}

/// Origin of a local file as some browsers write it; others write `null`.
const LOCAL_FILE: &str = "file://";

/// The end of the authority of an absolute URL (RFC 3986 §3.2), or the end of any other text.
fn end_of_authority(value: &[u8]) -> usize {
    let scheme = value.iter().position(|byte| matches!(byte, b':' | b'/' | b'?' | b'#'));
    let start = scheme.map(|end| end + "://".len());
    let Some((before, authority)) = start.and_then(|start| value.split_at_checked(start)) else {
        return value.len();
    };
    if !before.ends_with(b"://") {
        return value.len();
    }
    let length = authority.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#'));
    before.len() + length.unwrap_or(authority.len())
}

fn refuse_foreign_bytes(text: &str) -> Result<(), OriginError> {
    // No early exit, so that the compiler can check many bytes at once.
    if !text.bytes().fold(false, |foreign, byte| foreign | !byte.is_ascii_graphic() | (byte == b'\\')) {
        return Ok(());
    }
    for byte in text.bytes() {
        match byte {
            0..=0x1f | 0x7f => return Err(OriginError::ControlCharacter),
            b' ' => return Err(OriginError::WhiteSpace),
            // URL parsers read `\` as `/`, other programs do not. An attacker sends it in the hope that two
            // of them differ.
            b'\\' => return Err(OriginError::Backslash),
            0x80.. => return Err(OriginError::NonAscii),
            _ => {}
        }
    }
    Ok(())
}

/// Splits before the first byte that stops; stop bytes are ASCII.
fn split_before(text: &str, is_stop: impl Fn(u8) -> bool) -> (&str, &str) {
    text.split_at(text.bytes().position(is_stop).unwrap_or(text.len()))
}

/// Splits at the colon before the port, not at a colon inside an IPv6 address in brackets.
pub(crate) fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn parse_port(text: &str) -> Result<u16, OriginError> {
    if text.is_empty() {
        return Err(OriginError::EmptyPort);
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(OriginError::InvalidPort);
    }
    match text.parse::<u16>() {
        Ok(0) => Err(OriginError::PortZero),
        _ if text.starts_with('0') => Err(OriginError::PortLeadingZero),
        Ok(port) => Ok(port),
        Err(_) => Err(OriginError::InvalidPort),
    }
}

#[cfg(test)]
mod tests;
