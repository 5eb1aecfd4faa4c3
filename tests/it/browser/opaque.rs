//! Pages and requests without an origin of their own: `Origin: null` is nobody's, on a listed site, too, and who reads
//! the denial is told what to do about it.

use serde_json::json;

use super::probe::{self, Surface, Told, calls, probe};
use super::stage::{EDGE, SITE, Stage, listed, widget};
use crate::support::edge::EdgeSpec;

/// What the denial of an opaque origin says.
const WITHOUT: &str = "may not be embedded by a page without an origin of its own";

#[tokio::test]
async fn a_sandboxed_page_of_a_listed_site_is_nobodys() {
    let stage = Stage::of_demo(&json!([listed()])).await;
    probe::put(&stage.sites, &[("/", &[("content-security-policy", "sandbox allow-scripts")])]);
    let browser = stage.browser().await;
    browser.goto(SITE).await.unwrap();
    assert_eq!(browser.eval("self.origin").await.unwrap(), "null");
    for (name, Surface { works, said }) in probe(&browser, "listed").await {
        let (expected, reason) = match &*name {
            // Neither `Origin` nor `Referer` (Referrer Policy §8.3): the edge isn't told that anybody embeds.
            "tag" => (true, ""),
            // Nor here, but the browser asks for the page's origin (CSP Level 3, `frame-ancestors`).
            "frame" => (false, ""),
            "stream" => (false, "closed"),
            "socket" => (false, "1006"),
            _ => (false, WITHOUT),
        };
        assert!(works == expected && said.contains(reason), "{name}: {works} {said}");
    }
}

/// Fetch, "HTTP-redirect fetch": a request to another origin that is redirected to a third one has no origin any more.
/// From http to https is from one origin to another.
#[tokio::test]
async fn a_redirect_takes_a_requests_origin() {
    let spec = EdgeSpec {
        edge: "redirect_http = true\n".to_owned(),
        ..EdgeSpec::stored(&json!([widget("listed", json!(["http://site.example"]))]))
    };
    let stage = Stage::start(spec, &["site.example"]).await;
    probe::put(&stage.sites, &[("/", &[])]);
    let browser = stage.browser().await;
    browser.goto("http://site.example").await.unwrap();
    let ask = async |edge: &str| -> Told {
        let session = format!("'{edge}/w/listed/session'");
        calls(&browser, &format!("call({session}).then((fetch) => ({{ fetch }}))")).await
    };
    let redirected = ask("http://widgets.example").await.remove("fetch").unwrap();
    assert!(!redirected.works && redirected.said.contains(WITHOUT), "{redirected:?}");
    assert!(redirected.said.contains("ask for the https address"), "{redirected:?}");
    let direct = ask(EDGE).await.remove("fetch").unwrap();
    assert!(direct.works, "{direct:?}");
}
