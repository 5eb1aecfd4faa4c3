//! Sessions that an answer of an upstream names, as read from its fields.

use std::sync::Arc;
use std::time::Duration;

/// Longest id of a session, in bytes.
pub(super) const LONGEST_ID: usize = 128;

/// Most sessions that one answer may name, and as many that it may say are over. The rest counts as malformed.
pub const MOST_NAMED: usize = 16;

/// Longest `max-age`, in seconds: a year.
const LONGEST_STAY: u64 = 366 * 24 * 60 * 60;

/// Session that has left the edge, as its upstream names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedSession {
    /// Its id at the upstream: 1 to 128 of `A-Za-z0-9._:-`.
    pub id: Arc<str>,
    /// The time for which it counts as an open session; `None`: it doesn't count as one.
    pub max_age: Option<Duration>,
}

/// Sessions that one answer names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedSessions {
    /// Those that have begun, in order.
    pub begun: Vec<NamedSession>,
    /// The ids of those that are over.
    pub ended: Vec<Arc<str>>,
    /// How many more it tried to name.
    pub malformed: u64,
}

impl NamedSessions {
    /// Reads the lines of `X-Widget-Session` and of `X-Widget-Session-Ended`. Each may have several sessions, separated by
    /// commas, since a proxy on the way may join lines (RFC 9110 §5.3).
    pub fn read<'l>(begun: impl Iterator<Item = &'l [u8]>, ended: impl Iterator<Item = &'l [u8]>) -> Self {
        let mut named = Self::default();
        for member in begun.flat_map(members) {
            match session(member).filter(|_| named.begun.len() < MOST_NAMED) {
                Some(session) => named.begun.push(session),
                None => named.malformed += 1,
            }
        }
        for member in ended.flat_map(members) {
            match id(member).filter(|_| named.ended.len() < MOST_NAMED) {
                Some(id) => named.ended.push(id.into()),
                None => named.malformed += 1,
            }
        }
        named
    }
}

/// The members of a list. Empty ones don't count (RFC 9110 §5.6.1).
fn members(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

fn session(member: &[u8]) -> Option<NamedSession> {
    let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let id = id(parts.next()?)?.into();
    let mut max_age = None;
    for part in parts {
        // A parameter that is not known may be one that is misspelled, which would have the session count for nothing.
        let name = part.get(.."max-age=".len())?;
        if !name.eq_ignore_ascii_case(b"max-age=") || max_age.is_some() {
            return None;
        }
        max_age = Some(seconds(part.get(name.len()..)?)?);
    }
    Some(NamedSession { id, max_age })
}

fn id(text: &[u8]) -> Option<&str> {
    let is_known = |byte: &u8| byte.is_ascii_alphanumeric() || b"._:-".contains(byte);
    let is_id = (1..=LONGEST_ID).contains(&text.len()) && text.iter().all(is_known);
    is_id.then(|| str::from_utf8(text).ok()).flatten()
}

/// A time from a second to a year.
fn seconds(digits: &[u8]) -> Option<Duration> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = str::from_utf8(digits).ok()?.parse().ok()?;
    (1..=LONGEST_STAY).contains(&seconds).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(begun: &[&str], ended: &[&str]) -> NamedSessions {
        NamedSessions::read(
            begun.iter().map(|line| line.as_bytes()),
            ended.iter().map(|line| line.as_bytes()),
        )
    }

    fn of(id: &str, max_age: Option<u64>) -> NamedSession {
        NamedSession { id: id.into(), max_age: max_age.map(Duration::from_secs) }
    }

    #[test]
    fn sessions_are_named_one_a_line_or_several() {
        for (lines, expected) in [
            (&["room-1:alice"][..], vec![of("room-1:alice", None)]),
            (&["a;max-age=3600"], vec![of("a", Some(3600))]),
            (&["a ; Max-Age=1 "], vec![of("a", Some(1))]),
            (&["a", "b; max-age=2"], vec![of("a", None), of("b", Some(2))]),
            (&["a, b;max-age=2,,c "], vec![of("a", None), of("b", Some(2)), of("c", None)]),
            (&["", ","], vec![]),
        ] {
            let named = read(lines, &[]);
            assert_eq!((named.begun, named.malformed), (expected, 0), "{lines:?}");
        }
        let named = read(&[], &["a", "b, c"]);
        assert_eq!(named.ended, ["a", "b", "c"].map(Arc::from));
    }

    #[test]
    fn what_is_malformed_is_left_out_alone() {
        for line in [
            "a b",
            "a/b",
            "é",
            "\"a\"",
            ";max-age=1",
            "a;",
            "a;max-age",
            "a;max-age=",
            "a;max-age=0",
            "a;max-age=-1",
            "a;max-age=+1",
            "a;max-age=1.5",
            "a;max-age=31622401",
            "a;max-age=99999999999999999999",
            "a;max-age=1;max-age=1",
            "a;maxage=1",
            "a;path=/",
        ] {
            let named = read(&[line, "good"], &[]);
            assert_eq!((named.begun, named.malformed), (vec![of("good", None)], 1), "{line}");
        }
        let named = read(&[], &["a;max-age=1", "good", "a b"]);
        assert_eq!((named.ended, named.malformed), (vec!["good".into()], 2));
        let longest = "x".repeat(LONGEST_ID);
        assert_eq!(read(&[&longest], &[]).begun, [of(&longest, None)]);
        assert_eq!(read(&[&format!("{longest}x")], &[]).malformed, 1);
    }

    #[test]
    fn an_answer_names_so_many_at_most() {
        let line = (0..MOST_NAMED + 3).map(|number| number.to_string()).collect::<Vec<_>>().join(",");
        let named = read(&[&line], &[&line]);
        assert_eq!((named.begun.len(), named.ended.len(), named.malformed), (MOST_NAMED, MOST_NAMED, 6));
    }

    proptest! {
        #[test]
        fn whatever_a_line_says_each_member_is_named_or_counted(line in "[-a-c;=,. mxge0-9é]{0,60}") {
            let named = read(&[&line], &[]);
            let members = line.split(',').filter(|member| !member.trim_ascii().is_empty()).count();
            prop_assert_eq!(named.begun.len() as u64 + named.malformed, members as u64);
            for session in named.begun {
                prop_assert!(!session.id.is_empty() && session.id.len() <= LONGEST_ID);
                prop_assert!(!session.id.contains([';', ' ', '=', ',']));
            }
        }
    }
}
