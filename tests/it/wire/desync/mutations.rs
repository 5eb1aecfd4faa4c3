//! Small changes of requests, and the pieces that they are sent in: the same ones in every run.

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;

/// Bytes that readers care for.
const MEANINGFUL: [&[u8]; 26] = [
    b"\r\n",
    b"\r",
    b"\n",
    b"\0",
    b":",
    b"\t",
    b" ",
    b"\x0b",
    b"\x0c",
    b"\x7f",
    b"\x85",
    b"\xa0",
    b"\xff",
    b";",
    b",",
    b"0",
    b"1",
    b"f",
    b"x",
    b"+",
    b"-",
    b"_",
    b"#",
    b"\"",
    b"\r\n ",
    b"\r\n\r\n",
];

/// Lines that frame a request, or its connection.
const LINES: [&[u8]; 12] = [
    b"Content-Length: 0\r\n",
    b"Content-Length: 5\r\n",
    b"Content_Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Transfer_Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
    b"Expect: 100-continue\r\n",
    b"Host: evil.example\r\n",
    b"\r\n",
];

const METHODS: [&[u8]; 6] = [b"GET", b"HEAD", b"POST", b"OPTIONS", b"DELETE", b"BREW"];

/// One change. What isn't there is not changed.
#[derive(Clone, Debug)]
pub enum Mutation {
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Replace(Index, u8),
    /// So many bytes twice.
    Double(Index, usize),
    /// Another end of a line.
    End(Index, &'static [u8]),
    /// The other case of a letter.
    Case(Index),
    /// A line more.
    Line(Index, &'static [u8]),
    /// Two lines change places.
    Swap(Index, Index),
    Method(&'static [u8]),
}

pub fn mutation() -> impl Strategy<Value = Mutation> {
    let meaningful = prop::sample::select(&MEANINGFUL[..]).prop_map(<[u8]>::to_vec);
    let any_byte = any::<u8>().prop_map(|byte| vec![byte]);
    let ends: [&'static [u8]; 5] = [b"\n", b"\r", b"\r\r\n", b" \r\n", b""];
    prop_oneof![
        6 => (any::<Index>(), meaningful).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        2 => (any::<Index>(), any_byte).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        3 => (any::<Index>(), 1..4_usize).prop_map(|(at, count)| Mutation::Remove(at, count)),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Replace(at, byte)),
        2 => (any::<Index>(), 1..40_usize).prop_map(|(at, count)| Mutation::Double(at, count)),
        4 => (any::<Index>(), prop::sample::select(ends.to_vec())).prop_map(|(at, end)| Mutation::End(at, end)),
        1 => any::<Index>().prop_map(Mutation::Case),
        4 => (any::<Index>(), prop::sample::select(&LINES[..])).prop_map(|(at, line)| Mutation::Line(at, line)),
        2 => (any::<Index>(), any::<Index>()).prop_map(|(one, other)| Mutation::Swap(one, other)),
        1 => prop::sample::select(&METHODS[..]).prop_map(Mutation::Method),
    ]
}

impl Mutation {
    pub fn apply(&self, bytes: &mut Vec<u8>) {
        let length = bytes.len();
        let ends: Vec<usize> = memchr::memmem::find_iter(bytes, b"\r\n").collect();
        match self {
            Self::Insert(at, more) => {
                let at = at.index(length + 1);
                bytes.splice(at..at, more.iter().copied());
            }
            Self::Remove(at, count) if length > 0 => {
                let at = at.index(length);
                bytes.drain(at..(at + count).min(length));
            }
            Self::Replace(at, byte) if length > 0 => bytes[at.index(length)] = *byte,
            Self::Double(at, count) if length > 0 => {
                let at = at.index(length);
                let piece = bytes[at..(at + count).min(length)].to_vec();
                bytes.splice(at..at, piece);
            }
            Self::End(at, end) if !ends.is_empty() => {
                let at = ends[at.index(ends.len())];
                bytes.splice(at..at + 2, end.iter().copied());
            }
            Self::Case(at) if length > 0 => {
                let byte = &mut bytes[at.index(length)];
                *byte ^= if byte.is_ascii_alphabetic() { 0x20 } else { 0 };
            }
            Self::Line(at, line) if !ends.is_empty() => {
                let at = ends[at.index(ends.len())] + 2;
                bytes.splice(at..at, line.iter().copied());
            }
            Self::Swap(one, other) if ends.len() > 1 => {
                let (one, other) = (one.index(ends.len() - 1), other.index(ends.len() - 1));
                let (first, last) = (one.min(other), one.max(other));
                let line = |at: usize| ends[at] + 2..ends[at + 1] + 2;
                let between = &bytes[line(first).end..line(last).start.max(line(first).end)];
                let swapped = [&bytes[line(last)], between, &bytes[line(first)]].concat();
                if first != last {
                    bytes.splice(line(first).start..line(last).end, swapped);
                }
            }
            Self::Method(method) => {
                let end = bytes.iter().position(|byte| *byte == b' ').unwrap_or(0);
                bytes.splice(..end, method.iter().copied());
            }
            _ => {}
        }
    }
}

#[test]
fn every_mutation_changes_something() {
    const TEXT: &[u8] = b"GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\n\r\nbody";
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut changed, mut kinds) = (0, std::collections::HashSet::new());
    for _ in 0..500 {
        let mutation = mutation().new_tree(&mut runner).unwrap().current();
        let mut bytes = TEXT.to_vec();
        mutation.apply(&mut bytes);
        if bytes != TEXT {
            changed += 1;
            kinds.insert(std::mem::discriminant(&mutation));
        }
        if matches!(mutation, Mutation::Swap(..)) {
            let sorted = |bytes: &[u8]| {
                let mut bytes = bytes.to_vec();
                bytes.sort_unstable();
                bytes
            };
            assert_eq!(sorted(&bytes), sorted(TEXT), "{mutation:?}");
        }
    }
    assert!(changed > 400 && kinds.len() == 9, "{changed} {}", kinds.len());
}
