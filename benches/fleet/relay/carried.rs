//! What a link carries: bytes, and messages of the NATS protocol.

use std::ops::Sub;
use std::sync::atomic::{AtomicU64, Ordering};

/// Verbs that a payload follows. All others are a line alone.
const MESSAGES: [&[u8]; 4] = [b"MSG", b"HMSG", b"PUB", b"HPUB"];
/// The line break behind a payload.
const BREAK: usize = 2;

/// What one direction of a link has carried.
#[derive(Clone, Copy, Debug, Default)]
pub struct Carried {
    pub bytes: u64,
    pub messages: u64,
}

impl Sub for Carried {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self { bytes: self.bytes - earlier.bytes, messages: self.messages - earlier.messages }
    }
}

/// Counts of one direction, over all its connections.
#[derive(Default)]
pub struct Counter {
    bytes: AtomicU64,
    messages: AtomicU64,
}

impl Counter {
    pub fn count(&self, bytes: usize, messages: u64) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.messages.fetch_add(messages, Ordering::Relaxed);
    }

    pub fn carried(&self) -> Carried {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Carried { bytes: get(&self.bytes), messages: get(&self.messages) }
    }
}

/// Reader of one direction of one connection, in plain text: it finds the messages in what comes piece by piece.
#[derive(Default)]
pub struct Reader {
    /// A line whose end has not come yet.
    line: Vec<u8>,
    /// Bytes of a payload that are still to come.
    payload: usize,
}

impl Reader {
    /// How many messages begin in this piece, or have begun in a line that it ends.
    pub fn messages(&mut self, mut bytes: &[u8]) -> u64 {
        let mut messages = 0;
        loop {
            let skipped = self.payload.min(bytes.len());
            self.payload -= skipped;
            bytes = &bytes[skipped..];
            let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
                self.line.extend_from_slice(bytes);
                return messages;
            };
            self.line.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            if let Some(length) = payload(&self.line) {
                self.payload = length + BREAK;
                messages += 1;
            }
            self.line.clear();
        }
    }
}

/// The length of the payload behind this line; `None`: it is no message.
fn payload(line: &[u8]) -> Option<usize> {
    let mut words = line.trim_ascii().split(|byte| *byte == b' ');
    words.next().filter(|verb| MESSAGES.contains(verb))?;
    std::str::from_utf8(words.next_back()?).ok()?.parse().ok()
}
