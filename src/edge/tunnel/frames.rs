//! Where the frames of a WebSocket begin and end (RFC 6455 §5.2), so that the edge can put one of its own between
//! two of the upstream's. What is in a frame is not looked at.

/// Follows one direction of a WebSocket, however its bytes are cut into pieces. Masked and unmasked frames and
/// all three forms of the length are understood; reserved bits and opcodes, which extensions use, are passed over.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    place: Place,
    opcode: u8,
    closed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Before the first byte of a frame.
    #[default]
    Between,
    /// Before its second byte, which holds the short length.
    Length,
    /// Within a length of 2 or 8 bytes.
    LongLength { left: u8, length: u64, masked: bool },
    /// Within masking key and payload.
    Rest(u64),
}

impl Frames {
    /// Follows `bytes` to the end of the frame under way, at most, and says how many they were. At a boundary the
    /// frame under way is the next one.
    pub fn advance(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            if let Place::Rest(left) = self.place {
                let step = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                rest = rest.get(step..).unwrap_or_default();
                self.place = remaining(left - step as u64);
            } else {
                self.place = self.head(byte);
                rest = after;
            }
            if self.place == Place::Between {
                self.closed |= self.opcode == CLOSE;
                break;
            }
        }
        bytes.len() - rest.len()
    }

    /// Follows all of `bytes`, over any number of frames.
    pub fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.advance(bytes);
            bytes = bytes.get(taken..).unwrap_or_default();
        }
    }

    /// Whether the last byte that was followed is the last of its frame, or none was.
    pub fn at_boundary(&self) -> bool {
        self.place == Place::Between
    }

    /// Whether a whole Close frame went by: nothing may follow it.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    fn head(&mut self, byte: u8) -> Place {
        match self.place {
            Place::Between | Place::Rest(_) => {
                self.opcode = byte & 0x0f;
                Place::Length
            }
            Place::Length => {
                let masked = byte & 0x80 != 0;
                match byte & 0x7f {
                    126 => Place::LongLength { left: 2, length: 0, masked },
                    127 => Place::LongLength { left: 8, length: 0, masked },
                    length => payload(u64::from(length), masked),
                }
            }
            Place::LongLength { left, length, masked } => {
                let length = length << 8 | u64::from(byte);
                if left > 1 {
                    Place::LongLength { left: left - 1, length, masked }
                } else {
                    payload(length, masked)
                }
            }
        }
    }
}

const CLOSE: u8 = 0x8;
const MASKING_KEY: u64 = 4;

fn payload(length: u64, masked: bool) -> Place {
    // A length with the highest bit set is an error that the browser finds; here it only must not wrap around.
    remaining(if masked { length.saturating_add(MASKING_KEY) } else { length })
}

fn remaining(left: u64) -> Place {
    if left == 0 { Place::Between } else { Place::Rest(left) }
}

/// A Close frame of the edge's own (RFC 6455 §5.5.1), as a server sends it: not masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close {
    /// The status code (RFC 6455 §7.4.1).
    pub code: u16,
    /// What the page is told; at most 123 bytes, which is what fits a control frame.
    pub reason: &'static str,
}

impl Close {
    /// The rules allow this embedder no more.
    pub const REVOKED: Self = Self { code: 1008, reason: "origin no longer allowed" };
    /// Nothing went either way for too long.
    pub const IDLE: Self = Self { code: 1001, reason: "idle for too long" };
    /// It was open for as long as the edge lets one.
    pub const EXPIRED: Self = Self { code: 1001, reason: "open for too long" };

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
