//! Which caching directives an upstream's answer has for this cache: those of `CDN-Cache-Control` where it is
//! there and valid (RFC 9213 §2.2), else those of `Cache-Control` (RFC 9111 §5.2.2).

use http::header::{self, HeaderMap, HeaderName};
use pingora::cache::cache_control::{CacheControl, DirectiveKey, DirectiveMap, DirectiveValue};
use sfv::{BareItem, Dictionary, ListEntry, Parser};

use crate::edge::fields::Fields;

const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

/// The directives that hold.
#[derive(Debug)]
pub struct Directives {
    /// What they say; none of them where the answer has neither field.
    pub control: CacheControl,
    /// They were meant for this kind of cache alone: `Cache-Control` and `Expires` say nothing then.
    pub targeted: bool,
}

/// Reads the directives of an answer as its upstream sent it.
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

/// Whether an answer says at a glance that it is not to be kept, as most of those do that aren't: it names no
/// lifetime, or one of the directives that [`read`] would find is plainly there. Reading them costs more than all
/// else that the cache does with such an answer.
pub fn plainly_refuse(headers: &Fields) -> bool {
    if headers.contains(&CDN_CACHE_CONTROL) {
        return false;
    }
    let mut lines = headers.get_all(header::CACHE_CONTROL);
    match (lines.next(), lines.next()) {
        (None, _) => !headers.contains(&header::EXPIRES),
        // Without a quoted string, each comma ends a directive.
        (Some(line), None) if !line.as_bytes().contains(&b'"') => line
            .as_bytes()
            .split(|byte| *byte == b',')
            .map(<[u8]>::trim_ascii)
            .any(|directive| KEPT_OUT.iter().any(|name| directive.eq_ignore_ascii_case(name.as_bytes()))),
        _ => false,
    }
}

/// Directives of which one is enough to keep an answer out. Qualified forms (`private="a"`, `no-cache="a"`) are taken
/// for the whole (RFC 9111 §5.2.2.4, §5.2.2.7). What would have to be validated each time is not worth its place.
pub const KEPT_OUT: [&str; 3] = ["no-store", "private", "no-cache"];

fn control(directives: DirectiveMap) -> CacheControl {
    CacheControl { directives, allow_float_seconds: false }
}

/// A dictionary (RFC 8941 §3.2). One that can't be parsed, or is empty, counts as absent (RFC 9213 §2.1).
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
        // A member of the wrong type is ignored, and only that (RFC 9213 §2.1).
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
