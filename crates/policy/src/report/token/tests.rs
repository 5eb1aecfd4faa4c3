#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

const A: &str = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=";
const B: &str = "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=";
const DECIDED: [u8; 16] = *b"0123456789abcdef";

fn keys(text: &str) -> ReportKeys {
    ReportKeys::derive(&TicketKeys::parse(text).unwrap()).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn noon() -> Timestamp {
    at("2026-11-30T12:00:00Z")
}

fn issued(keys: &ReportKeys, embedder: Option<&str>) -> String {
    let embedder = embedder.map(|text| Origin::parse(text).unwrap());
    ReportedFrame::issue(keys, "w", DECIDED, embedder, noon()).unwrap()
}

#[test]
fn it_names_the_frame_for_an_hour() {
    let keys = keys(A);
    let longest = format!("https://{}.{}:65535", "a.".repeat(95).trim_end_matches('.'), "b".repeat(63));
    assert_eq!(longest.len(), MAX_EMBEDDER);
    for embedder in [None, Some("https://site.example"), Some("http://localhost:3000"), Some(&*longest)] {
        let token = issued(&keys, embedder);
        assert!(token.len() <= MAX_REPORT_TOKEN);
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{token}");
        let read = |now| ReportedFrame::verify(&keys, "w", &token, now);
        for now in [noon(), at("2026-11-30T12:59:59Z")] {
            let frame = read(now).unwrap();
            assert_eq!(frame.embedder().map(|origin| origin.as_str().to_owned()).as_deref(), embedder);
            assert_eq!(frame.decision(), DECIDED);
        }
        assert_eq!(read(at("2026-11-30T13:00:00Z")), Err(ReportTokenError::Expired));
        assert_eq!(ReportedFrame::verify(&keys, "v", &token, noon()), Err(ReportTokenError::Foreign));
    }
    assert_eq!(issued(&keys, Some(&longest)).len(), MAX_REPORT_TOKEN);
    let app = format!("{}://app", "a".repeat(MAX_EMBEDDER));
    assert_eq!(issued(&keys, Some(&app)), issued(&keys, None), "left out");
}

#[test]
fn every_key_in_force_verifies_and_no_other() {
    let (first, both, other) = (keys(A), keys(&format!("{B}\n{A}")), keys(B));
    let token = issued(&first, Some("https://site.example"));
    for (keys, expected) in [(&first, true), (&both, true), (&other, false)] {
        let read = ReportedFrame::verify(keys, "w", &token, noon());
        assert_eq!(read.map(|_| ()), expected.then_some(()).ok_or(ReportTokenError::Foreign));
    }
    assert_eq!(issued(&both, None), issued(&other, None), "the first signs");
    assert!(!format!("{first:?}").contains("QUFB"));
}

/// The widget's id is not in the token, so where it ends must be signed, too.
#[test]
fn the_widget_s_id_can_t_take_bytes_of_the_statement() {
    let keys = keys(A);
    let token = issued(&keys, Some("https://site.example"));
    let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
    // One byte less in the statement, one more in the id.
    let moved = URL_SAFE_NO_PAD.encode(&bytes[1..]);
    let widget = format!("w{}", char::from(bytes[0]));
    assert_eq!(ReportedFrame::verify(&keys, &widget, &moved, noon()), Err(ReportTokenError::Foreign));
    assert_eq!(
        ReportedFrame::verify(&keys, &"w".repeat(256), &token, noon()),
        Err(ReportTokenError::Foreign)
    );
}

/// A ticket is signed by another key, and its form is another.
#[test]
fn a_ticket_is_no_token() {
    use crate::ticket::Ticket;

    let tickets = TicketKeys::parse(A).unwrap();
    let keys = ReportKeys::derive(&tickets).unwrap();
    let site = Origin::parse("https://site.example").unwrap();
    let ticket = Ticket::issue(&tickets, "w", site, at("2026-11-30T13:00:00Z")).unwrap();
    for text in [&*ticket, &ticket.replace('.', "")] {
        assert!(ReportedFrame::verify(&keys, "w", text, noon()).is_err(), "{text}");
    }
    let token = issued(&keys, Some("https://site.example"));
    let (statement, signature) = token.split_at(token.len() - 43);
    for text in [token.clone(), format!("{statement}.{signature}")] {
        assert!(Ticket::verify(&tickets, "w", text.as_bytes()).is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn nothing_else_is_one(text in "[A-Za-z0-9._-]{0,500}", place in 0..200usize, letter in "[A-Za-z0-9_-]") {
        let keys = keys(A);
        prop_assert!(ReportedFrame::verify(&keys, "w", &text, noon()).is_err());
        let token = issued(&keys, Some("https://site.example"));
        let mut altered = token.clone();
        let place = place % token.len();
        altered.replace_range(place..=place, &letter);
        let read = ReportedFrame::verify(&keys, "w", &altered, noon());
        prop_assert_eq!(read.is_ok(), altered == token);
        let cut = ReportedFrame::verify(&keys, "w", &token[..place], noon());
        prop_assert!(cut.is_err());
    }
}
