//! Parser of entries as people write them, with helpful errors.

use std::borrow::Cow;

use idna::AsciiDenyList;

use super::error::{EntryError, EntryErrorCode as Code};
use super::suggest;
use super::{Entry, EntryScheme, HostPattern, PortPattern};
use crate::origin::{Host, MAX_LABEL, MAX_NAME, OriginError, split_port};
use crate::suffix::{PublicSuffixes, SuffixSection};

pub(super) fn entry(text: &str, suffixes: &PublicSuffixes) -> Result<Entry, EntryError> {
    parse(text, suffixes).map_err(|refusal| refusal.explain(text, suffixes))
}

/// Refusal before its suggestion is found.
#[derive(Debug)]
pub(super) struct EntryRefusal {
    pub(super) code: Code,
    /// The text that may have been meant. It is suggested if it parses; if not, the candidate of its own
    /// refusal is tried.
    pub(super) candidate: Option<String>,
    pub(super) detail: Option<String>,
}

impl From<Code> for EntryRefusal {
    fn from(code: Code) -> EntryRefusal {
        EntryRefusal { code, candidate: None, detail: None }
    }
}

impl Code {
    pub(super) fn perhaps(self, candidate: impl Into<String>) -> EntryRefusal {
        EntryRefusal { code: self, candidate: Some(candidate.into()), detail: None }
    }
}

/// The parts of an entry as written.
struct EntryParts<'t> {
    scheme: Option<&'t str>,
    host: &'t str,
    port: Option<&'t str>,
}

pub(super) fn parse(text: &str, suffixes: &PublicSuffixes) -> Result<Entry, EntryRefusal> {
    let written = split(text)?;
    let scheme = written.scheme.map(|scheme| parse_scheme(scheme, &written)).transpose()?;
    let port = parse_port(&written)?;
    if matches!(scheme, Some(EntryScheme::Custom(_))) {
        refuse_custom_wildcard(&written, port)?;
    }
    let (host, claimable) = parse_host(&written, suffixes)?;

    let mut entry = Entry { scheme, host, port, claimable };
    if !entry.is_loopback() && Some(entry.port) == default_port(entry.scheme.as_ref()) {
        entry.port = PortPattern::Unstated;
    }
    Ok(entry)
}

/// Splits an entry into scheme, host and port. Refuses anything else; the first foreign character decides the
/// error.
fn split(text: &str) -> Result<EntryParts<'_>, EntryRefusal> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(Code::Empty.into());
    }
    if trimmed != text {
        return Err(Code::SurroundingWhiteSpace.perhaps(trimmed));
    }
    suggest::refuse_pages_without_site(text)?;
    let (scheme, body) = match text.split_once("://") {
        Some((scheme, body)) if !scheme.contains(is_foreign) => (Some(scheme), body),
        _ => (None, text),
    };
    if let Some(index) = body.find(is_foreign) {
        return Err(suggest::foreign(text, text.len() - body.len() + index));
    }
    if text.eq_ignore_ascii_case("null") {
        return Err(Code::Opaque.into());
    }
    if scheme.is_none() {
        suggest::refuse_missing_slashes(text)?;
    }
    if let Ok(address) = body.parse::<std::net::Ipv6Addr>() {
        return Err(Code::BareIpv6.perhaps(text.replace(body, &format!("[{address}]"))));
    }
    let (host, port) = split_port(body);
    Ok(EntryParts { scheme, host, port })
}

fn is_foreign(c: char) -> bool {
    matches!(c, '/' | '?' | '#' | '@' | ';' | ',' | '\\') || c.is_whitespace() || c.is_control()
}

fn parse_scheme(text: &str, written: &EntryParts<'_>) -> Result<EntryScheme, EntryRefusal> {
    let scheme = text.to_ascii_lowercase();
    match scheme.as_str() {
        "http" => return Ok(EntryScheme::Http),
        "https" => return Ok(EntryScheme::Https),
        "ftp" | "ws" | "wss" => {
            return Err(Code::UnsupportedScheme.perhaps(written.with_scheme("https://")));
        }
        _ if scheme.contains('*') => return Err(Code::StarScheme.perhaps(written.with_scheme(""))),
        _ => {}
    }
    // RFC 3986 §3.1
    if scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
    {
        Ok(EntryScheme::Custom(scheme.into()))
    } else {
        Err(Code::InvalidScheme.perhaps(written.with_scheme("")))
    }
}

