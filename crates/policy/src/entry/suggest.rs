//! Suggestions for refused texts.

use std::net::Ipv4Addr;

use super::error::{EntryError, EntryErrorCode as Code};
use super::parse::{self, EntryRefusal};
use crate::suffix::PublicSuffixes;

/// Maximum number of repairs to find a suggestion. ` https://user@example.com/app ` needs three; real texts
/// need few more.
const MAX_REPAIRS: usize = 6;

impl EntryRefusal {
    /// Makes the error, with the first candidate that parses as the suggestion.
    pub(super) fn explain(self, text: &str, suffixes: &PublicSuffixes) -> EntryError {
        let (mut tried, mut candidate, mut suggestion) = (text.to_owned(), self.candidate, None);
        for _ in 0..MAX_REPAIRS {
            let Some(next) = candidate.take().filter(|next| *next != tried) else { break };
            match parse::parse(&next, suffixes) {
                Ok(entry) => {
                    suggestion = Some(entry.to_string());
                    break;
                }
                Err(refusal) => candidate = refusal.candidate,
            }
            tried = next;
        }
        let mut error = EntryError::new(self.code, suggestion);
        if let Some(detail) = self.detail {
            error.detail = detail;
        }
        error
    }
}

/// The refusal for the character at `index`, which belongs to neither scheme, host nor port.
pub(super) fn foreign(text: &str, index: usize) -> EntryRefusal {
    let (before, from) = text.split_at(index);
    let mut rest = from.chars();
    match rest.next() {
        // `https:/example.com` and `//example.com`
        Some('/') if before.is_empty() => Code::Path.perhaps(from.trim_start_matches('/')),
        Some('/') => match refuse_missing_slashes(text) {
            Err(refusal) => refusal,
            Ok(()) => Code::Path.perhaps(before),
        },
        Some('?') => Code::Query.perhaps(before),
        Some('#') => Code::Fragment.perhaps(before),
        Some('@') => {
            let scheme =
                before.find("://").map_or("", |at| before.get(..at + "://".len()).unwrap_or_default());
            Code::Userinfo.perhaps(format!("{scheme}{}", rest.as_str()))
        }
        Some(';') => first_of(Code::Semicolon, before, rest.as_str()),
        Some(',') => first_of(Code::Comma, before, rest.as_str()),
        Some('\\') => Code::Backslash.perhaps(text.replace('\\', "/")),
        // Line breaks separate entries like spaces; other control characters have no meaning.
        Some(c) if c.is_whitespace() => first_of(Code::WhiteSpace, before, rest.as_str()),
        _ => Code::ControlCharacter.into(),
    }
}

/// Suggests the text before the separator if it looks like a host. Half of `exam ple.com` was never meant.
fn first_of(code: Code, before: &str, behind: &str) -> EntryRefusal {
    let first = if before.is_empty() { behind.trim() } else { before.trim() };
    if first.contains('.') { code.perhaps(first) } else { code.into() }
}

/// Refuses `about:blank`, `data:…`, `javascript:…`: pages that belong to no site.
pub(super) fn refuse_pages_without_site(text: &str) -> Result<(), EntryRefusal> {
    let Some((scheme, rest)) = text.split_once(':') else { return Ok(()) };
    if is_port(rest) {
        return Ok(());
    }
    match scheme.to_ascii_lowercase().as_str() {
        "about" | "data" | "file" | "javascript" | "mailto" => Err(Code::UnsupportedScheme.into()),
        // These contain the URL of the page that made them.
        "blob" | "filesystem" | "view-source" => Err(Code::UnsupportedScheme.perhaps(rest)),
        _ => Ok(()),
    }
}

/// Refuses `https:example.com` and `https:/example.com`.
pub(super) fn refuse_missing_slashes(text: &str) -> Result<(), EntryRefusal> {
    match text.split_once(':') {
        Some((scheme, rest))
            if !rest.starts_with("//")
                && !is_port(rest)
                && (scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")) =>
        {
            Err(Code::MissingSlashes.perhaps(format!("{scheme}://{}", rest.trim_start_matches('/'))))
        }
        _ => Ok(()),
    }
}

/// Whether the text is a port: a host may be named `data`, and then a port follows.
fn is_port(text: &str) -> bool {
    text == "*" || (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
}

pub(super) fn public_suffix(name: &str) -> EntryRefusal {
    let detail = format!(
        "anyone can register a name under the public suffix `{name}`; \
         name your own domain, as in `example.{name}` or `*.example.{name}`"
    );
    EntryRefusal { code: Code::PublicSuffix, candidate: None, detail: Some(detail) }
}

/// The address that browsers make of `127.1`, `0x7f000001` or `017700000001` (URL standard, IPv4 parser).
pub(super) fn lenient_ipv4(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<u32> = text.split('.').map(ipv4_number).collect::<Option<_>>()?;
    let (last, front) = parts.split_last()?;
    if front.len() > 3 || front.iter().any(|part| *part > 255) {
        return None;
    }
    // The last number fills all bytes that the others leave.
    let free_bits = 32 - 8 * u32::try_from(front.len()).ok()?;
    if u64::from(*last) >= 1_u64 << free_bits {
        return None;
    }
    let high = front.iter().fold(0_u64, |high, part| (high << 8) | u64::from(*part));
    u32::try_from((high << free_bits) | u64::from(*last)).ok().map(Ipv4Addr::from_bits)
}

fn ipv4_number(text: &str) -> Option<u32> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some("") => return Some(0),
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    if digits.starts_with('+') { None } else { u32::from_str_radix(digits, radix).ok() }
}
