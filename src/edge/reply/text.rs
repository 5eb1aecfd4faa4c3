//! The words of an answer, put together in one piece of memory.
//!
//! Nothing here is escaped. What varies is origins and the ids of decisions; neither holds a byte that means
//! something in JSON, in a script's text or between tags, as the tests show.

use http::StatusCode;

use crate::edge::decision_id::DecisionId;
use crate::policy::explain::entry_text;
use crate::policy::origin::{Embedder, Scheme};

/// What the fixed parts of an answer take up at most.
const FIXED_BYTES: usize = 384;

/// A problem document (RFC 9457).
pub(super) fn problem(status: StatusCode, detail: &[&str], id: &DecisionId) -> String {
    let mut text = String::with_capacity(FIXED_BYTES);
    for part in ["{\"type\":\"about:blank\",\"title\":\"", status.canonical_reason().unwrap_or_default()] {
        text.push_str(part);
    }
    for part in ["\",\"status\":", status.as_str(), ",\"detail\":\""] {
        text.push_str(part);
    }
    detail.iter().for_each(|part| text.push_str(part));
    for part in ["\",\"decision_id\":\"", id.as_str(), "\"}"] {
        text.push_str(part);
    }
    text
}

/// Says who is denied, in words for a person; a malformed value is never repeated.
pub(super) fn who<'e>(embedder: &Embedder<'e>) -> [&'e str; 3] {
    let words = match embedder {
        Embedder::Known(origin) => return ["This widget may not be embedded on ", origin.as_str(), "."],
        Embedder::Opaque => {
            "This widget may not be embedded by a page without an origin of its own, such as a sandboxed frame \
             or a local file."
        }
        Embedder::Malformed(_) => {
            "This widget may not be embedded: the request's Origin or Referer is not what a browser sends."
        }
        Embedder::Absent => {
            "This widget may not be loaded by a request that does not name the page it is for."
        }
    };
    [words, "", ""]
}

/// Says what the owner can do about it.
pub(super) fn advice<'e>(embedder: &Embedder<'e>) -> [&'e str; 4] {
    let words = match embedder {
        Embedder::Known(origin) => {
            let [entry, port] = entry_text(*origin);
            // Such an entry is refused on a widget with voice.
            let to = if origin.scheme() == Scheme::Http && !origin.is_loopback() {
                " to the widget's allowed domains; browsers give a microphone to pages over https only."
            } else {
                " to the widget's allowed domains."
            };
            return ["If it should be, its owner adds ", entry, port, to];
        }
        Embedder::Opaque => {
            "It can be embedded by a page with an address that its owner allows. A redirect, as from http to https, \
             takes a request's origin as well: ask for the https address."
        }
        Embedder::Malformed(_) => "A program between the browser and this server may have changed it.",
        Embedder::Absent => "A Referrer-Policy of no-referrer on the page can be the cause.",
    };
    [words, "", "", ""]
}

/// Both, as one text.
pub(super) fn explanation<'e>(embedder: &Embedder<'e>) -> [&'e str; 8] {
    let ([a, b, c], [d, e, f, g]) = (who(embedder), advice(embedder));
    [a, b, c, " ", d, e, f, g]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::policy::origin::Origin;

    #[test]
    fn an_origin_means_itself_in_every_answer() {
        let special =
            |text: &str| text.contains(|c: char| !c.is_ascii_graphic() || "\"\\<>&'`{}".contains(c));
        let mut parsed = 0;
        for byte in 0..=u8::MAX {
            let char = char::from(byte);
            for text in [
                format!("https://a{char}b.example"),
                format!("https://a.example{char}"),
                format!("https://a.example:1{char}"),
                format!("a{char}b://c.example"),
                format!("https://[::{char}]"),
            ] {
                if let Ok(origin) = Origin::parse(&text) {
                    parsed += 1;
                    assert!(!special(origin.as_str()) && !special(&entry_text(origin).concat()), "{text}");
                }
            }
        }
        assert!(parsed > 100, "{parsed}");
    }

    #[test]
    fn the_fixed_words_need_no_escape() {
        let known = |text| Embedder::Known(Origin::parse(text).unwrap());
        for embedder in
            [Embedder::Opaque, Embedder::Absent, known("https://a.example"), known("http://a.example")]
        {
            let text = explanation(&embedder).concat();
            assert_eq!(serde_json::Value::from(text.as_str()).to_string(), format!("\"{text}\""));
            assert!(!text.contains(['<', '>', '&']), "{text}");
        }
    }

    #[test]
    fn a_problem_is_a_json_document() {
        let id = DecisionId::new();
        let text = problem(StatusCode::FORBIDDEN, &["a", "b"], &id);
        let expected = serde_json::json!({
            "type": "about:blank", "title": "Forbidden", "status": 403, "detail": "ab", "decision_id": id.as_str(),
        });
        assert_eq!(text, expected.to_string());
    }
}
