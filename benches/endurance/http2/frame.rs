//! Frames (RFC 9113 §4.1).

/// What a client begins with.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes before a payload.
pub const HEAD: usize = 9;

/// Kinds of frames.
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
    /// One that no specification knows.
    pub const UNKNOWN: u8 = 0xfa;
}

/// Flags of frames.
pub mod flags {
    pub const NONE: u8 = 0;
    pub const ACK: u8 = 1;
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;
}

/// Settings (RFC 9113 §6.5.2).
pub mod settings_of {
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
}

/// A frame as bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    let mut bytes = Vec::with_capacity(HEAD + payload.len());
    bytes.extend_from_slice(&length[1..]);
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A SETTINGS frame with these.
pub fn settings(all: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> = all
        .iter()
        .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect();
    frame(kind::SETTINGS, flags::NONE, 0, &payload)
}

/// A frame that was read.
#[derive(Debug)]
pub struct Frame<'b> {
    pub kind: u8,
    pub flags: u8,
    pub payload: &'b [u8],
}

impl<'b> Frame<'b> {
    /// The first one of these bytes, and how many it takes; `None` as long as it isn't whole.
    pub fn parse(bytes: &'b [u8]) -> Option<(Self, usize)> {
        let &[a, b, c, kind, flags, _, _, _, _, ref rest @ ..] = bytes else { return None };
        let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).ok()?;
        let payload = rest.get(..length)?;
        Some((Self { kind, flags, payload }, HEAD + length))
    }

    /// The payload's number at this place.
    pub fn number(&self, at: usize) -> u32 {
        let bytes = self.payload.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_be_bytes)
    }
}
