//! What a page's script reads of answers that are not the widget's: of every refusal and failure, with its status and
//! the id that its owner can name, and of the fields that the upstream exposes.

use serde_json::{Value, json};

use super::stage::{EDGE, SITE, STRANGER, Stage, listed};
use crate::support::edge::{EdgeSpec, usual_routes};
use crate::support::ports;
use crate::support::upstream::Upstream;

/// A request as a page makes it: simply, and with a field that a preflight has to ask for.
const READ: &str = "
    async (path, method, fields) => {
        try {
            const answer = await fetch(path, { method, headers: fields });
            const exposed = answer.headers.get('x-request-id');
            return { status: answer.status, exposed, told: await answer.json() };
        } catch (error) {
            return String(error);
        }
    }";

#[tokio::test]
async fn a_page_can_read_every_refusal_and_failure() {
    let fields =
        [("access-control-expose-headers", "X-Request-Id"), ("x-request-id", "r-1"), ("x-hidden", "h")];
    let upstream = Upstream::with_fields("app", &fields).await;
    let mut spec = EdgeSpec::on(upstream.addr, &json!([listed()]));
    spec.more += &format!("[upstreams.gone]\nservers = [\"{}\"]\n", ports::free());
    let gone = ["asset", "frame", "session", "public"].map(|class| {
        format!(
            "[[routes]]\npath = \"/w/{{widget}}/gone-{class}\"\nclass = \"{class}\"\nupstream = \"gone\"\n"
        )
    });
    spec.routes = Some([usual_routes("app"), gone.concat()].concat());
    let stage = Stage::start(spec, &["site.example", "stranger.example"]).await;
    let isolated =
        [("cross-origin-embedder-policy", "require-corp"), ("cross-origin-opener-policy", "same-origin")];
    stage.sites.put("/isolated", &isolated, "<!doctype html><title>isolated</title>");
    stage.sites.put("/", &[], "<!doctype html><title>page</title>");
    let browser = stage.browser().await;
    let long = format!("/w/listed/session?{}", "a".repeat(9_000));
    for page in [SITE, STRANGER, &format!("{SITE}/isolated")] {
        browser.goto(page).await.unwrap();
        let read = async |path: &str, method: &str, fields: Value| {
            browser.eval(&format!("({READ})('{EDGE}{path}', '{method}', {fields})")).await.unwrap()
        };
        let refused = [
            ("/w/listed%2fsession", "GET", 400),
            ("/nowhere", "GET", 404),
            ("/w/listed/nothing", "POST", 404),
            ("/w/listed/embed-ticket", "PUT", 405),
            (&long, "GET", 414),
        ];
        let failed = ["asset", "session"].map(|class| format!("/w/listed/gone-{class}"));
        let failed = failed.iter().map(|path| (path.as_str(), "GET", 502)).filter(|_| page != STRANGER);
        for (path, method, status) in refused.into_iter().chain(failed) {
            for fields in [json!({}), json!({ "x-one": "1" })] {
                let answer = read(path, method, fields).await;
                assert_eq!(answer["status"], status, "{page} {method} {path}: {answer}");
                assert!(answer["told"]["decision_id"].is_string(), "{answer}");
            }
        }
        // Nobody reads these by script, but for what went wrong.
        for class in ["frame", "public"].into_iter().filter(|_| page != STRANGER) {
            let answer = read(&format!("/w/listed/gone-{class}"), "GET", json!({})).await;
            assert_eq!(answer["status"], 502, "{page} {class}: {answer}");
        }
        for path in ["/w/listed/session", "/w/listed/assets/a"].into_iter().filter(|_| page != STRANGER) {
            let answer = read(path, "GET", json!({ "x-one": "1" })).await;
            assert_eq!(
                (&answer["status"], &answer["exposed"]),
                (&json!(200), &json!("r-1")),
                "{page} {answer}"
            );
        }
    }
}
