//! What a denial says to people: true of whoever reads it, and no advice that leads nowhere.

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::edge::{Edge, EdgeSpec};
use crate::support::raw::{self, Answer, Connection};
use crate::support::websocket::handshake;
use embedgate_policy::origin::Origin;
use embedgate_policy::ticket::{Ticket, TicketKeys};

const SITE: &str = "https://site.example";

/// A widget that lists one site, the same with voice, and one that is switched off.
async fn stage() -> Edge {
    let listed = json!({ "id": "listed", "allowed_domains": ["site.example"] });
    let voice = json!({ "id": "voice", "allowed_domains": ["site.example"], "capabilities": ["voice"] });
    let off = json!({ "id": "off", "allowed_domains": ["site.example"], "enabled": false });
    Edge::start(EdgeSpec::stored(&json!([listed, voice, off]))).await
}

/// The edge's own origin.
fn own(edge: &Edge) -> String {
    format!("http://localhost:{}", edge.http.port())
}

/// What a denial says, in each of its shapes, which all say the same.
async fn said(edge: &Edge, path: &str, fields: &[(&str, &str)]) -> String {
    let get = async |dest: &str| {
        let mut fields = fields.to_vec();
        if !dest.is_empty() {
            fields.push(("Sec-Fetch-Dest", dest));
        }
        raw::get(edge.http, path, &fields).await
    };
    let problem = get("").await;
    assert_eq!(problem.status, 403, "{path} {fields:?}: {problem:?}");
    let said = detail(&problem);
    let script = get("script").await;
    assert!(script.body.contains(&said), "{said}: {}", script.body);
    let page = get("iframe").await;
    for sentence in said.split_inclusive(". ").map(str::trim) {
        assert!(page.body.contains(sentence), "{sentence}: {}", page.body);
    }
    said
}

fn detail(answer: &Answer) -> String {
    let problem: Value = serde_json::from_str(&answer.body).unwrap();
    problem["detail"].as_str().unwrap().to_owned()
}

/// The whole of what `explain` says.
async fn explained(edge: &Edge, question: &Value) -> Value {
    let answer = edge.api(Method::POST, "/v1/explain").json(question).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.json().await.unwrap()
}

#[track_caller]
fn says(said: &str, parts: &[&str], never: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in {said:?}");
    }
    for part in never {
        assert!(!said.contains(part), "{part:?} is in {said:?}");
    }
}

const NO_BROWSER: &str = "not what a browser sends";
const ADVICE: &str = "owner has to add";

/// Browsers take such addresses, and send them as they are.
#[tokio::test]
async fn a_page_under_a_name_that_no_entry_can_have_is_told_which_part_of_it() {
    let edge = stage().await;
    let long = format!("https://{}.example", "a".repeat(64));
    for (origin, part) in [
        ("http://site.localhost.:8080", "ends with a dot"),
        ("https://a..example", "has an empty part"),
        ("https://a~b.example", "has characters other than letters, digits, - and _"),
        (&long, "is too long"),
    ] {
        let referer = format!("{origin}/");
        for field in [("Origin", origin), ("Referer", &*referer)] {
            let said = said(&edge, "/w/listed/loader.js", &[field]).await;
            says(&said, &["on a page whose host name", part], &[NO_BROWSER, origin, ADVICE]);
        }
        let told = explained(&edge, &json!({ "widget": "listed", "origin": origin })).await;
        assert_eq!((&told["reason"], &told["entry_to_add"]), (&json!("malformed_origin"), &Value::Null));
        says(told["sentence"].as_str().unwrap(), &["no entry can name"], &["isn't what browsers send"]);
    }
    let odd = said(&edge, "/w/listed/loader.js", &[("Origin", "https://A.example")]).await;
    says(&odd, &[NO_BROWSER], &[]);
    let told = explained(&edge, &json!({ "widget": "listed", "origin": "https://A.example" })).await;
    says(told["sentence"].as_str().unwrap(), &["isn't what browsers send"], &[]);
}

/// As Electron sends it.
#[tokio::test]
async fn a_local_file_is_told_that_it_is_one() {
    let edge = stage().await;
    let file = said(&edge, "/w/listed/loader.js", &[("Origin", "file://")]).await;
    says(&file, &["a local file", "file://", "its own scheme"], &["sandbox", "redirect", "https address"]);
    let null = said(&edge, "/w/listed/loader.js", &[("Origin", "null")]).await;
    says(&null, &["sandboxed frame", "ask for the https address"], &["file://"]);
    for (origin, parts, never) in [
        ("file://", ["local file", "scheme of its own"], ["null", "sandboxed"]),
        ("null", ["null", "sandboxed"], ["file://", "scheme of its own"]),
    ] {
        let told = explained(&edge, &json!({ "widget": "listed", "origin": origin })).await;
        assert_eq!(told["reason"], "opaque_origin");
        assert_eq!(told["embedder"], json!({ "kind": "opaque", "origin": origin }));
        says(told["sentence"].as_str().unwrap(), &parts, &never);
    }
}

