//! Caching directives of an upstream's answer: those of a valid `CDN-Cache-Control` (RFC 9213 §2.2), else
//! those of `Cache-Control` (RFC 9111 §5.2.2).

use http::header::{self, HeaderMap, HeaderName};
use pingora_cache::cache_control::{CacheControl, DirectiveKey, DirectiveMap, DirectiveValue};
use sfv::{BareItem, Dictionary, ListEntry, Parser};

use crate::edge::http::fields::Fields;

const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

/// Directives that apply to this cache.
#[derive(Debug)]
pub struct Directives {
    /// The directives; empty if the answer has neither field.
    pub control: CacheControl,
    /// The directives come from `CDN-Cache-Control`, so `Cache-Control` and `Expires` are ignored.
    pub targeted: bool,
}

/// Reads the directives of an answer, as its upstream sent it.
pub fn read(headers: &Fields) -> Directives {
    if let Some(directives) = targeted(headers) {
        return Directives { control: control(directives), targeted: true };
    }
    let mut lines = HeaderMap::new();
    for line in headers.get_all(header::CACHE_CONTROL) {
        lines.append(header::CACHE_CONTROL, line.clone());
    }
    let untargeted = CacheControl::from_headers_named(header::CACHE_CONTROL.as_str(), &lines);
    Directives { control: untargeted.unwrap_or_else(|| control(DirectiveMap::new())), targeted: false }
}

/// Fast check for answers that can't be stored: without a lifetime, or with an obvious directive against it.
/// Full parsing with [`read`] would cost more than everything else that the cache does with such an answer.
pub fn plainly_refuse(headers: &Fields) -> bool {
    if headers.contains(&CDN_CACHE_CONTROL) {
        return false;
    }
    let mut lines = headers.get_all(header::CACHE_CONTROL);
    match (lines.next(), lines.next()) {
        (None, _) => !headers.contains(&header::EXPIRES),
        // In a line without quoted strings, each comma ends a directive.
        (Some(line), None) if !line.as_bytes().contains(&b'"') => line
            .as_bytes()
            .split(|byte| *byte == b',')
            .map(<[u8]>::trim_ascii)
            .any(|directive| KEPT_OUT.iter().any(|name| directive.eq_ignore_ascii_case(name.as_bytes()))),
        _ => false,
    }
}

/// Directives against storing; one is enough. Qualified forms (`private="a"`, `no-cache="a"`) count like the
/// unqualified ones (RFC 9111 §5.2.2.4, §5.2.2.7). An answer that needs validation each time is not worth its
/// memory.
pub const KEPT_OUT: [&str; 3] = ["no-store", "private", "no-cache"];

fn control(directives: DirectiveMap) -> CacheControl {
    CacheControl { directives, allow_float_seconds: false }
}

/// The directives of `CDN-Cache-Control`, a dictionary (RFC 8941 §3.2). An invalid or empty one counts as
/// absent (RFC 9213 §2.1).
fn targeted(headers: &Fields) -> Option<DirectiveMap> {
    let mut joined = Vec::new();
    for line in headers.get_all(CDN_CACHE_CONTROL) {
        if !joined.is_empty() {
            joined.extend_from_slice(b", ");
        }
        joined.extend_from_slice(line.as_bytes());
    }
    let dictionary = Parser::parse_dictionary(&joined).ok().filter(|dictionary| !dictionary.is_empty())?;
    Some(dictionary_directives(dictionary))
}

fn dictionary_directives(dictionary: Dictionary) -> DirectiveMap {
    let mut directives = DirectiveMap::new();
    for (name, entry) in dictionary {
        let ListEntry::Item(item) = entry else { continue };
        let key = DirectiveKey::from_lowercase_owned(name);
        let seconds = matches!(
            key,
            DirectiveKey::MaxAge
                | DirectiveKey::SMaxAge
                | DirectiveKey::StaleWhileRevalidate
                | DirectiveKey::StaleIfError
        );
        // Only a member with the wrong type is ignored (RFC 9213 §2.1).
        let value = match item.bare_item {
            BareItem::Integer(number) if seconds && number >= 0 => {
                Some(DirectiveValue(number.to_string().into()))
            }
            _ if seconds => continue,
            BareItem::Boolean(false) => continue,
            BareItem::Token(text) | BareItem::String(text) => Some(DirectiveValue(text.into())),
            _ => None,
        };
        directives.insert(key, value);
    }
    directives
}
