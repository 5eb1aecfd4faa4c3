//! Loader, frame, session and WebSocket give one verdict, whatever the page keeps to itself and however it is
//! isolated; and each denial can be read where a site's owner would look.

use serde_json::json;

use super::probe::{self, Surface, probe};
use super::stage::{SITE, STRANGER, Stage, listed};
use crate::support::edge::{EdgeSpec, usual_routes};

/// What a surface is to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Works,
    /// Refused, and the reason can be read.
    Told,
    /// Refused, and a page can't read why: what browsers show of a WebSocket, an `EventSource` or a frame that they
    /// themselves keep away.
    Refused,
}

impl Outcome {
    fn of(surface: &Surface) -> Self {
        let says = |text| surface.said.contains(text);
        match surface.works {
            true => Self::Works,
            false
                if says("may not be embedded on https://stranger.example.")
                    && says("its owner has to add stranger.example to the widget's allowed domains") =>
            {
                Self::Told
            }
            false => Self::Refused,
        }
    }
}

pub const POLICIES: [&str; 5] =
    ["strict-origin-when-cross-origin", "no-referrer", "same-origin", "unsafe-url", "origin"];

/// Whether a page under this policy keeps its address from the edge where it can.
pub fn is_silent(policy: &str) -> bool {
    matches!(policy, "no-referrer" | "same-origin")
}

/// What [`STRANGER`] gets on a page whose referrer policy is this.
fn on_stranger(policy: &str, surface: &str) -> Outcome {
    let silent = is_silent(policy);
    match surface {
        // Fetch, "append a request `Origin` header": a plain `GET` of a script has none; Referrer Policy leaves out
        // the other. Who isn't named gets the loader, and no session.
        "tag" if silent => Outcome::Works,
        // It isn't named to the edge, but the browser knows the page: CSP Level 3, `frame-ancestors`.
        "frame" if silent => Outcome::Refused,
        "stream" | "socket" => Outcome::Refused,
        _ => Outcome::Told,
    }
}

#[tokio::test]
async fn every_surface_gives_the_same_verdict_under_every_referrer_policy() {
    let stage = Stage::of_demo(&json!([listed()])).await;
    for policy in POLICIES {
        probe::put(&stage.sites, &[(&format!("/{policy}"), &[("referrer-policy", policy)])]);
    }
    let browser = stage.browser().await;
    let mut wrong = Vec::new();
    for policy in POLICIES {
        for site in [SITE, STRANGER] {
            browser.goto(&format!("{site}/{policy}?secret=1")).await.unwrap();
            let told = probe(&browser, "listed").await;
            assert_eq!(told.len(), 10, "{told:?}");
            for (name, surface) in &told {
                let expected = if site == SITE { Outcome::Works } else { on_stranger(policy, name) };
                if Outcome::of(surface) != expected {
                    wrong.push(format!("{name} on {site} under {policy}: not {expected:?}: {surface:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // A session is never without its embedder, and nothing but an origin is believed or written down.
    let decisions = stage.edge.decisions();
    let of_sessions: Vec<_> = decisions.iter().filter(|decision| decision["class"] == "session").collect();
    assert!(of_sessions.len() >= 10 * POLICIES.len(), "{}", of_sessions.len());
    for decision in of_sessions {
        assert!(decision["embedder"] == SITE || decision["embedder"] == STRANGER, "{decision}");
    }
    assert!(!json!(decisions).to_string().contains("secret"));
}

/// HTML, "cross-origin isolation": such a page loads nothing of others that doesn't agree to it. The edge's part is
/// `Cross-Origin-Resource-Policy`; that its own document asks the same of what it loads, a widget has to say itself,
/// here by its route.
#[tokio::test]
async fn an_isolated_page_gets_the_same_verdicts() {
    let frame = "class = \"frame\"\n";
    let agreeing = format!("{frame}headers = {{ \"Cross-Origin-Embedder-Policy\" = \"require-corp\" }}\n");
    let spec = EdgeSpec {
        routes: Some(usual_routes("demo").replace(frame, &agreeing)),
        ..EdgeSpec::stored(&json!([listed()]))
    };
    let stage = Stage::start(spec, &["site.example", "stranger.example"]).await;
    let isolated =
        [("cross-origin-embedder-policy", "require-corp"), ("cross-origin-opener-policy", "same-origin")];
    probe::put(&stage.sites, &[("/", &isolated)]);
    let browser = stage.browser().await;
    for site in [SITE, STRANGER] {
        browser.goto(site).await.unwrap();
        assert_eq!(browser.eval("crossOriginIsolated").await.unwrap(), true);
        for (name, surface) in probe(&browser, "listed").await {
            let expected = if site == SITE {
                Outcome::Works
            } else {
                on_stranger("strict-origin-when-cross-origin", &name)
            };
            assert_eq!(Outcome::of(&surface), expected, "{name} on {site}: {surface:?}");
        }
    }
}
