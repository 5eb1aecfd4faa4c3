//! Limits in the rule book, in few bytes: the mode, then each limit in the order of parts and kinds; 0 for none.

use std::num::NonZeroU32;

use super::{LimitKind, LimitMode, LimitPart, Limits, PartLimits};

/// Limits of a widget in the rule book. They are read only where a request opens something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedLimits<'a>(pub(crate) &'a [u8]);

impl PackedLimits<'_> {
    /// The limits.
    pub fn read(self) -> Limits {
        let Some((mode, numbers)) = self.0.split_first() else { return Limits::default() };
        let ([address, embedder, widget], _) = numbers.as_chunks().0.as_chunks() else {
            return Limits::default();
        };
        let number = |bytes: &[u8; 4]| NonZeroU32::new(u32::from_le_bytes(*bytes));
        let part = |[sessions, per_minute, per_day]: &[[u8; 4]; 3]| PartLimits {
            sessions: number(sessions),
            opens_per_minute: number(per_minute),
            opens_per_day: number(per_day),
        };
        let mode = if *mode == 0 { LimitMode::Enforce } else { LimitMode::Monitor };
        Limits { mode, widget: part(widget), embedder: part(embedder), address: part(address) }
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
