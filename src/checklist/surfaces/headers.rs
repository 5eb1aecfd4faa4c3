//! Points about the header fields of the edge's answers: what a proxy or CDN in front of it may have changed.

use url::Url;

use super::AskedEdge;
use crate::checklist::Deployment;
use crate::checklist::fetch::FetchedAnswer;
use crate::checklist::point::{CheckPoint, PointGroup, PointKind};
use crate::checklist::site::csp::{ContentPolicy, MatchedPage};
use embedgate_policy::widget::Access;

const fn point(code: &'static str, title: &'static str) -> PointKind {
    PointKind::new(PointGroup::Edge, code, title)
}

const ANCESTORS: PointKind =
    point("frame_ancestors", "The frame's document names the sites that may frame it");
const CORS: PointKind = point("cors", "The site may read what the edge answers");
const CACHE: PointKind = point("cache_control", "No cache keeps one site's answers for another");
const VARY: PointKind = point("vary", "Answers say that they differ by the page");

const IN_FRONT: &str =
    "See what stands in front of the edge, such as a CDN: it has to leave this field as the edge sends it.";

/// All points about fields.
pub(super) fn points(deployment: &Deployment, asked: &AskedEdge) -> Vec<CheckPoint> {
    let answers = || {
        let session = asked.session.site.as_ref().and_then(|asked| asked.as_ref().ok());
        let all = [("loader", asked.loader()), ("frame", asked.frame()), ("session", session)];
        all.into_iter()
            .filter_map(|(name, answer)| Some((name, answer.filter(|answer| answer.status.is_success())?)))
    };
    vec![
        ancestors(deployment, asked),
        by_answer(CORS, answers().filter(|(name, _)| *name != "frame"), &|_, answer| {
            cors(deployment, answer)
        }),
        by_answer(CACHE, answers(), &cache),
        by_answer(VARY, answers(), &|_, answer| vary(answer)),
    ]
}

/// A point that passes if all of these answers do. What is told is what is wrong.
fn by_answer<'a>(
    kind: PointKind,
    answers: impl Iterator<Item = (&'static str, &'a FetchedAnswer)>,
    fault: &dyn Fn(&str, &FetchedAnswer) -> Option<String>,
) -> CheckPoint {
    let (mut looked, mut faults) = (Vec::new(), Vec::new());
    for (name, answer) in answers {
        looked.push(name);
        faults.extend(fault(name, answer).map(|fault| format!("{name}: {fault}")));
    }
    match (looked.is_empty(), faults.is_empty()) {
        (true, _) => kind.skipped("there is no answer to look at"),
        (false, true) => kind.pass(format!("so it is with {}", looked.join(", "))),
        (false, false) => kind.fail(faults.join("; "), IN_FRONT),
    }
}

fn ancestors(deployment: &Deployment, asked: &AskedEdge) -> CheckPoint {
    let (Some(answer), Some(page)) =
        (asked.frame().filter(|answer| answer.status.is_success()), &deployment.page)
    else {
        return ANCESTORS.skipped("there is no answer to look at");
    };
    if let Some(options) = answer.field("x-frame-options") {
        return ANCESTORS.fail(
            format!("`X-Frame-Options: {options}` forbids every site to frame it"),
            "Remove `X-Frame-Options` from the route, and from what stands in front of the edge.",
        );
    }
    let Some(policy) = ContentPolicy::parse(answer.lines("content-security-policy")).with("frame-ancestors")
    else {
        return match deployment.facts.access {
            Access::Enforce => ANCESTORS.fail("it has no `frame-ancestors`", IN_FRONT),
            Access::Open | Access::Monitor => ANCESTORS.skipped("the list is not enforced"),
        };
    };
    let root = origin_of(page);
    match policy.refuses("frame-ancestors", &root, &MatchedPage { url: &deployment.edge }) {
        None => ANCESTORS.pass("it admits the site"),
        Some(refused) => ANCESTORS.fail(format!("`{refused}` does not admit the site"), IN_FRONT),
    }
}

fn origin_of(page: &Url) -> Url {
    let mut root = page.clone();
    root.set_path("/");
    root.set_query(None);
    root.set_fragment(None);
    root
}

fn cors(deployment: &Deployment, answer: &FetchedAnswer) -> Option<String> {
    let origin = deployment.origin()?;
    match answer.field("access-control-allow-origin") {
        Some(allowed) if allowed == "*" || allowed == origin => None,
        Some(allowed) => Some(format!("`Access-Control-Allow-Origin` is `{allowed}`")),
        None => Some("there is no `Access-Control-Allow-Origin`".to_owned()),
    }
}

/// Whether a shared cache may keep it.
fn is_shared(answer: &FetchedAnswer) -> bool {
    let field = answer.field("cache-control").unwrap_or_default().to_ascii_lowercase();
    !field.split(',').map(str::trim).any(|directive| {
        let name = directive.split('=').next().unwrap_or_default();
        name == "private" || name == "no-store"
    })
}

fn cache(name: &str, answer: &FetchedAnswer) -> Option<String> {
    // A route may leave its assets to shared caches.
    let may_be_shared = name == "loader" && varies(answer, "origin");
    (is_shared(answer) && !may_be_shared).then(|| match answer.field("cache-control") {
        Some(field) => format!("`Cache-Control: {field}` lets shared caches keep it"),
        None => "it has no `Cache-Control`".to_owned(),
    })
}

fn varies(answer: &FetchedAnswer, by: &str) -> bool {
    let field = answer.field("vary").unwrap_or_default();
    field.split(',').map(str::trim).any(|name| name == "*" || name.eq_ignore_ascii_case(by))
}

fn vary(answer: &FetchedAnswer) -> Option<String> {
    let missing: Vec<_> = ["Origin", "Referer"].into_iter().filter(|name| !varies(answer, name)).collect();
    (!missing.is_empty()).then(|| format!("`Vary` does not name {}", missing.join(" and ")))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

    use super::*;

    fn answer(fields: &[(&'static str, &'static str)]) -> FetchedAnswer {
        let fields = fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        FetchedAnswer { status: StatusCode::OK, fields: HeaderMap::from_iter(fields), body: Vec::new() }
    }

    #[test]
    fn what_a_shared_cache_may_keep_is_told() {
        for (name, fields, is_fault) in [
            ("frame", &[("cache-control", "private, no-cache")][..], false),
            ("session", &[("cache-control", "No-Store")], false),
            ("frame", &[("cache-control", "public, max-age=600")], true),
            ("session", &[], true),
            ("loader", &[("cache-control", "public"), ("vary", "Origin, Referer")], false),
            ("loader", &[("cache-control", "public"), ("vary", "Referer")], true),
        ] {
            assert_eq!(cache(name, &answer(fields)).is_some(), is_fault, "{name} {fields:?}");
        }
    }

    #[test]
    fn what_differs_by_the_page_says_so() {
        for (fields, told) in [
            (&[("vary", "origin, REFERER, Sec-Fetch-Dest")][..], None),
            (&[("vary", "*")], None),
            (&[("vary", "Origin")], Some("`Vary` does not name Referer")),
            (&[("vary", "Accept-Encoding")], Some("`Vary` does not name Origin and Referer")),
            (&[], Some("`Vary` does not name Origin and Referer")),
        ] {
            assert_eq!(vary(&answer(fields)).as_deref(), told, "{fields:?}");
        }
    }
}
