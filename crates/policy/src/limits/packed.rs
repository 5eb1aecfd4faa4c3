//! Limits in the rule book, in few bytes: the mode, then each limit in the order of parts and kinds; 0 for none.

use std::num::NonZeroU32;

use super::{LimitKind, LimitMode, LimitPart, Limits, PartLimits};
use crate::varint;

/// Limits of a widget in the rule book. They are read only where a request opens something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedLimits<'a>(pub(crate) &'a [u8]);

impl PackedLimits<'_> {
    /// The limits.
    pub fn read(self) -> Limits {
        let Some((mode, mut rest)) = self.0.split_first() else { return Limits::default() };
        let mut next = || {
            let (limit, after) = varint::read(rest)?;
            rest = after;
            NonZeroU32::new(u32::try_from(limit).ok()?)
        };
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
                varint::write(&mut packed, self.of(part).of(kind).map_or(0, |limit| limit.get().into()));
            }
        }
        packed
    }
}
