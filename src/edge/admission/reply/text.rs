//! Builds reply bodies in one allocation.
//!
//! Nothing here is escaped. Only origins and decision ids vary, and neither contains a byte with a meaning in
//! JSON, in a script's string or in HTML text. Tests check that.

use http::StatusCode;

use crate::edge::admission::decision_id::DecisionId;
use crate::edge::admission::judge::Told;
use embedgate_policy::explain::{WayIn, way_in};
use embedgate_policy::limits::LimitKind;
use embedgate_policy::origin::{Embedder, OpaqueOrigin, Origin, OriginError};

/// Maximum length of the fixed parts of a body, in bytes.
const FIXED_BYTES: usize = 512;

/// A problem document (RFC 9457). `code`: the reason of the verdict, where outsiders may know it.
pub(super) fn problem(status: StatusCode, code: Option<&str>, detail: &[&str], id: &DecisionId) -> String {
    let mut text = String::with_capacity(FIXED_BYTES);
    for part in ["{\"type\":\"about:blank\",\"title\":\"", status.canonical_reason().unwrap_or_default()] {
        text.push_str(part);
    }
    for part in ["\",\"status\":", status.as_str()] {
        text.push_str(part);
    }
    if let Some(code) = code {
        [",\"code\":\"", code, "\""].iter().for_each(|part| text.push_str(part));
    }
    text.push_str(",\"detail\":\"");
    detail.iter().for_each(|part| text.push_str(part));
    for part in ["\",\"decision_id\":\"", id.as_str(), "\"}"] {
        text.push_str(part);
    }
    text
}

/// What the page with a denial is called.
pub(super) fn title(told: Told<'_>) -> &'static str {
    match told {
        Told::StaleRules | Told::Limit(_) => "Not available at the moment",
        _ => "Not available on this site",
    }
}

/// The sentence that says who is denied, for people. A malformed value is never repeated.
pub(super) fn who(told: Told<'_>) -> [&str; 3] {
    let words = match told {
        Told::Embedder(Embedder::Known(origin)) | Told::Opener(origin) => {
            return ["This widget may not be embedded on ", origin.as_str(), "."];
        }
        Told::Embedder(Embedder::Opaque(OpaqueOrigin::Null)) => {
            "This widget may not be embedded by a page without an origin of its own, such as a sandboxed frame \
             or a local file."
        }
        Told::Embedder(Embedder::Opaque(OpaqueOrigin::File)) => {
            "This widget may not be embedded by a local file, which has no origin of its own (file://)."
        }
        Told::Embedder(Embedder::Malformed(error)) => match name_fault(error) {
            Some(fault) => return ["This widget may not be embedded on a page whose host name ", fault, "."],
            None => {
                "This widget may not be embedded: the request's Origin or Referer is not what a browser sends."
            }
        },
        Told::Embedder(Embedder::Absent) => {
            "This widget may not be loaded by a request that does not name the page it is for."
        }
        Told::OwnOrigin => "This widget may not be loaded anywhere.",
        Told::NoTicket { .. } => {
            "This widget may not be opened from its own address without a ticket: nothing says which page embeds it."
        }
        Told::ForeignTicket => "This widget may not be opened with a ticket that was not issued here for it.",
        Told::StaleRules => "This widget is not available from this server at the moment.",
        Told::Limit(limit) => match limit.kind {
            LimitKind::Sessions => "This widget has as many sessions open as its owner allows.",
            LimitKind::OpensPerMinute => {
                "This widget was opened as often within a minute as its owner allows."
            }
            LimitKind::OpensPerDay => "This widget was opened as often today as its owner allows.",
        },
    };
    [words, "", ""]
}

/// The error in the host name of a page that browsers accept anyway ([`OriginError::is_of_a_page`]).
fn name_fault(error: OriginError) -> Option<&'static str> {
    Some(match error {
        OriginError::TrailingDot => "ends with a dot",
        OriginError::EmptyLabel => "has an empty part",
        OriginError::InvalidCharacter => "has characters other than letters, digits, - and _",
        OriginError::NameTooLong | OriginError::LabelTooLong => "is too long",
        OriginError::MissingHost => "is empty",
        _ => return None,
    })
}

