//! Who is asked for reports: the frames of lists that browsers can be told whole.

use serde_json::json;

use super::{ENFORCED, MONITORED, SITE, STRANGER, address, ask, frame, spec};
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::raw::unreported;
use crate::support::upstream::Upstream;

#[tokio::test]
async fn each_access_has_its_policy() {
    let upstream = Upstream::start("app").await;
    let edge = Edge::start(spec(upstream.addr)).await;
    let own = format!("http://localhost:{}", edge.http.port());
    let list = "frame-ancestors 'self' https://site.example https://other.example";
    let monitored = "frame-ancestors 'self' https://site.example";
    let with_page = "frame-ancestors 'self' https://stranger.example https://site.example";
    for (widget, page, name, expected) in [
        ("w", Some(SITE), ENFORCED, list),
        ("w", None, ENFORCED, list),
        ("w", Some(&*own), ENFORCED, list),
        ("locked", None, ENFORCED, "frame-ancestors 'none'"),
        ("locked", Some(&own), ENFORCED, "frame-ancestors 'self'"),
        ("monitored", Some(SITE), MONITORED, monitored),
        ("monitored", None, MONITORED, monitored),
        ("monitored", Some(STRANGER), MONITORED, with_page),
    ] {
        let answer = frame(&edge, widget, page).await;
        let policy = answer.field(name);
        assert_eq!(
            unreported(policy).split(' ').collect::<std::collections::BTreeSet<_>>(),
            expected.split(' ').collect(),
            "{widget} {page:?}"
        );
        let address = address(policy).unwrap_or_else(|| panic!("{widget} {page:?}: {answer:?}"));
        assert!(address.starts_with(&format!("/w/{widget}/embed-report?r=")), "{address}");
        let other = [ENFORCED, MONITORED].into_iter().find(|other| *other != name).unwrap();
        assert_eq!(answer.field(other), "", "{widget} {page:?}");
    }
    let open = frame(&edge, "open", Some(STRANGER)).await;
    assert_eq!((open.field(ENFORCED), open.field(MONITORED)), ("", ""));
    // Only frames: nothing of another class has ancestors that a list could admit.
    for path in ["loader.js", "session", "trust"] {
        let answer = ask(&edge, "GET", &format!("/w/w/{path}"), &[("Origin", SITE)]).await;
        assert!(!answer.field(ENFORCED).contains("report-uri"), "{path}");
    }
}

/// Reports of such a policy would be false, or of no use.
#[tokio::test]
async fn a_list_that_can_t_be_said_is_not_reported() {
    let upstream = Upstream::start("app").await;
    let edge = Edge::start(EdgeSpec { source: "store", ..spec(upstream.addr) }).await;
    let long: Vec<String> = (0..200).map(|n| format!("site-{n:03}.of-customers.example")).collect();
    // Fits, but not together with the address of its reports.
    let full = &long[..105];
    for (access, entries, page, policy) in [
        ("enforce", json!(long), Some("https://site-007.of-customers.example"), true),
        ("enforce", json!(long), None, true),
        ("enforce", json!(full), Some("https://site-007.of-customers.example"), true),
        ("enforce", json!(["[2001:db8::1]"]), Some("https://[2001:db8::1]"), true),
        ("monitor", json!(long), Some("https://site-007.of-customers.example"), false),
        ("monitor", json!(long), Some(STRANGER), false),
        ("monitor", json!(full), None, false),
        ("monitor", json!(["[2001:db8::1]"]), Some("https://[2001:db8::1]"), false),
    ] {
        let document = json!({ "id": "w", "access": access, "allowed_domains": entries });
        let (status, told) = edge.put(&document).await;
        assert_eq!(status, 200, "{told}");
        let answer = frame(&edge, "w", page).await;
        assert_eq!(!answer.field(ENFORCED).is_empty(), policy, "{access} {page:?}: {answer:?}");
        assert!(!answer.field(ENFORCED).contains("report-uri"), "{access} {page:?}: {answer:?}");
        assert_eq!(answer.field(MONITORED), "", "{access} {page:?}");
        assert!(answer.field(ENFORCED).len() <= 4096);
    }
}

#[tokio::test]
async fn the_path_is_the_operator_s() {
    let upstream = Upstream::start("app").await;
    for (path, expected) in [("/reports/{widget}/around", Some("/reports/w/around?r=")), ("", None)] {
        let mut spec = spec(upstream.addr);
        spec.more += &format!("[reports]\npath = \"{path}\"\n");
        let edge = Edge::start(spec).await;
        let answer = frame(&edge, "w", Some(SITE)).await;
        let told = address(answer.field(ENFORCED));
        assert_eq!(told.is_some(), expected.is_some(), "{answer:?}");
        assert_eq!(frame(&edge, "monitored", None).await.field(MONITORED).is_empty(), expected.is_none());
        let usual = ask(&edge, "POST", "/w/w/embed-report?r=x", &[("Content-Length", "0")]).await;
        assert_eq!(usual.status, 404, "{path}");
        if let (Some(told), Some(expected)) = (told, expected) {
            assert!(told.starts_with(expected), "{told}");
            assert_eq!(super::report(&edge, &told, STRANGER).await.status, 204);
            assert_eq!(super::kept(&edge, "w"), [STRANGER]);
        }
    }
}
