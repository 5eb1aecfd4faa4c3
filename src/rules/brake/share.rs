//! The share of all widgets that may be touched without a word.

/// Share of all widgets that one change may touch without being confirmed: `policy.brake`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrakeShare {
    /// In hundredths of a percent.
    hundredths: u16,
}

impl BrakeShare {
    /// The share of this many hundredths of a percent; at most all widgets.
    pub const fn of_hundredths(hundredths: u16) -> Self {
        Self { hundredths: if hundredths > Self::ALL { Self::ALL } else { hundredths } }
    }

    /// In hundredths of a percent.
    pub const fn hundredths(self) -> u16 {
        self.hundredths
    }

    /// Whether so many are more than this share of all.
    pub(super) fn is_exceeded_by(self, some: usize, all: usize) -> bool {
        let (share, all) = (u128::from(self.hundredths), all as u128);
        some as u128 * u128::from(Self::ALL) > share * all
    }

    const ALL: u16 = 10_000;
}

impl Default for BrakeShare {
    /// A tenth.
    fn default() -> Self {
        Self::of_hundredths(1_000)
    }
}
