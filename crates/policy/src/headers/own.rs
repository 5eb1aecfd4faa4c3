//! Fields of the edge's own answers: denials, preflights, refusals, failures, tickets. They depend on the
//! route alone, never on the widget, so that a denied and an unknown widget look alike.

use http::header::{self, HeaderName, HeaderValue};

use super::{CROSS_ORIGIN_RESOURCE_POLICY, Profile, VARY, everywhere, is_cdn_directive};
use crate::verdict::{Class, Reason};

/// `Content-Security-Policy` of the denied page: only the page's own style, by its hash. No
/// `frame-ancestors`, because the page must be visible inside the frame.
pub const DENIED_PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'sha256-OtS47knpCur7KXi+9DRlYuv1vyMkrBFtaTX1yfFhVVE='; base-uri 'none'; form-action 'none'",
);

const CROSS_ORIGIN_EMBEDDER_POLICY: HeaderName = HeaderName::from_static("cross-origin-embedder-policy");

/// Destination of a request, by `Sec-Fetch-Dest` (Fetch Metadata Request Headers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A `<script>`: a browser never runs a 403's body.
    Script,
    /// A page, in a frame or a tab.
    Document,
    /// Anything else, or unknown.
    Other,
}

impl Destination {
    /// Reads the field's lines; more than one line counts as none.
    pub fn parse<'v>(mut lines: impl Iterator<Item = &'v [u8]>) -> Self {
        match (lines.next(), lines.next()) {
            (Some(b"script"), None) => Self::Script,
            (Some(b"iframe" | b"frame" | b"document" | b"embed" | b"object"), None) => Self::Document,
            _ => Self::Other,
        }
    }

    /// The stated destination, or the one that browsers send for this class: an iframe for frames.
    pub fn stated_or_usual(stated: Option<&str>, class: Class) -> Self {
        match stated {
            Some(destination) => Self::parse(std::iter::once(destination.as_bytes())),
            None if class == Class::Frame => Self::Document,
            None => Self::Other,
        }
    }
}

/// Form of a denial that the requester can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenialShape {
    /// A script that says why in the console.
    Script,
    /// A page that says why to people.
    Page,
    /// A problem document (RFC 9457).
    Problem,
    /// The problem document of a public page that does not exist: it is for everyone, so nobody is denied.
    NotFound,
}

impl DenialShape {
    /// The form for a request of this class and destination that was denied for this reason.
    pub fn of(reason: Reason, class: Class, destination: Destination) -> Self {
        match destination {
            _ if class == Class::Public => Self::NotFound,
            // Its status is no success, so a browser would not run a script, either.
            Destination::Script if reason == Reason::StaleRules || reason.is_of_limits() => Self::Problem,
            Destination::Script => Self::Script,
            Destination::Document => Self::Page,
            Destination::Other => Self::Problem,
        }
    }

    /// Whether browsers show it as a document.
    pub fn is_page(self) -> bool {
        self == Self::Page
    }
}

/// The fields that a denial for this reason has besides those of its profile and its CORS grant: when to try again
/// (RFC 9110 §10.2.3), where that is worth it.
pub fn denial_fields(reason: Reason) -> Option<(HeaderName, HeaderValue)> {
    (reason == Reason::StaleRules).then_some((header::RETRY_AFTER, RETRY_SOON))
}

/// Seconds after which an edge may be in contact again.
const RETRY_SOON: HeaderValue = HeaderValue::from_static("5");

/// Fixed fields of the answers that the edge makes itself, overridden by the route's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnProfile {
    any: PreparedFields,
    page: PreparedFields,
}

/// Fields of one kind of answer, by the browser's scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PreparedFields {
    http: Vec<(HeaderName, HeaderValue)>,
    https: Vec<(HeaderName, HeaderValue)>,
}

impl OwnProfile {
    /// The profile of answers without a route, with these overrides.
    pub fn new<'o>(overrides: impl IntoIterator<Item = (&'o HeaderName, Option<&'o HeaderValue>)>) -> Self {
        Self::of(None, overrides)
    }

    /// The profile of a route of this class, with its overrides; each sets a field or removes it (`None`). Overrides
    /// about the upstream's content are skipped, because the edge's answers have their own content, which must not be
    /// stored.
    pub fn of_class<'o>(
        class: Class,
        overrides: impl IntoIterator<Item = (&'o HeaderName, Option<&'o HeaderValue>)>,
    ) -> Self {
        Self::of(Some(class), overrides)
    }

    fn of<'o>(
        class: Option<Class>,
        overrides: impl IntoIterator<Item = (&'o HeaderName, Option<&'o HeaderValue>)>,
    ) -> Self {
        let mut any = Profile::of(vec![(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))]);
        any.fields.extend(everywhere(class));
        any.fields.extend([
            (header::VARY, VARY),
            (CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("cross-origin")),
        ]);
        let mut page = any.clone();
        page.fields.extend([
            (CROSS_ORIGIN_EMBEDDER_POLICY, HeaderValue::from_static("require-corp")),
            (header::CONTENT_SECURITY_POLICY, DENIED_PAGE_POLICY),
        ]);
        for (name, value) in overrides.into_iter().filter(|(name, _)| !is_of_the_content(name)) {
            any.replace(name, value);
            page.replace(name, value);
        }
        Self { any: PreparedFields::of(&any), page: PreparedFields::of(&page) }
    }

    /// The fields. `page`: the answer is a document. `https`: the browser's scheme is https.
    pub fn fields(&self, page: bool, https: bool) -> &[(HeaderName, HeaderValue)] {
        let prepared = if page { &self.page } else { &self.any };
        if https { &prepared.https } else { &prepared.http }
    }
}