/// What has the edge's own origin and is no iframe with a ticket: an app that fills in the address it connects to.
#[tokio::test]
async fn a_request_from_the_edge_s_own_origin_is_told_what_is_missing() {
    let edge = stage().await;
    let own = own(&edge);
    let never = ["Referrer-Policy", "does not name the page", ADVICE];
    for widget in ["listed", "off", "unknown"] {
        let without = said(&edge, &format!("/w/{widget}/session"), &[("Origin", &own)]).await;
        says(
            &without,
            &["its own address without a ticket", "React Native", "an Origin that the widget's owner allows"],
            &never,
        );
        let request = handshake(&format!("/w/{widget}/session"), &own, "");
        let refused = Connection::open(edge.http).await.ask(request).await;
        assert_eq!((refused.status, detail(&refused)), (403, without));

        let keys = std::fs::read_to_string(edge.folder().join("data/ticket.keys")).unwrap();
        let ticket = |of: &str, left| {
            let keys = TicketKeys::parse(&keys).unwrap();
            let until = Timestamp::now() + SignedDuration::from_secs(left);
            Ticket::issue(&keys, of, Origin::parse(SITE).unwrap(), until).unwrap()
        };
        let with = async |ticket: String| {
            let fields = [("Origin", &*own), ("Authorization", &format!("Embed {ticket}"))];
            said(&edge, &format!("/w/{widget}/session"), &fields).await
        };
        let foreign = with(ticket("other", 60)).await;
        says(&foreign, &["a ticket that was not issued here for it"], &never);
        says(&foreign, &[], &["without a ticket", SITE]);
        let over = with(ticket(widget, -5)).await;
        says(&over, &[SITE, "If it is already allowed, the ticket has expired"], &never[..2]);
    }
    let told = explained(&edge, &json!({ "widget": "listed", "class": "session", "origin": own })).await;
    assert_eq!(told["reason"], "ticket_missing");
    says(told["sentence"].as_str().unwrap(), &["own origin", "React Native"], &["sent no ticket"]);
    let told = explained(&edge, &json!({ "widget": "listed", "class": "frame", "origin": own })).await;
    says(told["sentence"].as_str().unwrap(), &["own origin"], &["comes from the widget's own iframe"]);

    // Whatever the edge or its operator asks for itself is refused for no want of an entry.
    for widget in ["off", "unknown"] {
        for path in ["loader.js", "frame"] {
            let said = said(&edge, &format!("/w/{widget}/{path}"), &[("Origin", &own)]).await;
            says(&said, &["may not be loaded anywhere"], &[ADVICE, &own]);
        }
    }
}

#[tokio::test]
async fn nobody_is_told_to_add_the_operator_s_own_console() {
    let spec = EdgeSpec::stored(&json!([{ "id": "off", "enabled": false }]));
    let console = "https://console.vendor.example";
    let more = format!("[policy]\nsystem_origins = [\"{console}\"]\n");
    let edge = Edge::start(EdgeSpec { more, ..spec }).await;
    for widget in ["off", "unknown"] {
        let said = said(&edge, &format!("/w/{widget}/session"), &[("Origin", console)]).await;
        says(&said, &["may not be loaded anywhere"], &[ADVICE]);
    }
}

