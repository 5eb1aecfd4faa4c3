use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::{Origin, OriginError};

/// Owned [`Origin`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OriginBuf(Box<str>);

impl OriginBuf {
    /// Parses a serialised origin.
    ///
    /// # Errors
    /// Those of [`Origin::parse`].
    pub fn parse(text: &str) -> Result<OriginBuf, OriginError> {
        Origin::parse(text).map(OriginBuf::from)
    }

    /// `https://example.com:8443`
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The borrowed origin. It is parsed again: tens of nanoseconds, no allocation.
    #[must_use]
    #[expect(clippy::expect_used, reason = "built from a parsed origin only, and its text parses to itself")]
    pub fn as_origin(&self) -> Origin<'_> {
        Origin::parse(&self.0).expect("an origin's text parses")
    }
}

impl From<Origin<'_>> for OriginBuf {
    fn from(origin: Origin<'_>) -> OriginBuf {
        OriginBuf(origin.as_str().into())
    }
}

impl FromStr for OriginBuf {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<OriginBuf, OriginError> {
        OriginBuf::parse(text)
    }
}

impl fmt::Display for OriginBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for OriginBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Small fixed set of origins, such as the edge's own.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct OriginSet(Box<[OriginBuf]>);

impl Serialize for OriginSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(|origin| origin.as_str()))
    }
}

impl OriginSet {
    /// A set in the given order; of equal origins, the first is kept.
    #[must_use]
    pub fn new(origins: impl IntoIterator<Item = OriginBuf>) -> OriginSet {
        let mut kept: Vec<OriginBuf> = Vec::new();
        for origin in origins {
            if !kept.contains(&origin) {
                kept.push(origin);
            }
        }
        OriginSet(kept.into())
    }

    /// Whether this very origin is in the set.
    #[must_use]
    pub fn contains(&self, origin: Origin<'_>) -> bool {
        // Both sides are canonical, so equal text means the same origin. With so few of them, a scan is
        // faster than hashing.
        self.0.iter().any(|own| own.as_str() == origin.as_str())
    }

    /// All origins, in the given order.
    pub fn iter(&self) -> impl Iterator<Item = Origin<'_>> {
        self.0.iter().map(OriginBuf::as_origin)
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<OriginBuf> for OriginSet {
    fn from_iter<I: IntoIterator<Item = OriginBuf>>(origins: I) -> OriginSet {
        OriginSet::new(origins)
    }
}
