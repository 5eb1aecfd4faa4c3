#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;
use crate::origin::{OriginBuf, OriginSet};
use crate::suffix::PublicSuffixes;
use crate::widget::Widget;

const SITE: &str = "https://site.example";
const STRANGER: &str = "https://stranger.example";
const DASHBOARD: &str = "https://dashboard.example";
const EDGE: &str = "https://widgets.example";

fn now() -> Timestamp {
    "2026-11-30T12:00:00Z".parse().unwrap()
}

fn policy() -> EdgePolicy {
    let system: OriginSet = [OriginBuf::parse(DASHBOARD).unwrap()].into_iter().collect();
    let own = OriginBuf::parse(EDGE).into_iter().collect();
    EdgePolicy { own_origins: own, system_origins: system, open_allowed: true, stale_at: None }
}

/// The page that a report about this widget is kept of.
fn news(widget: &Value, named: Option<&str>, embedder: Option<&str>) -> Option<String> {
    news_by(&policy(), widget, named, embedder)
}

fn news_by(
    policy: &EdgePolicy,
    widget: &Value,
    named: Option<&str>,
    embedder: Option<&str>,
) -> Option<String> {
    let rules = Widget::parse(widget.to_string().as_bytes(), PublicSuffixes::shipped()).unwrap().compile();
    let [named, embedder] = [named, embedder].map(|text| text.map(|text| Origin::parse(text).unwrap()));
    let facts = ReportFacts { widget: "w", named, embedder };
    facts.news(rules.as_rules(), policy, now()).map(|page| page.as_str().to_owned())
}

fn widget(access: &str, entries: Value) -> Value {
    json!({ "id": "w", "access": access, "allowed_domains": entries })
}

#[test]
fn the_page_that_no_request_shows_is_kept() {
    for access in ["enforce", "monitor"] {
        let listed = widget(access, json!(["site.example", "http://plain.example"]));
        for (named, embedder, expected) in [
            // The stranger's page is around a listed one, or around one that does not say which it is.
            (Some(STRANGER), Some(SITE), Some(STRANGER)),
            (Some(STRANGER), None, Some(STRANGER)),
            (Some("http://site.example"), Some(SITE), Some("http://site.example")),
            // Two strangers: the nearer one is known by the verdict.
            (Some(STRANGER), Some("https://other.example"), Some(STRANGER)),
            (Some(STRANGER), Some(STRANGER), None),
            (None, Some(STRANGER), None),
            // Nobody is named, so all that is known is on which page it was.
            (None, Some(SITE), Some(SITE)),
            (Some(EDGE), Some(SITE), Some(SITE)),
            (None, None, None),
            (Some(EDGE), None, None),
            // It has been listed since.
            (Some(SITE), Some(SITE), None),
            (Some("http://plain.example"), Some(SITE), None),
            (Some(SITE), None, None),
            // A preview says nothing of a live site.
            (Some(DASHBOARD), Some(SITE), None),
            (None, Some(DASHBOARD), None),
        ] {
            assert_eq!(
                news(&listed, named, embedder).as_deref(),
                expected,
                "{access} {named:?} {embedder:?}"
            );
        }
        let none = widget(access, json!([]));
        assert_eq!(news(&none, Some(STRANGER), Some(SITE)).as_deref(), Some(STRANGER), "{access}");
    }
}

/// Browsers can't be told of these entries, so they report the pages that only these admit.
#[test]
fn a_page_that_browsers_can_t_be_told_of_is_no_news() {
    for (entry, page) in [
        ("pr-*.preview.example", "https://pr-1.preview.example"),
        ("my_site.example", "https://my_site.example"),
        ("[2001:db8::1]", "https://[2001:db8::1]"),
    ] {
        let listed = widget("monitor", json!(["site.example", entry]));
        assert_eq!(news(&listed, Some(page), Some(SITE)), None, "{entry}");
        assert_eq!(news(&listed, None, Some(SITE)), None, "{entry}: it may be such a page");
        assert_eq!(news(&listed, Some(STRANGER), Some(SITE)).as_deref(), Some(STRANGER), "{entry}");
    }
    let over = json!({ "pattern": "pr-*.preview.example", "expires_at": "2026-11-30T12:00:00Z" });
    let listed = widget("monitor", json!(["site.example", over]));
    assert_eq!(news(&listed, None, Some(SITE)).as_deref(), Some(SITE));
    let gone = "https://pr-1.preview.example";
    assert_eq!(news(&listed, Some(gone), Some(SITE)).as_deref(), Some(gone), "its entry has expired");
}

#[test]
fn where_no_list_is_in_force_there_is_none() {
    let open = widget("open", json!(["site.example"]));
    assert_eq!(news(&open, Some(STRANGER), Some(SITE)), None);
    let closed = EdgePolicy { open_allowed: false, ..policy() };
    assert_eq!(news_by(&closed, &open, Some(STRANGER), Some(SITE)).as_deref(), Some(STRANGER));
    let off = json!({ "id": "w", "enabled": false, "allowed_domains": ["site.example"] });
    assert_eq!(news(&off, Some(STRANGER), Some(SITE)), None);
    let stale = EdgePolicy { stale_at: Some(now()), ..policy() };
    let listed = widget("enforce", json!(["site.example"]));
    assert_eq!(news_by(&stale, &listed, Some(STRANGER), Some(SITE)), None);
}

#[test]
fn an_address_has_the_id_in_its_place_and_fits() {
    let path = ReportPath::new("/w/{widget}/embed-report").unwrap();
    let address = |room| path.address("w1", room, || Some("token".to_owned()));
    assert_eq!(address(4096).as_deref(), Some("/w/w1/embed-report?r=token"));
    let longest = "/w/w1/embed-report?r=".len() + MAX_REPORT_TOKEN;
    assert_eq!((address(longest).is_some(), address(longest - 1)), (true, None));
    assert_eq!(path.address("w1", 4096, || None), None);
    assert_eq!(ReportPath::new("/embed-report"), None);
    let query = |address: &str| presented(address.split_once('?').map(|(_, query)| query)).map(str::to_owned);
    assert_eq!(query(&address(4096).unwrap()).as_deref(), Some("token"));
    for odd in ["/w/w1/embed-report", "/?", "/?x=1&r=token", "/?R=token"] {
        assert_eq!(query(odd), None, "{odd}");
    }
}