fn parse_port(written: &EntryParts<'_>) -> Result<PortPattern, EntryRefusal> {
    let digits = match written.port {
        None => return Ok(PortPattern::Unstated),
        Some("*") => return Ok(PortPattern::Any),
        Some("") => return Err(Code::EmptyPort.perhaps(written.with_port(None))),
        Some(digits) => digits,
    };
    let port =
        if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse::<u16>().ok() } else { None };
    match port {
        Some(port @ 1..) if !digits.starts_with('0') => Ok(PortPattern::Exact(port)),
        Some(port @ 1..) => Err(Code::InvalidPort.perhaps(written.with_port(Some(port)))),
        Some(0) | None => Err(Code::InvalidPort.perhaps(written.with_port(None))),
    }
}

fn refuse_custom_wildcard(written: &EntryParts<'_>, port: PortPattern) -> Result<(), EntryRefusal> {
    let exact = written.host.rsplit('*').next().unwrap_or_default().trim_start_matches('.');
    if exact != written.host || port == PortPattern::Any {
        let port = written.port.filter(|port| *port != "*");
        return Err(Code::WildcardScheme.perhaps(EntryParts { host: exact, port, ..*written }.text()));
    }
    Ok(())
}

/// Parses the host pattern. The flag tells whether strangers can claim a name that it admits.
fn parse_host(
    written: &EntryParts<'_>,
    suffixes: &PublicSuffixes,
) -> Result<(HostPattern, bool), EntryRefusal> {
    let text = written.host;
    match text.matches('*').count() {
        0 => {}
        1 if text == "*" => return Err(Code::StarAlone.into()),
        1 if text.starts_with("*.") => {}
        1 => return parse_glob(written, suffixes),
        _ => return Err(Code::ManyStars.perhaps(written.below_last_star())),
    }
    let (wildcard, name) = match text.strip_prefix("*.") {
        Some(name) => (Some(HostPattern::Below as fn(Box<str>) -> HostPattern), name),
        None => match text.strip_prefix('.') {
            Some(name) => (Some(HostPattern::AtOrBelow as fn(Box<str>) -> HostPattern), name),
            None => (None, text),
        },
    };
    let host = parse_plain_host(name, written)?;
    let Some(wildcard) = wildcard else { return Ok((host, false)) };
    let HostPattern::Name(name) = host else {
        return Err(Code::WildcardIp.perhaps(written.with_host(&host.to_string())));
    };
    if name.len() + "a.".len() > MAX_NAME {
        return Err(Code::NameTooLong.into());
    }
    if suffixes.open_below(&name).is_some() {
        return Err(suggest::public_suffix(&name));
    }
    Ok((wildcard(name), false))
}

/// Parses a host with one `*` inside the leftmost label.
fn parse_glob(
    written: &EntryParts<'_>,
    suffixes: &PublicSuffixes,
) -> Result<(HostPattern, bool), EntryRefusal> {
    let (label, parent) = written.host.split_once('.').unwrap_or((written.host, ""));
    let Some((prefix, suffix)) = label.split_once('*').filter(|_| !parent.is_empty()) else {
        return Err(Code::StarPosition.perhaps(written.below_last_star()));
    };
    let (prefix, suffix) = (prefix.to_ascii_lowercase(), suffix.to_ascii_lowercase());
    if !label.is_ascii() || prefix.starts_with("xn--") {
        return Err(Code::GlobIdn.perhaps(written.with_host(&format!("*.{parent}"))));
    }
    if prefix.is_empty() && !suffix.starts_with('-') {
        return Err(Code::StarWithoutDot.perhaps(written.with_host(&format!("*.{suffix}.{parent}"))));
    }
    if !(prefix.bytes().chain(suffix.bytes())).all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        return Err(Code::InvalidCharacter.into());
    }
    let HostPattern::Name(parent) = parse_plain_host(parent, written)? else {
        return Err(Code::WildcardIp.perhaps(written.with_host(parent)));
    };
    let shortest = prefix.len() + "*".len() + suffix.len();
    if shortest > MAX_LABEL {
        return Err(Code::LabelTooLong.into());
    }
    if shortest + ".".len() + parent.len() > MAX_NAME {
        return Err(Code::NameTooLong.into());
    }
    let claimable = match suffixes.open_below(&parent) {
        Some(SuffixSection::Icann) => return Err(suggest::public_suffix(&parent)),
        Some(SuffixSection::Private) => true,
        None => false,
    };
    Ok((HostPattern::Glob { prefix: prefix.into(), suffix: suffix.into(), parent }, claimable))
}

