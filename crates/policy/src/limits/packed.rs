//! Limits in the rule book, in few bytes: the mode, then each limit in the order of parts and kinds; 0 for none.

use std::num::NonZeroU32;

use super::{LimitKind, LimitMode, LimitPart, Limits, PartLimits};

/// Limits of a widget in the rule book. They are read only where a request opens something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedLimits<'a>(pub(crate) &'a [u8]);

impl PackedLimits<'_> {
    /// The limits.
    pub fn read(self) -> Limits {
        let Some((mode, rest)) = self.0.split_first() else { return Limits::default() };
        let (numbers, _) = rest.as_chunks();
        let mut numbers = numbers.iter();
        let mut next = || NonZeroU32::new(u32::from_le_bytes(*numbers.next()?));
        let mut part = || PartLimits { sessions: next(), opens_per_minute: next(), opens_per_day: next() };
        let mode = if *mode == 0 { LimitMode::Enforce } else { LimitMode::Monitor };
        let (address, embedder, widget) = (part(), part(), part());
        Limits { mode, widget, embedder, address }
    }
}

impl Limits {
    /// The bytes that [`PackedLimits::read`] reads.
    pub(crate) fn pack(&self) -> Vec<u8> {
        let mut packed = vec![u8::from(self.mode == LimitMode::Monitor)];
        for part in LimitPart::ALL {
            for kind in LimitKind::ALL {
                packed.extend(self.of(part).of(kind).map_or(0, NonZeroU32::get).to_le_bytes());
            }
        }
        packed
    }
}
