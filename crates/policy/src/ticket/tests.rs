#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::*;
use crate::allowlist::samples::origin;

const KEY: &str = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=";
const OTHER: &str = "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=";

fn keys(lines: &str) -> TicketKeys {
    TicketKeys::parse(lines).unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn issue(keys: &TicketKeys, widget: &str, origin: &str, expires_at: i64) -> String {
    Ticket::issue(keys, widget, Origin::parse(origin).unwrap(), at(expires_at)).unwrap()
}

fn verify(keys: &TicketKeys, widget: &str, ticket: &str) -> Result<Ticket, TicketError> {
    Ticket::verify(keys, widget, ticket.as_bytes())
}

#[test]
fn what_is_issued_is_verified() {
    let keys = keys(KEY);
    let text = issue(&keys, "wgt_a", "https://example.com:8443", 1_000);
    assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)), "{text}");
    let ticket = verify(&keys, "wgt_a", &text).unwrap();
    assert_eq!(ticket.embedder().unwrap().as_str(), "https://example.com:8443");
    let valid = TicketState::Valid(ticket.embedder().unwrap());
    assert_eq!(ticket.state(at(999), SignedDuration::ZERO), valid);
    assert_eq!(ticket.state(at(1_000), SignedDuration::ZERO), TicketState::Expired, "from its instant on");
    let hour = SignedDuration::from_secs(3_600);
    assert_eq!(ticket.state(at(4_599), hour), valid);
    assert_eq!(ticket.state(at(4_600), hour), TicketState::Expired);
    assert_eq!(ticket.expires_at(), Some(at(1_000)));
    assert!(!format!("{ticket:?}").contains(&text));
}

#[test]
fn each_fault_has_its_name() {
    let signers = keys(&format!("{KEY}\n{OTHER}"));
    let ticket = issue(&signers, "wgt_a", "https://example.com", 1_000);
    assert!(verify(&keys(&format!("{OTHER}\n{KEY}")), "wgt_a", &ticket).is_ok(), "rotated");
    assert_eq!(verify(&keys(OTHER), "wgt_a", &ticket).unwrap_err(), TicketError::UnknownKey, "retired");
    assert_eq!(verify(&signers, "wgt_b", &ticket).unwrap_err(), TicketError::OtherWidget);
    let unpadded = format!("{ticket}=");
    let halves = ticket.split_once('.').unwrap();
    let (long, doubled) = ("A".repeat(MAX_TICKET + 1), format!("{ticket}.{}", halves.1));
    for malformed in ["", ".", "null", halves.0, &unpadded, &long, &doubled, "Ä.Ä", " .AA"] {
        assert_eq!(verify(&signers, "wgt_a", malformed).unwrap_err(), TicketError::Malformed, "{malformed}");
    }
}

#[test]
fn the_longest_name_fits_and_what_does_not_fit_is_not_issued() {
    let keys = keys(KEY);
    let widget = "w".repeat(64);
    let label = "a".repeat(63);
    let host = format!("{label}.{label}.{label}.{}", "b".repeat(61));
    assert_eq!(host.len(), 253);
    let origin = format!("https://{host}:65535");
    let ticket = Ticket::issue(&keys, &widget, Origin::parse(&origin).unwrap(), at(1)).unwrap();
    assert!(ticket.len() <= MAX_TICKET, "{}", ticket.len());
    assert_eq!(verify(&keys, &widget, &ticket).unwrap().embedder().unwrap().as_str(), origin);
    let origin = format!("{}://{host}", "s".repeat(60));
    assert_eq!(Ticket::issue(&keys, &widget, Origin::parse(&origin).unwrap(), at(1)), None);
}

proptest! {
    #[test]
    fn every_origin_comes_back(origin in origin(), second in 0..i64::from(u32::MAX)) {
        let keys = keys(KEY);
        let text = issue(&keys, "wgt_a", origin.as_origin().as_str(), second);
        let ticket = verify(&keys, "wgt_a", &text).unwrap();
        prop_assert_eq!(ticket.embedder().unwrap(), origin.as_origin());
        prop_assert_eq!(ticket.expires_at(), Some(at(second)));
    }

    #[test]
    fn a_flipped_bit_is_noticed(bit in 0..8 * 80_usize) {
        let keys = keys(KEY);
        let mut text = issue(&keys, "wgt_a", "https://example.com", 1_000).into_bytes();
        let bit = bit % (8 * text.len());
        text[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(Ticket::verify(&keys, "wgt_a", &text).is_err());
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(Ticket::verify(&keys(KEY), "wgt_a", &bytes).is_err());
    }
}
