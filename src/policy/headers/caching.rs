//! `Cache-Control` of judged answers. A shared cache in front of the edge would go on answering after a domain
//! was removed, so what the upstream allows to shared caches is taken back unless the route says otherwise.

use http::header::HeaderName;

use super::super::decision::Class;
use super::list::texts;

/// What a route says about caching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheRule {
    /// Its class.
    pub class: Class,
    /// It has one fixed path for each widget (no `{*rest}`): the loader, whose address never changes, so that
    /// browsers have to ask again each time.
    pub fixed_path: bool,
    /// The operator vouches for the shared caches in front.
    pub shared_cache: bool,
}

/// The value to send in place of the upstream's `Cache-Control` lines; `None` leaves them as they are.
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

/// Whether a field speaks to shared caches only: `CDN-Cache-Control` and its targeted kin (RFC 9213),
/// `Surrogate-Control`, `X-Accel-Expires`.
pub fn is_cdn_directive(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.ends_with("cdn-cache-control") || name == "surrogate-control" || name == "x-accel-expires"
}
