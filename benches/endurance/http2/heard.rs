//! What a server says on a connection, counted.

use std::collections::BTreeMap;
use std::fmt;

use super::frame::{Frame, kind};
use super::head::status;
use super::{flags, frame};

/// Something that a client may have to answer, or that ends a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A stream is over.
    Over,
    /// What to send back.
    Reply(Vec<u8>),
}

/// All that was heard.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    bytes: Vec<u8>,
    /// Answers by status; 0: one that could not be told.
    pub statuses: BTreeMap<u16, u64>,
    /// Streams that the server has reset, by code.
    pub resets: BTreeMap<u32, u64>,
    /// What the last GOAWAY said.
    pub goaway: Option<u32>,
    /// Bytes of bodies.
    pub data: u64,
}

impl Heard {
    /// Takes what was read.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<Event> {
        self.bytes.extend_from_slice(bytes);
        let held = std::mem::take(&mut self.bytes);
        let (mut at, mut events) = (0, Vec::new());
        while let Some((frame, length)) = Frame::parse(held.get(at..).unwrap_or_default()) {
            self.note(&frame, &mut events);
            at += length;
        }
        self.bytes = held.get(at..).unwrap_or_default().to_vec();
        events
    }

    fn note(&mut self, heard: &Frame<'_>, events: &mut Vec<Event>) {
        match heard.kind {
            kind::HEADERS => *self.statuses.entry(status(heard.payload).unwrap_or(0)).or_default() += 1,
            kind::RST_STREAM => {
                *self.resets.entry(heard.number(0)).or_default() += 1;
                events.push(Event::Over);
            }
            kind::GOAWAY => self.goaway = Some(heard.number(4)),
            kind::DATA => self.data += heard.payload.len() as u64,
            kind::SETTINGS if heard.flags & flags::ACK == 0 => {
                events.push(Event::Reply(frame(kind::SETTINGS, flags::ACK, 0, &[])));
            }
            _ => {}
        }
        if matches!(heard.kind, kind::HEADERS | kind::DATA) && heard.flags & flags::END_STREAM != 0 {
            events.push(Event::Over);
        }
    }
}

impl fmt::Display for Heard {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statuses = self.statuses.iter().map(|(status, count)| match status {
            0 => format!("{count} answers"),
            status => format!("{count} x {status}"),
        });
        let resets = self.resets.iter().map(|(code, count)| format!("{count} resets ({})", name(*code)));
        out.write_str(&statuses.chain(resets).collect::<Vec<_>>().join(", "))
    }
}

/// The name of an error code (RFC 9113 §7).
pub fn name(code: u32) -> String {
    let names = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
    ];
    let known = usize::try_from(code).ok().and_then(|code| names.get(code));
    known.map_or_else(|| format!("code {code}"), |name| (*name).to_owned())
}
