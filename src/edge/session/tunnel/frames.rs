//! Frame boundaries of a WebSocket (RFC 6455 §5.2), so that the edge can put its own frame between two of the
//! upstream. The content of frames is not read.

/// Tracker of the frames in one direction, for bytes in any pieces. It reads masked and unmasked frames and
/// all three forms of the length. It ignores reserved bits and opcodes, which extensions use.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    place: FramePosition,
    opcode: u8,
    closed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum FramePosition {
    /// Before the first byte of a frame.
    #[default]
    Between,
    /// Before its second byte, which holds the short length.
    Length,
    /// Within a length of 2 or 8 bytes.
    LongLength { left: u8, length: u64, masked: bool },
    /// Within the masking key and the payload.
    Rest(u64),
}

impl Frames {
    /// Tracks `bytes` up to the end of the current frame, and returns their number. At a boundary, the
    /// current frame is the next one.
    pub fn advance(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            if let FramePosition::Rest(left) = self.place {
                let step = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                rest = rest.get(step..).unwrap_or_default();
                self.place = remaining(left - step as u64);
            } else {
                self.place = self.head(byte);
                rest = after;
            }
            if self.place == FramePosition::Between {
                self.closed |= self.opcode == CLOSE;
                break;
            }
        }
        bytes.len() - rest.len()
    }

    /// Tracks all of `bytes`, over any number of frames.
    pub fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.advance(bytes);
            bytes = bytes.get(taken..).unwrap_or_default();
        }
    }

    /// Whether the last tracked byte ended a frame, or there was none.
    pub fn at_boundary(&self) -> bool {
        self.place == FramePosition::Between
    }

    /// Whether a complete Close frame was tracked; nothing may follow it.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    fn head(&mut self, byte: u8) -> FramePosition {
        match self.place {
            FramePosition::Between | FramePosition::Rest(_) => {
                self.opcode = byte & 0x0f;
                FramePosition::Length
            }
            FramePosition::Length => {
                let masked = byte & 0x80 != 0;
                match byte & 0x7f {
                    126 => FramePosition::LongLength { left: 2, length: 0, masked },
                    127 => FramePosition::LongLength { left: 8, length: 0, masked },
                    length => payload(u64::from(length), masked),
                }
            }
            FramePosition::LongLength { left, length, masked } => {
                let length = length << 8 | u64::from(byte);
                if left > 1 {
                    FramePosition::LongLength { left: left - 1, length, masked }
                } else {
                    payload(length, masked)
                }
            }
        }
    }
}

const CLOSE: u8 = 0x8;
const MASKING_KEY: u64 = 4;

fn payload(length: u64, masked: bool) -> FramePosition {
    // A length with the highest bit set is an error that the browser finds. Here it only must not overflow.
    remaining(if masked { length.saturating_add(MASKING_KEY) } else { length })
}

fn remaining(left: u64) -> FramePosition {
    if left == 0 { FramePosition::Between } else { FramePosition::Rest(left) }
}

/// Close frame of the edge's own (RFC 6455 §5.5.1), as a server sends it: not masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close {
    /// The status code (RFC 6455 §7.4.1).
    pub code: u16,
    /// The reason for the page; at most 123 bytes, the maximum of a control frame.
    pub reason: &'static str,
}

impl Close {
    /// The rules no longer allow this embedder.
    pub const REVOKED: Self = Self { code: 1008, reason: "origin no longer allowed" };
    /// The rules are too old to say who may embed.
    pub const STALE: Self = Self { code: 1008, reason: "the rules are out of date" };
    /// The tunnel was idle for too long.
    pub const IDLE: Self = Self { code: 1001, reason: "idle for too long" };
    /// The tunnel has reached its maximum lifetime.
    pub const EXPIRED: Self = Self { code: 1001, reason: "open for too long" };

    /// The server stops; another one may take over.
    pub const STOPPING: Self = Self { code: 1001, reason: "the server is stopping" };

    /// The process that had taken over is gone, and the service starts again.
    pub const RESTARTED: Self = Self { code: 1012, reason: "the service is restarting" };

    /// The frame's bytes.
    pub fn to_bytes(self) -> Vec<u8> {
        let reason = self.reason.as_bytes();
        let reason = reason.get(..123).unwrap_or(reason);
        let length = u8::try_from(2 + reason.len()).unwrap_or(125);
        let mut frame = vec![0x80 | CLOSE, length];
        frame.extend(self.code.to_be_bytes());
        frame.extend(reason);
        frame
    }
}

#[cfg(test)]
mod tests;