/// The sentences that say what the owner can do.
pub(super) fn advice(told: Told<'_>) -> [&str; 6] {
    let words = match told {
        Told::Embedder(Embedder::Known(origin)) => return entry_advice(origin, ""),
        Told::Opener(origin) => {
            const OR: &str =
                " If it is already allowed, the ticket has expired: the frame has to ask for a fresh one.";
            return entry_advice(origin, OR);
        }
        Told::Embedder(Embedder::Opaque(OpaqueOrigin::Null)) => {
            "It can be embedded by a page whose address its owner allows. A redirect, such as from http to https, \
             also removes the origin from a request: ask for the https address."
        }
        Told::Embedder(Embedder::Opaque(OpaqueOrigin::File)) => {
            "It can be embedded by a page whose address its owner allows: an app has to serve its pages under its own \
             scheme, such as app://name, or from localhost."
        }
        Told::Embedder(Embedder::Malformed(OriginError::TrailingDot)) => {
            "Open the page without that dot: with the dot it is another site."
        }
        Told::Embedder(Embedder::Malformed(error)) if error.is_of_a_page() => {
            "Serve the page under a valid DNS name: letters, digits, - and _, at most 63 between two dots."
        }
        Told::Embedder(Embedder::Malformed(_)) => {
            "A program between the browser and this server may have changed the header."
        }
        Told::Embedder(Embedder::Absent) => "A Referrer-Policy of no-referrer on the page can cause this.",
        Told::OwnOrigin => "Its owner can find the reason by the decision id.",
        Told::NoTicket { cookies: false } => {
            "The frame has to send the ticket that its document came with, or the edge's operator has to turn on \
             tickets.cookie. An app that fills in the address it connects to, as React Native does, has to send an \
             Origin that the widget's owner allows."
        }
        Told::NoTicket { cookies: true } => {
            "No ticket cookie came: browsers keep it only on https, if the page sends a referrer, and if they allow \
             partitioned cookies. A frame can send the ticket that its document came with instead. An app that fills in \
             the address it connects to has to send an Origin that the widget's owner allows."
        }
        Told::ForeignTicket => {
            "The frame has to ask for a fresh one. If that is refused, load the page again."
        }
        Told::StaleRules => {
            "The server has had no contact with the source of its rules for longer than policy.max_staleness allows, so it \
             can not tell who may embed a widget. Try again in a moment. Its operator finds the cause in its log and \
             under /readyz."
        }
        Told::Limit(limit) => match limit.kind {
            LimitKind::Sessions => {
                "Try again in a moment: a session that ends makes room for another one. The widget's owner finds the limit \
                 by the decision id."
            }
            LimitKind::OpensPerMinute => {
                "Try again in a minute. The widget's owner finds the limit by the decision id."
            }
            LimitKind::OpensPerDay => {
                "Try again tomorrow; days are those of UTC. The widget's owner finds the limit by the decision id."
            }
        },
    };
    [words, "", "", "", "", ""]
}

/// Advice with the entry that the owner has to add. For plain http it also advises https: a widget with voice
/// can't list such a page, and this text must not reveal whether the widget has voice.
fn entry_advice<'e>(origin: Origin<'e>, or: &'e str) -> [&'e str; 6] {
    const TO: &str = " to the widget's allowed domains.";
    match way_in(origin) {
        WayIn::Entry([entry, port]) => ["If it should be, its owner has to add ", entry, port, TO, or, ""],
        WayIn::Https { host, plain: Some(entry) } => [
            "If it should be, serve the page over https. Its owner has to add ",
            host,
            ", or without voice ",
            entry,
            " to the widget's allowed domains. Browsers allow the microphone only on https pages.",
            or,
        ],
        WayIn::Https { host, plain: None } => {
            ["If it should be, serve the page over https. Its owner has to add ", host, TO, or, "", ""]
        }
    }
}

