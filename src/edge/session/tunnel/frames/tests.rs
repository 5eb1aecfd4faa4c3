#![allow(clippy::unwrap_used)]

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// A frame as RFC 6455 §5.2 draws it, with its length in the form of this many bytes where that fits.
fn frame(first: u8, masked: bool, wide: usize, payload: usize) -> Vec<u8> {
    let mask = if masked { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match payload {
        0..=125 if wide == 0 => bytes.push(mask | u8::try_from(payload).unwrap()),
        0..=65_535 if wide <= 1 => {
            bytes.push(mask | 126);
            bytes.extend(u16::try_from(payload).unwrap().to_be_bytes());
        }
        _ => {
            bytes.push(mask | 127);
            bytes.extend((payload as u64).to_be_bytes());
        }
    }
    if masked {
        bytes.extend([1, 2, 3, 4]);
    }
    bytes.extend(std::iter::repeat_n(0x88, payload));
    bytes
}

/// The places in `stream` at which a parser that gets it in these pieces sees a frame end.
fn boundaries(stream: &[u8], cuts: &[usize]) -> Vec<usize> {
    let mut frames = Frames::default();
    let mut found = Vec::new();
    let mut at = 0;
    let ends = cuts.iter().map(|cut| cut % (stream.len() + 1)).chain([stream.len()]);
    let mut ends: Vec<usize> = ends.collect();
    ends.sort_unstable();
    for end in ends {
        while at < end {
            let step = frames.advance(&stream[at..end]);
            assert!(step > 0);
            at += step;
            if frames.at_boundary() {
                found.push(at);
            } else {
                assert_eq!(at, end, "it stops early at boundaries only");
            }
        }
    }
    found
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop_oneof![0..200_usize, 120..130_usize, 65_500..65_600_usize];
    (any::<u8>(), any::<bool>(), 0..3_usize, payload)
        .prop_map(|(first, masked, wide, payload)| frame(first, masked, wide, payload))
}

proptest! {
    #[test]
    fn boundaries_are_where_frames_end_however_the_stream_is_cut(
        frames in vec(any_frame(), 1..6),
        cuts in vec(any::<usize>(), 0..40),
        tail in 0..20_usize,
    ) {
        let mut ends = Vec::new();
        let mut stream = Vec::new();
        for frame in &frames {
            stream.extend(frame);
            ends.push(stream.len());
        }
        let unfinished = frame(0x82, true, 2, 30);
        stream.extend(&unfinished[..tail]);
        prop_assert_eq!(boundaries(&stream, &cuts), ends);
    }

    #[test]
    fn byte_by_byte_is_no_different(frames in vec(any_frame(), 1..3)) {
        let stream = frames.concat();
        let each: Vec<usize> = (0..stream.len()).collect();
        prop_assert_eq!(boundaries(&stream, &each), boundaries(&stream, &[]));
    }
}

#[test]
fn all_forms_of_the_length() {
    for payload in [0, 1, 125, 126, 127, 65_535, 65_536] {
        for masked in [false, true] {
            for wide in 0..3 {
                let bytes = frame(0x81, masked, wide, payload);
                let mut frames = Frames::default();
                let (last, before) = bytes.split_last().unwrap();
                assert_eq!(frames.advance(before), before.len());
                assert!(!frames.at_boundary(), "{payload} {masked} {wide}");
                assert_eq!(frames.advance(&[*last, 0x81]), 1);
                assert!(frames.at_boundary(), "{payload} {masked} {wide}");
            }
        }
    }
}

#[test]
fn a_length_beyond_all_bounds_is_no_boundary() {
    let mut frames = Frames::default();
    let head = [0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(frames.advance(&head), head.len());
    assert_eq!(frames.advance(&[0; 4096]), 4096);
    assert!(!frames.at_boundary());
}

#[test]
fn only_a_whole_close_frame_closes() {
    let close = Close::REVOKED.to_bytes();
    let mut frames = Frames::default();
    frames.advance(&frame(0x89, false, 0, 8));
    assert!(!frames.is_closed(), "a ping is none, whatever it holds");
    frames.advance(&close[..close.len() - 1]);
    assert!(!frames.is_closed());
    frames.advance(&close[close.len() - 1..]);
    assert!(frames.at_boundary() && frames.is_closed());
}

#[test]
fn the_edge_s_own_close_frames_are_control_frames() {
    for close in [Close::REVOKED, Close::IDLE, Close::EXPIRED] {
        let bytes = close.to_bytes();
        assert!(bytes.len() <= 2 + 125 && bytes[0] == 0x88);
        assert_eq!(usize::from(bytes[1]), bytes.len() - 2);
        assert_eq!(bytes[2..4], close.code.to_be_bytes());
        assert_eq!(&bytes[4..], close.reason.as_bytes());
    }
}