impl PreparedFields {
    fn of(profile: &Profile) -> Self {
        let fields =
            |https| profile.fields(https).map(|(name, value)| (name.clone(), value.clone())).collect();
        Self { http: fields(false), https: fields(true) }
    }
}

/// Fields about the content of an answer: its type, origin, lifetime, or what belongs to it (RFC 9110 §8,
/// §10.2; RFC 9111 §5; RFC 8288).
const OF_THE_CONTENT: [&str; 22] = [
    "accept-ranges",
    "age",
    "allow",
    "cache-control",
    "content-digest",
    "content-disposition",
    "content-language",
    "content-location",
    "content-type",
    "digest",
    "etag",
    "expires",
    "last-modified",
    "link",
    "location",
    "pragma",
    "refresh",
    "repr-digest",
    "retry-after",
    "sourcemap",
    "www-authenticate",
    "x-sourcemap",
];

fn is_of_the_content(name: &HeaderName) -> bool {
    OF_THE_CONTENT.contains(&name.as_str()) || is_cdn_directive(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn destination(lines: &[&str]) -> Destination {
        Destination::parse(lines.iter().map(|line| line.as_bytes()))
    }

    #[test]
    fn destinations_are_read_strictly() {
        assert_eq!(destination(&["script"]), Destination::Script);
        for dest in ["iframe", "frame", "document"] {
            assert_eq!(destination(&[dest]), Destination::Document, "{dest}");
        }
        for lines in [&[][..], &["empty"], &["script", "script"], &["Script"], &["serviceworker"]] {
            assert_eq!(destination(lines), Destination::Other, "{lines:?}");
        }
    }

    #[test]
    fn shapes_follow_who_can_show_them() {
        for class in Class::ALL {
            let shape = |destination| DenialShape::of(Reason::NotListed, class, destination);
            let (script, page, other) = match class {
                Class::Public => (DenialShape::NotFound, DenialShape::NotFound, DenialShape::NotFound),
                _ => (DenialShape::Script, DenialShape::Page, DenialShape::Problem),
            };
            assert_eq!(shape(Destination::Script), script);
            assert_eq!(shape(Destination::Document), page);
            assert_eq!(shape(Destination::Other), other);
        }
    }

    #[test]
    fn only_stale_rules_are_worth_another_try() {
        for reason in Reason::ALL {
            let fields = denial_fields(reason);
            assert_eq!(fields.is_some(), reason == Reason::StaleRules, "{reason}");
            assert!(fields.iter().all(|(name, value)| *name == header::RETRY_AFTER && value == "5"));
        }
        for (destination, shape) in [
            (Destination::Script, DenialShape::Problem),
            (Destination::Document, DenialShape::Page),
            (Destination::Other, DenialShape::Problem),
        ] {
            for class in [Class::Asset, Class::Frame, Class::Session] {
                for reason in [Reason::StaleRules, Reason::LimitSessions, Reason::LimitOpens] {
                    assert_eq!(DenialShape::of(reason, class, destination), shape, "{class} {reason}");
                }
            }
        }
    }

    fn value<'p>(profile: &'p OwnProfile, page: bool, https: bool, name: &str) -> Option<&'p str> {
        let mut found = profile.fields(page, https).iter().filter(|(field, _)| field.as_str() == name);
        let value = found.next().map(|(_, value)| value.to_str().unwrap());
        assert!(found.next().is_none(), "{name} twice");
        value
    }

    #[test]
    fn every_answer_of_the_edges_own_has_its_fields() {
        let profile = OwnProfile::new([]);
        for (page, https) in [(false, false), (false, true), (true, false), (true, true)] {
            let value = |name| value(&profile, page, https, name);
            assert_eq!(value("cache-control"), Some("no-store"));
            assert_eq!(value("x-content-type-options"), Some("nosniff"));
            assert_eq!(value("vary"), Some("Origin, Referer, Sec-Fetch-Dest"));
            assert_eq!(value("cross-origin-resource-policy"), Some("cross-origin"));
            assert_eq!(value("strict-transport-security").is_some(), https);
            assert_eq!(value("cross-origin-embedder-policy"), page.then_some("require-corp"));
            assert_eq!(value("content-security-policy").is_some(), page);
            assert_eq!(profile.fields(page, https).len(), 4 + usize::from(https) + 2 * usize::from(page));
        }
    }

    #[test]
    fn a_route_replaces_and_removes_but_says_nothing_of_the_content() {
        let name = HeaderName::from_static;
        let replaced = HeaderValue::from_static("replaced");
        let set = ["cross-origin-resource-policy", "x-new", "cross-origin-embedder-policy"].map(name);
        let gone = ["strict-transport-security", "x-content-type-options"].map(name);
        let overrides =
            set.iter().map(|name| (name, Some(&replaced))).chain(gone.iter().map(|name| (name, None)));
        let content: Vec<HeaderName> = OF_THE_CONTENT
            .iter()
            .chain(&["cdn-cache-control", "surrogate-control"])
            .map(|name| HeaderName::from_static(name))
            .collect();
        let said = content.iter().map(|name| (name, Some(&replaced)));
        let unsaid = content.iter().map(|name| (name, None));
        for overrides in
            [overrides.clone().chain(said).collect::<Vec<_>>(), overrides.chain(unsaid).collect()]
        {
            let profile = OwnProfile::new(overrides);
            for page in [false, true] {
                for set in &set {
                    assert_eq!(value(&profile, page, true, set.as_str()), Some("replaced"), "{set}");
                }
                for gone in &gone {
                    assert_eq!(value(&profile, page, true, gone.as_str()), None, "{gone}");
                }
                assert_eq!(value(&profile, page, true, "cache-control"), Some("no-store"));
                assert_eq!(profile.fields(page, true).len(), 5 + usize::from(page), "{profile:?}");
            }
        }
    }
}
