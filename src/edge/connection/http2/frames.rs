//! Walk over the frames of one direction of a connection (RFC 9113 §4.1), in pieces of any size.

/// Length of the head of a frame, in bytes.
const HEAD: usize = 9;

/// Frame that carries a part of a body (RFC 9113 §6.1).
pub const DATA: u8 = 0;
/// Frame that begins the fields of a message (§6.2).
pub const HEADERS: u8 = 1;
/// Frame by which a request is taken back (§6.4).
pub const RST_STREAM: u8 = 3;
/// Frame that goes on with fields (§6.10).
pub const CONTINUATION: u8 = 9;

/// Flag of the last frame of a message, on [`DATA`] and [`HEADERS`].
pub const END_STREAM: u8 = 0x1;
/// Flag of the last frame of fields, on [`HEADERS`] and [`CONTINUATION`].
pub const END_HEADERS: u8 = 0x4;

/// Head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// The type.
    pub kind: u8,
    /// The flags.
    pub flags: u8,
    /// The length of the payload, in bytes.
    pub length: usize,
}

/// Place in the frames of one direction.
#[derive(Debug, Default)]
pub struct FrameWalk {
    /// Number of bytes of the current payload that are still to come.
    payload: usize,
    /// The beginning of a head that is not complete.
    head: [u8; HEAD],
    /// The length of that beginning.
    begun: usize,
}

impl FrameWalk {
    /// Walks on over these bytes, and tells each head that is complete with them.
    pub fn walk(&mut self, mut bytes: &[u8], mut told: impl FnMut(FrameHead)) {
        loop {
            let Some(after) = bytes.get(self.payload..) else {
                self.payload -= bytes.len();
                return;
            };
            self.payload = 0;
            if self.begun > 0 {
                let Some(rest) = self.complete(after) else { return };
                bytes = rest;
                self.begun = 0;
                let head = self.head;
                told(self.enter(head));
            } else if let Some((head, rest)) = after.split_first_chunk() {
                bytes = rest;
                told(self.enter(*head));
            } else {
                let _ = self.complete(after);
                return;
            }
        }
    }

    /// Whether the payload of the last head has arrived in full.
    pub fn is_between_frames(&self) -> bool {
        self.payload == 0
    }

    /// Takes what the head lacks. Returns the bytes after it; `None`: it is not complete yet.
    fn complete<'b>(&mut self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let lacking = self.head.get_mut(self.begun..)?;
        let taken = lacking.len().min(bytes.len());
        let (begin, rest) = bytes.split_at_checked(taken)?;
        lacking.get_mut(..taken)?.copy_from_slice(begin);
        self.begun += taken;
        (self.begun == HEAD).then_some(rest)
    }

    fn enter(&mut self, [high, middle, low, kind, flags, ..]: [u8; HEAD]) -> FrameHead {
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        self.payload = length;
        FrameHead { kind, flags, length }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(frames: &[FrameHead]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for frame in frames {
            let length = u32::try_from(frame.length).unwrap_or_default().to_be_bytes();
            bytes.extend_from_slice(&length[1..]);
            // The number of the stream, and a payload that looks like heads.
            bytes.extend_from_slice(&[frame.kind, frame.flags, 0, 0, 0, 1]);
            bytes.extend(std::iter::repeat_n(1, frame.length));
        }
        bytes
    }

    proptest! {
        #[test]
        fn frames_are_found_however_they_are_cut(
            frames in prop::collection::vec((any::<u8>(), any::<u8>(), 0..40_usize), 0..12),
            cuts in prop::collection::vec(0..30_usize, 1..8),
        ) {
            let frames: Vec<FrameHead> =
                frames.into_iter().map(|(kind, flags, length)| FrameHead { kind, flags, length }).collect();
            let bytes = bytes(&frames);
            let (mut walk, mut found, mut rest) = (FrameWalk::default(), Vec::new(), &bytes[..]);
            let mut cuts = cuts.into_iter().chain([1]).cycle();
            while !rest.is_empty() {
                let (piece, later) = rest.split_at(cuts.next().unwrap_or(1).min(rest.len()));
                walk.walk(piece, |head| found.push(head));
                rest = later;
            }
            prop_assert_eq!(found, frames);
            prop_assert!(walk.is_between_frames());
        }
    }

    #[test]
    fn a_payload_is_awaited() {
        let (mut walk, mut found) = (FrameWalk::default(), Vec::new());
        let head = FrameHead { kind: HEADERS, flags: END_HEADERS, length: 3 };
        let bytes = bytes(&[head]);
        walk.walk(&bytes[..11], |head| found.push(head));
        assert!(!walk.is_between_frames());
        walk.walk(&bytes[11..], |head| found.push(head));
        assert!(walk.is_between_frames());
        assert_eq!(found, [head]);
    }
}
