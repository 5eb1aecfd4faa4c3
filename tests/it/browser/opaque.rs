//! Pages and requests without an origin of their own: `Origin: null` is nobody's, on a listed site, too, and who reads
//! the denial is told what to do about it. An open widget takes them like any other.

use serde_json::json;

use super::probe::{self, Surface, Told, calls, probe};
use super::stage::{EDGE, SITE, Stage, listed, widget};
use crate::support::browser::Browser;
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

/// Most browsers write `null` for a local file; Electron, and Chromium where it is told to let files read files,
/// `file://`, and compare the answer's origin with that.
#[tokio::test]
async fn a_local_file_is_let_in_where_any_page_is_and_reads_why_elsewhere() {
    let stage = Stage::of_demo(&json!([listed(), { "id": "open", "access": "open" }])).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("probe.js"), include_str!("probe.js")).unwrap();
    let page = folder.path().join("page.html");
    std::fs::write(&page, probe::page("").replace("/probe.js", "probe.js")).unwrap();
    for (switch, origin, why) in
        [("", "null", WITHOUT), ("--allow-file-access-from-files", "file://", "by a local file")]
    {
        let mut options = stage.options();
        options.extra_args.extend(Some(switch.to_owned()).filter(|switch| !switch.is_empty()));
        let browser = Browser::start(options).await.unwrap();
        browser.goto(&format!("file://{}", page.display())).await.unwrap();
        for (name, Surface { works, said }) in probe(&browser, "open").await {
            assert!(works, "{origin} {name}: {said}");
        }
        for name in ["fetch", "preflight", "streamed"] {
            let session = format!("calls('{EDGE}/w/listed/')");
            let told = calls(&browser, &session).await.remove(name).unwrap();
            assert!(!told.works && told.said.contains(why), "{origin} {name}: {}", told.said);
        }
        let of = |line: &serde_json::Value| line["embedder"] == origin && line["verdict"] == "allow";
        assert_eq!(stage.decision(of).await["reason"], "unrestricted");
    }
}

/// What browsers leave raw in an address, and a name that they take and no entry can have.
#[tokio::test]
async fn addresses_that_browsers_take_are_read_or_told_why_not() {
    let stage = Stage::of_demo(&json!([widget("listed", json!(["site.example", "*.localhost"]))])).await;
    probe::put(&stage.sites, &[("/", &[("referrer-policy", "unsafe-url")])]);
    let browser = stage.browser().await;
    for rest in [r"?p=C:\x", r"?q={%22a%22:[1]}|^`\\", "?ü=日本", "?a b<>"] {
        browser.goto(&format!("{SITE}/{rest}")).await.unwrap();
        for (name, Surface { works, said }) in probe(&browser, "listed").await {
            assert!(works, "{rest} {name}: {said}");
        }
    }
    browser.goto("http://site.localhost.:3000/").await.unwrap();
    let told = probe(&browser, "listed").await;
    for name in ["tag", "frame"] {
        let Surface { works, said } = &told[name];
        let words = "may not be embedded on a page whose host name ends with a dot";
        assert!(!works && said.contains(words), "{name}: {works} {said}");
    }
}
