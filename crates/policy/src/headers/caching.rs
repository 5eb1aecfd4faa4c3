//! `Cache-Control` of judged answers. A shared cache in front of the edge would answer even after a domain
//! was removed. So what the upstream allows to shared caches is forbidden, unless the route says otherwise.

use http::header::HeaderName;

use super::list::texts;
use crate::verdict::Class;

/// Caching rule of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheRule {
    /// The class of the route.
    pub class: Class,
    /// The route has one fixed path per widget (no `{*rest}`), such as the loader's. Its address never
    /// changes, so browsers have to revalidate each time.
    pub fixed_path: bool,
    /// The operator allows shared caches.
    pub shared_cache: bool,
}

/// The value that replaces the upstream's `Cache-Control` lines; `None` leaves them as they are.
pub fn cache_control<'v>(
    rule: CacheRule,
    mut upstream: impl Iterator<Item = &'v str>,
) -> Option<std::borrow::Cow<'static, str>> {
    match rule.class {
        Class::Public => None,
        Class::Frame => Some("private, no-cache".into()),
        Class::Session => upstream.next().is_none().then(|| "no-store".into()),
        Class::Asset if rule.fixed_path => Some("private, no-cache".into()),
        Class::Asset if rule.shared_cache => None,
        Class::Asset => Some(private(upstream).into()),
    }
}

fn private<'v>(upstream: impl Iterator<Item = &'v str>) -> String {
    let kept = upstream.flat_map(texts).filter(|directive| {
        let name = directive.split('=').next().unwrap_or_default().trim();
        !["public", "private", "s-maxage", "proxy-revalidate"]
            .iter()
            .any(|shared| name.eq_ignore_ascii_case(shared))
    });
    let mut value = String::from("private");
    for directive in kept {
        value.push_str(", ");
        value.push_str(directive);
    }
    value
}

/// Whether a field is for shared caches only: `CDN-Cache-Control` and other targeted fields (RFC 9213),
/// `Surrogate-Control`, `X-Accel-Expires`.
pub fn is_cdn_directive(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.ends_with("cdn-cache-control") || name == "surrogate-control" || name == "x-accel-expires"
}
