//! The microphone: a widget with `voice` gets it where the page and the browser agree, and nobody else does.

use serde_json::{Value, json};

use super::probe::shown;
use super::stage::{EDGE, Stage, widget};
use crate::support::browser::Browser;
use crate::support::edge::EdgeSpec;

const LOCAL_EDGE: &str = "http://localhost:8080";

/// What became of asking for the microphone in the document that was entered.
const ASK: &str = r#"(async () => {
    if (!isSecureContext || !navigator.mediaDevices) return "no secure context";
    try {
      const [track] = (await navigator.mediaDevices.getUserMedia({ audio: true })).getAudioTracks();
      const state = track.readyState;
      track.stop();
      return state;
    } catch (error) {
      return error.name;
    }
})()"#;

async fn ask_inside(browser: &Browser, frame: &str) -> Value {
    browser.enter_frame(&format!("document.getElementById('{frame}')")).await.unwrap();
    let state = browser.eval(ASK).await.unwrap();
    browser.leave_frames().await.unwrap();
    state
}

/// The page's frames: the widget with voice as it is to be embedded, without `allow`, and a widget without voice.
fn page(edge: &str) -> String {
    let frame = |name: &str, widget: &str, allow: &str| {
        format!("<iframe id=\"{name}\" src=\"{edge}/w/{widget}/frame\" allow=\"{allow}\"></iframe>")
    };
    [
        frame("voice", "voice", "microphone; autoplay"),
        frame("not_allowed", "voice", ""),
        frame("text", "text", "microphone; autoplay"),
    ]
    .concat()
}

#[tokio::test]
async fn a_widget_with_voice_gets_the_microphone_where_the_page_lets_it() {
    let mut voice = widget("voice", json!(["site.example", "localhost"]));
    voice["capabilities"] = json!(["chat", "voice"]);
    let text = widget("text", json!(["site.example", "http://site.example", "localhost"]));
    let spec = EdgeSpec {
        public_origins: Some(format!("[\"{EDGE}\", \"{LOCAL_EDGE}\"]")),
        ..EdgeSpec::stored(&json!([voice, text]))
    };
    let stage = Stage::start(spec, &["site.example"]).await;
    stage.sites.put("/", &[], page(EDGE));
    stage.sites.put("/local", &[], page(LOCAL_EDGE));
    let mut options = stage.options();
    let fake = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"];
    options.extra_args.extend(fake.map(str::to_owned));
    let browser = Browser::start(options).await.unwrap();

    for page in ["https://site.example/", "http://localhost:3000/", "http://localhost:3000/local"] {
        browser.goto(page).await.unwrap();
        assert_eq!(ask_inside(&browser, "voice").await, "live", "{page}");
        // Permissions Policy: the page doesn't pass it on, or the widget's own document is not to have it.
        assert_eq!(ask_inside(&browser, "not_allowed").await, "NotAllowedError", "{page}");
        assert_eq!(ask_inside(&browser, "text").await, "NotAllowedError", "{page}");
    }

    // Secure Contexts: a document within a page over http is none, whatever its own address.
    browser.goto("http://site.example/").await.unwrap();
    assert_eq!(ask_inside(&browser, "text").await, "no secure context");
    let refused = shown(&browser, &["document.getElementById('voice')"]).await;
    assert!(refused.text.contains("may not be embedded on http://site.example."), "{refused:?}");
    assert!(refused.text.contains("Browsers allow the microphone only on https pages"), "{refused:?}");
    let mut adding = widget("voice", json!(["site.example", "http://site.example"]));
    adding["capabilities"] = json!(["voice"]);
    let (status, answer) = stage.edge.put(&adding).await;
    assert_eq!((status, &answer["errors"][0]["code"]), (422, &json!("insecure_voice")), "{answer}");
}