/// Parses a host without wildcards: folds it to what a browser would write, then reads it with the parser of
/// headers.
fn parse_plain_host(text: &str, written: &EntryParts<'_>) -> Result<HostPattern, EntryRefusal> {
    if text.starts_with('[') {
        // People also write `[0:0:0:0:0:0:0:1]` and capitals; only the address matters.
        let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let address = inner.and_then(|inner| inner.parse().ok()).ok_or(Code::InvalidIpv6)?;
        return Ok(HostPattern::Ipv6(address));
    }
    let folded = if text.is_ascii() {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        idna::domain_to_ascii_cow(text.as_bytes(), AsciiDenyList::URL).map_err(|_| Code::InvalidIdn)?
    };
    match Host::parse(&folded) {
        Ok(host) => Ok(HostPattern::of(host)),
        Err(OriginError::Ipv4) => match suggest::lenient_ipv4(&folded) {
            Some(address) => Err(Code::InvalidIpv4.perhaps(written.with_host(&address.to_string()))),
            None => Err(Code::InvalidIpv4.into()),
        },
        Err(OriginError::TrailingDot) => {
            Err(Code::TrailingDot.perhaps(written.with_host(written.host.trim_end_matches('.'))))
        }
        Err(OriginError::EmptyLabel) => {
            let labels: Vec<&str> = written.host.split('.').filter(|label| !label.is_empty()).collect();
            Err(Code::EmptyLabel.perhaps(written.with_host(&labels.join("."))))
        }
        Err(OriginError::MissingHost) => Err(Code::MissingHost.into()),
        Err(OriginError::NameTooLong) => Err(Code::NameTooLong.into()),
        Err(OriginError::LabelTooLong) => Err(Code::LabelTooLong.into()),
        Err(OriginError::InvalidIdn) => Err(Code::InvalidIdn.into()),
        Err(_) => Err(Code::InvalidCharacter.into()),
    }
}

fn default_port(scheme: Option<&EntryScheme>) -> Option<PortPattern> {
    match scheme {
        None | Some(EntryScheme::Https) => Some(PortPattern::Exact(443)),
        Some(EntryScheme::Http) => Some(PortPattern::Exact(80)),
        Some(EntryScheme::Custom(_)) => None,
    }
}

impl EntryParts<'_> {
    fn text(&self) -> String {
        let scheme = self.scheme.map(|scheme| format!("{scheme}://")).unwrap_or_default();
        self.with_scheme(&scheme)
    }

    /// `scheme` with its slashes, or empty.
    fn with_scheme(&self, scheme: &str) -> String {
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{scheme}{}{port}", self.host)
    }

    fn with_host(&self, host: &str) -> String {
        EntryParts { host, ..*self }.text()
    }

    fn with_port(&self, port: Option<u16>) -> String {
        let port = port.map(|port| port.to_string());
        EntryParts { port: port.as_deref(), ..*self }.text()
    }

    /// The entry without all labels up to the one with the last star.
    fn below_last_star(&self) -> String {
        let behind = self.host.rsplit('*').next().unwrap_or_default();
        let parent = behind.split_once('.').map_or(behind, |(_, parent)| parent);
        self.with_host(&format!("*.{parent}"))
    }
}