/// Every entry that a denial names is one that a save takes, and with it the page gets in.
#[tokio::test]
async fn every_entry_that_is_advised_can_be_saved_and_lets_in() {
    let edge = stage().await;
    for (origin, entries) in [
        ("https://stranger.example", &["stranger.example"][..]),
        ("https://stranger.example:8443", &["stranger.example:8443"]),
        ("https://192.0.2.7", &["192.0.2.7"]),
        ("https://[2001:db8::1]:81", &["[2001:db8::1]:81"]),
        ("https://a_b.example", &["a_b.example"]),
        ("https://foo.github.io", &["foo.github.io"]),
        ("http://localhost:3000", &["localhost:3000"]),
        ("http://127.0.0.1", &["127.0.0.1:80"]),
        ("https://localhost", &["localhost:443"]),
        ("capacitor://localhost", &["capacitor://localhost"]),
        ("chrome-extension://abcdefgh", &["chrome-extension://abcdefgh"]),
        // The way out first: only a widget without voice can list the other one.
        ("http://plain.example", &["plain.example", "http://plain.example"]),
        ("http://plain.example:8080", &["plain.example", "http://plain.example:8080"]),
        ("http://192.0.2.7:8080", &["192.0.2.7", "http://192.0.2.7:8080"]),
        ("http://site.example", &["site.example", "http://site.example"]),
        ("ftp://a.example", &["a.example"]),
        ("wss://a.example", &["a.example"]),
        ("view-source://a.example", &["a.example"]),
    ] {
        let told = said(&edge, "/w/listed/loader.js", &[("Origin", origin)]).await;
        assert_eq!(told, said(&edge, "/w/voice/loader.js", &[("Origin", origin)]).await, "{origin}");
        assert_eq!(told, said(&edge, "/w/unknown/loader.js", &[("Origin", origin)]).await, "{origin}");
        let (_, advice) = told.split_once(ADVICE).unwrap_or_else(|| panic!("{told}"));
        let named: Vec<&str> = advice
            .split([' ', ','])
            .filter(|word| word.contains("://") || word.contains([':', '.', '[']) && !word.ends_with('.'))
            .collect();
        assert_eq!(named, entries, "{told}");
        let is_plain = origin.starts_with("http://") && entries.len() == 2;
        assert_eq!(told.contains("over https"), is_plain || entries == ["a.example"], "{told}");

        for (index, entry) in entries.iter().enumerate() {
            let mut document = json!({ "id": "tried", "allowed_domains": [entry] });
            assert!(matches!(edge.put(&document).await.0, 200 | 201), "{entry}");
            let secure = format!("https://{entry}");
            let page = if index + 1 == entries.len() && entries != ["a.example"] { origin } else { &secure };
            let answer = raw::get(edge.http, "/w/tried/loader.js", &[("Origin", page)]).await;
            assert_eq!(answer.status, 200, "{page} with {entry}");
            document["capabilities"] = json!(["voice"]);
            let (status, refused) = edge.put(&document).await;
            assert_eq!(status, if index == 0 { 200 } else { 422 }, "{entry}: {refused}");
        }
        // And what `explain` would have added, or the way out where nothing can be.
        for widget in ["listed", "voice"] {
            let told = explained(&edge, &json!({ "widget": widget, "origin": origin })).await;
            let sentence = told["sentence"].as_str().unwrap();
            match told["entry_to_add"].as_str() {
                Some(entry) => {
                    let capabilities = if widget == "voice" { json!(["voice"]) } else { json!([]) };
                    let document =
                        json!({ "id": "tried", "allowed_domains": [entry], "capabilities": capabilities });
                    assert_eq!(edge.put(&document).await.0, 200, "{entry}");
                    let answer = raw::get(edge.http, "/w/tried/loader.js", &[("Origin", origin)]).await;
                    assert_eq!(answer.status, 200, "{origin} with {entry}");
                }
                None => says(sentence, &["serve the site over https", entries[0]], &["add the entry `http"]),
            }
        }
    }
}

/// Next to each entry `explain` says what would cover the page; no save refuses that.
#[tokio::test]
async fn no_entry_is_suggested_that_a_save_refuses() {
    let edge = stage().await;
    for (entry, origin, suggested) in [
        ("example.com", "https://www.example.com", Some("*.example.com")),
        ("*.example.com", "https://example.com", Some(".example.com")),
        ("intranet.test", "https://a.intranet.test", Some("*.intranet.test")),
        ("test", "https://a.test", Some("*.test")),
        ("github.io", "https://foo.github.io", None),
        ("co.uk", "https://shop.co.uk", None),
        ("intranet", "https://a.intranet", None),
    ] {
        let draft = json!({ "id": "draft", "allowed_domains": [entry] });
        let told = explained(&edge, &json!({ "widget": "draft", "origin": origin, "draft": draft })).await;
        let detail = told["entries"][0]["detail"].as_str().unwrap();
        match suggested {
            Some(suggested) => {
                says(detail, &[&format!("`{suggested}`")], &[]);
                let document = json!({ "id": "tried", "allowed_domains": [suggested] });
                assert!(matches!(edge.put(&document).await.0, 200 | 201), "{suggested}");
            }
            None => says(detail, &[], &["`*."]),
        }
    }
    // A mistyped plain-http site on a widget with voice.
    for typed in ["http://shop.example/app", " http://shop.example:8080", "http://user@shop.example"] {
        let document = json!({ "id": "tried", "allowed_domains": [typed], "capabilities": ["voice"] });
        let (status, refused) = edge.put(&document).await;
        assert_eq!(status, 422);
        let detail = refused["errors"][0]["detail"].as_str().unwrap();
        says(detail, &["use `shop.example`", "over https"], &["`http://"]);
    }
}
