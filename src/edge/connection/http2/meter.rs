//! Meter of a connection's frames. The library takes any number of frames that cost work and carry nothing of a message
//! (CVE-2019-9512, -9513, -9515 and their kin), and any number of requests that are taken back (CVE-2023-44487). This
//! bounds both, by the minute.
//!
//! What an honest client sends is explained by its requests and its answers: a browser gives a request a priority, and
//! answers the frames of an answer with room for more. So requests and answers allow more frames.

use std::time::Duration;

use tokio::time::Instant;

use super::frames::{CONTINUATION, DATA, END_HEADERS, END_STREAM, FrameHead, FrameWalk, HEADERS, RST_STREAM};

/// Period that the bounds are for.
const PERIOD: Duration = Duration::from_secs(60);

/// Number of frames that a request explains: its priority, changes of that, and its windows.
const OF_REQUEST: u64 = 8;

/// Number of frames that one frame of an answer explains: two windows, of the stream and of the connection, and a
/// measurement of the delay.
const OF_ANSWER: u64 = 3;

/// Length of the part of a request's body that explains one more frame: 1 KiB, as a power of two.
const OF_BODY: u32 = 10;

/// Maximum number of explained frames that may come later than what explains them: a large window is 16 MiB, which are a
/// thousand frames of an answer.
const MOST_SAVED: u64 = 10_000;

/// Bounds on the frames of a client, by the minute.
#[derive(Clone, Copy, Debug)]
pub struct FrameBounds {
    /// Maximum number of requests that are taken back.
    pub resets: u32,
    /// Maximum number of frames that carry nothing of a message, beyond those that are explained.
    pub control: u32,
}

/// Excess of a client, for which its connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// It takes back too many requests.
    Resets,
    /// Its frames carry too little.
    ControlFrames,
}

/// Number of frames that are left in a period.
#[derive(Debug)]
struct FrameBudget {
    left: u64,
    limit: u64,
    /// Maximum number of frames beyond the limit that are saved up for later.
    saved: u64,
    /// The beginning of the period.
    since: Instant,
}

impl FrameBudget {
    fn new(limit: u32, saved: u64, since: Instant) -> Self {
        Self { left: limit.into(), limit: limit.into(), saved, since }
    }

    /// Takes one frame. `false`: none was left.
    fn take(&mut self) -> bool {
        if self.left == 0 {
            // The clock is read here only, so a period may be longer than its name, but never shorter.
            let now = Instant::now();
            if now.saturating_duration_since(self.since) < PERIOD {
                return false;
            }
            (self.left, self.since) = (self.limit, now);
        }
        self.left -= 1;
        true
    }

    /// Allows more, though no more than can be explained by what is under way.
    fn allow(&mut self, more: u64) {
        self.left = self.left.saturating_add(more).min(self.limit + self.saved);
    }
}

/// Meter of one connection.
#[derive(Debug)]
pub struct FrameMeter {
    received: FrameWalk,
    sent: FrameWalk,
    resets: FrameBudget,
    control: FrameBudget,
    /// Number of heads of requests that have begun; it may wrap.
    heads: u32,
    /// The last head, if it is not complete.
    open: Option<u32>,
    /// The last frame of the last head is under way or has arrived.
    ends: bool,
    excess: Option<Excess>,
}

impl FrameMeter {
    /// A meter of a connection that begins, after its preface.
    pub fn new(bounds: FrameBounds) -> Self {
        let now = Instant::now();
        Self {
            received: FrameWalk::default(),
            sent: FrameWalk::default(),
            resets: FrameBudget::new(bounds.resets, 0, now),
            control: FrameBudget::new(bounds.control, MOST_SAVED, now),
            heads: 0,
            open: None,
            ends: false,
            excess: None,
        }
    }

    /// Counts what the client has sent.
    pub fn received(&mut self, bytes: &[u8]) {
        let Self { received, resets, control, heads, open, ends, excess, .. } = self;
        received.walk(bytes, |FrameHead { kind, flags, length }| {
            // What follows the last frame of a head shows that all of it is there.
            if *ends {
                (*open, *ends) = (None, false);
            }
            let is_within = match kind {
                HEADERS => {
                    *heads = heads.wrapping_add(1);
                    (*open, *ends) = (Some(*heads), flags & END_HEADERS != 0);
                    control.allow(OF_REQUEST);
                    true
                }
                DATA if length > 0 || flags & END_STREAM != 0 => {
                    control.allow(length as u64 >> OF_BODY);
                    true
                }
                RST_STREAM => {
                    if !resets.take() {
                        excess.get_or_insert(Excess::Resets);
                    }
                    true
                }
                _ => {
                    *ends |= kind == CONTINUATION && flags & END_HEADERS != 0;
                    control.take()
                }
            };
            if !is_within {
                excess.get_or_insert(Excess::ControlFrames);
            }
        });
        if *ends && received.is_between_frames() {
            *open = None;
        }
    }

    /// Notes what the client is sent.
    pub fn sent(&mut self, bytes: &[u8]) {
        let Self { control, resets, .. } = self;
        self.sent.walk(bytes, |frame| {
            if matches!(frame.kind, DATA | HEADERS) {
                control.allow(OF_ANSWER);
            }
            // A request that was answered may be taken back: so a page ends a stream that it has heard enough of.
            if frame.kind == HEADERS {
                resets.allow(1);
            }
        });
    }

