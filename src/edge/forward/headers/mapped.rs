//! Paths in the answers of an upstream that knows other paths than browsers do.

use http::header::{self, HeaderName, HeaderValue};

use crate::edge::admission::route::PathMapping;
use crate::edge::http::fields::Fields;

/// Maps `Location` and the paths of cookies back. `host`: the host that the upstream was asked by.
pub fn to_browser(fields: &mut Fields, mapping: &PathMapping, widget: &str, host: &str) {
    each(fields, header::LOCATION, |value| {
        let path = own_path(value, host)?;
        mapping.to_browser(widget, path)
    });
    each(fields, header::SET_COOKIE, |value| cookie(value, |path| mapping.cookie_path(widget, path)));
}

/// Replaces the values of a field for which `map` has another one.
fn each(fields: &mut Fields, name: HeaderName, map: impl Fn(&str) -> Option<String>) {
    if !fields.contains(&name) {
        return;
    }
    let mapped = |value: &HeaderValue| {
        let other = value.to_str().ok().and_then(&map);
        other.and_then(|other| HeaderValue::try_from(other).ok()).unwrap_or_else(|| value.clone())
    };
    let values: Vec<HeaderValue> = fields.get_all(name.clone()).map(mapped).collect();
    fields.remove(&name);
    values.into_iter().for_each(|value| fields.append(name.clone(), value));
}

/// The path, with what follows it, of a reference (RFC 3986 §4.2) to the upstream itself.
fn own_path<'v>(reference: &'v str, host: &str) -> Option<&'v str> {
    let after_scheme = ["https://", "http://", "//"].into_iter().find_map(|scheme| {
        let start = reference.get(..scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then(|| reference.get(scheme.len()..)).flatten()
    });
    let Some(rest) = after_scheme else { return reference.starts_with('/').then_some(reference) };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    (authority.eq_ignore_ascii_case(host) && path.starts_with('/')).then_some(path)
}

/// A `Set-Cookie` with another path. A `__Host-` cookie has to have `/` (RFC 6265bis §4.1.3.2).
fn cookie(value: &str, map: impl Fn(&str) -> Option<String>) -> Option<String> {
    const HOST_PREFIX: &str = "__Host-";
    if value.get(..HOST_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(HOST_PREFIX)) {
        return None;
    }
    let mut is_mapped = false;
    let parts: Vec<String> = value
        .split(';')
        .enumerate()
        .map(|(place, part)| {
            let attribute = part.split_once('=').filter(|(name, _)| place > 0 && is_path(name));
            match attribute.and_then(|(name, path)| Some((name, map(path.trim())?))) {
                Some((name, path)) => {
                    is_mapped = true;
                    format!("{name}={path}")
                }
                None => part.to_owned(),
            }
        })
        .collect();
    is_mapped.then(|| parts.join(";"))
}

fn is_path(name: &str) -> bool {
    name.trim().eq_ignore_ascii_case("path")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::{PathPattern, RewritePattern};

    fn mapped(field: &'static str, value: &str) -> String {
        let path = PathPattern::parse("/w/{widget}/{*rest}").unwrap();
        let mapping = PathMapping::new(&path, &RewritePattern::parse("/app/{rest}").unwrap());
        let mut fields = Fields::of(&[(field, value)]);
        to_browser(&mut fields, &mapping, "w1", "app.internal:8000");
        fields.text(field).unwrap().to_owned()
    }

    #[test]
    fn references_to_the_upstream_itself_are_mapped() {
        for (location, expected) in [
            ("/app/login?next=/app/x#y", "/w/w1/login?next=/app/x#y"),
            ("http://app.internal:8000/app/login", "/w/w1/login"),
            ("HTTPS://App.Internal:8000/app/", "/w/w1/"),
            ("//app.internal:8000/app/a", "/w/w1/a"),
            ("http://app.internal:8000", "http://app.internal:8000"),
            ("http://app.internal/app/a", "http://app.internal/app/a"),
            ("https://accounts.example/app/login", "https://accounts.example/app/login"),
            ("https://app.internal:8000@evil.example/app/", "https://app.internal:8000@evil.example/app/"),
            ("login", "login"),
            ("../app/login", "../app/login"),
            ("/elsewhere", "/elsewhere"),
        ] {
            assert_eq!(mapped("location", location), expected, "{location}");
        }
    }

    #[test]
    fn paths_of_cookies_are_mapped() {
        for (cookie, expected) in [
            ("a=b; Path=/app/; HttpOnly", "a=b; Path=/w/w1/; HttpOnly"),
            ("a=b;path=/app", "a=b;path=/w/w1"),
            ("a=b; PATH = /app/x ", "a=b; PATH =/w/w1/x"),
            ("a=/app/; Path=/", "a=/app/; Path=/"),
            ("Path=/app/", "Path=/app/"),
            ("a=b", "a=b"),
            ("__Host-a=b; Path=/app/", "__Host-a=b; Path=/app/"),
        ] {
            assert_eq!(mapped("set-cookie", cookie), expected, "{cookie}");
        }
    }
}