/// Both texts as one.
pub(super) fn explanation(told: Told<'_>) -> [&str; 10] {
    let ([a, b, c], [d, e, f, g, h, i]) = (who(told), advice(told));
    [a, b, c, " ", d, e, f, g, h, i]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use jiff::Timestamp;

    use super::*;
    use crate::edge::admission::judge::ToldLimit;
    use embedgate_policy::origin::{OpaqueOrigin, Origin};
    use embedgate_policy::verdict::Reason;

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
                    assert!(!special(origin.as_str()), "{text}");
                    // Nothing else of it is said.
                    let fixed = explanation(Told::Embedder(Embedder::Known(origin))).concat();
                    assert!(!special(&fixed.replace([' ', '\''], "")), "{fixed}");
                }
            }
        }
        assert!(parsed > 100, "{parsed}");
    }

    #[test]
    fn the_fixed_words_need_no_escape() {
        let known = |text| Told::Embedder(Embedder::Known(Origin::parse(text).unwrap()));
        let malformed = |error| Told::Embedder(Embedder::Malformed(error));
        let limit = |kind| Told::Limit(ToldLimit { kind, reason: Reason::LimitOpens, retry_after: 1 });
        for told in [
            Told::Embedder(Embedder::Opaque(OpaqueOrigin::Null)),
            Told::Embedder(Embedder::Opaque(OpaqueOrigin::File)),
            Told::Embedder(Embedder::Absent),
            known("https://a.example"),
            known("http://a.example"),
            known("ftp://a.example"),
            Told::Opener(Origin::parse("http://a.example").unwrap()),
            malformed(OriginError::List),
            malformed(OriginError::TrailingDot),
            malformed(OriginError::EmptyLabel),
            malformed(OriginError::InvalidCharacter),
            malformed(OriginError::NameTooLong),
            malformed(OriginError::LabelTooLong),
            malformed(OriginError::MissingHost),
            Told::OwnOrigin,
            Told::NoTicket { cookies: false },
            Told::NoTicket { cookies: true },
            Told::ForeignTicket,
            Told::StaleRules,
            limit(LimitKind::Sessions),
            limit(LimitKind::OpensPerMinute),
            limit(LimitKind::OpensPerDay),
        ] {
            let text = explanation(told).concat();
            assert_eq!(serde_json::Value::from(text.as_str()).to_string(), format!("\"{text}\""));
            assert!(text.starts_with("This widget ") && text.ends_with('.') && text.is_ascii(), "{text}");
            assert!(!text.contains(['<', '>', '&', '{', '}']), "{text}");
            assert!(text.len() < FIXED_BYTES, "{text}");
            assert!(title(told).starts_with("Not available"), "{text}");
            if let Told::Embedder(Embedder::Malformed(error)) = told {
                assert_eq!(name_fault(error).is_some(), error.is_of_a_page(), "{text}");
            }
        }
    }

    #[test]
    fn a_problem_is_a_json_document() {
        let id = DecisionId::new(Timestamp::now());
        let text = problem(StatusCode::FORBIDDEN, None, &["a", "b"], &id);
        let expected = serde_json::json!({
            "type": "about:blank", "title": "Forbidden", "status": 403, "detail": "ab", "decision_id": id.as_str(),
        });
        assert_eq!(text, expected.to_string());
        let text = problem(StatusCode::SERVICE_UNAVAILABLE, Some("stale_rules"), &["a"], &id);
        let expected = serde_json::json!({
            "type": "about:blank", "title": "Service Unavailable", "status": 503, "code": "stale_rules", "detail": "a",
            "decision_id": id.as_str(),
        });
        assert_eq!(text, expected.to_string());
    }
}
