//! Id of a decision: shown on the denied page, in the log, and to the upstream.

use jiff::Timestamp;
use uuid::fmt::Hyphenated;
use uuid::{Builder, Uuid};

use crate::telemetry::shown_decisions::DecisionText;

/// UUID of version 7 (RFC 9562 §5.7). It sorts by time, to the millisecond. The rest is random, so it reveals
/// nothing about the traffic.
#[derive(Clone, Copy, Debug)]
pub struct DecisionId(DecisionText);

const _: () = assert!(size_of::<DecisionText>() == Hyphenated::LENGTH);

impl DecisionId {
    /// A fresh id for a decision made at `now`. Unlike the library's `Uuid::now_v7`, which counts within a
    /// millisecond, it takes no lock.
    pub fn new(now: Timestamp) -> Self {
        // A clock before 1970 is wrong, but not a reason to stop serving.
        let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
        let [random @ .., _, _, _, _, _, _] = rand::random::<u128>().to_le_bytes();
        Self::written(Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }

    /// The id of these [`bytes`](Self::bytes).
    pub fn of(bytes: [u8; 16]) -> Self {
        Self::written(Uuid::from_bytes(bytes))
    }

    fn written(id: Uuid) -> Self {
        let mut text = [0; Hyphenated::LENGTH];
        id.hyphenated().encode_lower(&mut text);
        Self(text)
    }

    /// The id in its shortest form.
    pub fn bytes(&self) -> [u8; 16] {
        Uuid::try_parse_ascii(&self.0).unwrap_or_default().into_bytes()
    }

    /// The usual form, as bytes.
    pub fn to_bytes(self) -> DecisionText {
        self.0
    }

    /// The usual form: 36 characters, lower case.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_of_version_7_and_sort_by_time() {
        let at = |text: &str| DecisionId::new(text.parse().unwrap());
        let id = uuid::Uuid::parse_str(at("2026-11-29T12:00:00.123Z").as_str()).unwrap();
        assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
        assert!(at("2026-11-29T12:00:00.123Z").as_str() < at("2026-11-29T12:00:00.124Z").as_str());
        assert!(at("1960-01-01T00:00:00Z").as_str().starts_with("00000000-0000-7"));
        let id = at("2026-11-29T12:00:00.123Z");
        assert_eq!(DecisionId::of(id.bytes()).as_str(), id.as_str());
    }

    #[test]
    fn none_is_there_twice() {
        let now = Timestamp::now();
        let ids: HashSet<String> = (0..10_000).map(|_| DecisionId::new(now).as_str().to_owned()).collect();
        assert_eq!(ids.len(), 10_000);
    }
}