    /// The number of the head that has begun and is not complete.
    pub fn open_head(&self) -> Option<u32> {
        self.open
    }

    /// The excess of the client.
    pub fn excess(&self) -> Option<Excess> {
        self.excess
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const PING: u8 = 6;
    const WINDOW_UPDATE: u8 = 8;

    fn meter(resets: u32, control: u32) -> FrameMeter {
        FrameMeter::new(FrameBounds { resets, control })
    }

    fn frame(kind: u8, flags: u8, length: u16) -> Vec<u8> {
        let [high, low] = length.to_be_bytes();
        let mut bytes = vec![0, high, low, kind, flags, 0, 0, 0, 1];
        bytes.resize(bytes.len() + usize::from(length), 0);
        bytes
    }

    #[tokio::test(start_paused = true)]
    async fn frames_are_counted_by_the_minute() {
        for (kind, flags, length, excess) in [
            (RST_STREAM, 0, 4, Excess::Resets),
            (PING, 0, 8, Excess::ControlFrames),
            (WINDOW_UPDATE, 0, 4, Excess::ControlFrames),
            (DATA, 0, 0, Excess::ControlFrames),
            (CONTINUATION, 0, 10, Excess::ControlFrames),
            (2, 0, 5, Excess::ControlFrames),
            (4, 0, 6, Excess::ControlFrames),
            (200, 255, 0, Excess::ControlFrames),
        ] {
            let mut meter = meter(10, 10);
            for _ in 0..3 {
                (0..10).for_each(|_| meter.received(&frame(kind, flags, length)));
                assert_eq!(meter.excess(), None, "{kind}");
                advance(PERIOD).await;
            }
            (0..10).for_each(|_| meter.received(&frame(kind, flags, length)));
            advance(PERIOD / 2).await;
            meter.received(&frame(kind, flags, length));
            assert_eq!(meter.excess(), Some(excess), "{kind}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn messages_are_not_counted_and_allow_more() {
        let mut meter = meter(1, 1);
        for _ in 0..100 {
            meter.received(&frame(HEADERS, END_HEADERS, 30));
            meter.received(&frame(DATA, 0, 1));
            meter.received(&frame(DATA, END_STREAM, 0));
        }
        (0..=100 * OF_REQUEST).for_each(|_| meter.received(&frame(PING, 0, 8)));
        for _ in 0..100 {
            meter.sent(&frame(HEADERS, END_HEADERS, 30));
            meter.sent(&frame(DATA, 0, 7));
            meter.sent(&frame(PING, 1, 8));
        }
        (0..200 * OF_ANSWER).for_each(|_| meter.received(&frame(WINDOW_UPDATE, 0, 4)));
        meter.received(&frame(DATA, 0, 5 << OF_BODY));
        (0..5).for_each(|_| meter.received(&frame(PING, 0, 8)));
        assert_eq!(meter.excess(), None);
        meter.received(&frame(PING, 0, 8));
        assert_eq!(meter.excess(), Some(Excess::ControlFrames));
    }

    #[tokio::test(start_paused = true)]
    async fn heads_are_open_until_their_last_byte() {
        let mut meter = meter(10, 10);
        let head = frame(HEADERS, END_HEADERS, 30);
        meter.received(&head[..20]);
        let first = meter.open_head();
        assert!(first.is_some());
        meter.received(&head[20..]);
        assert_eq!(meter.open_head(), None);
        meter.received(&frame(HEADERS, 0, 5));
        let second = meter.open_head();
        assert!(second.is_some() && second != first);
        meter.received(&frame(CONTINUATION, 0, 5));
        assert_eq!(meter.open_head(), second);
        let last = frame(CONTINUATION, END_HEADERS, 5);
        meter.received(&last[..12]);
        assert_eq!(meter.open_head(), second);
        meter.received(&last[12..]);
        meter.received(&frame(PING, 0, 8)[..11]);
        assert_eq!(meter.open_head(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_is_complete_whatever_the_read_ends_in() {
        let mut meter = meter(10, 10);
        let head = frame(HEADERS, END_HEADERS, 30);
        meter.received(&[&head[..], &frame(DATA, 0, 500)[..100]].concat());
        assert_eq!(meter.open_head(), None);
        let last = [frame(HEADERS, 0, 5), frame(CONTINUATION, END_HEADERS, 5)].concat();
        meter.received(&[&vec![0; 409][..], &last[..20]].concat());
        assert!(meter.open_head().is_some());
        meter.received(&[&last[20..], &frame(DATA, 0, 500)[..30]].concat());
        assert_eq!(meter.open_head(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_answered_may_be_taken_back() {
        let mut meter = meter(3, 10);
        for _ in 0..100 {
            meter.received(&frame(HEADERS, END_HEADERS, 30));
            meter.sent(&frame(HEADERS, END_HEADERS, 30));
            meter.received(&frame(RST_STREAM, 0, 4));
        }
        assert_eq!(meter.excess(), None);
        (0..3).for_each(|_| meter.received(&frame(RST_STREAM, 0, 4)));
        assert_eq!(meter.excess(), Some(Excess::Resets), "nothing is saved up");
    }
}
