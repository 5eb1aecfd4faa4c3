//! Widget ids.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Maximum length of an id, in characters.
pub const MAX_ID_CHARS: usize = 64;

/// Widget id: 1 to 64 characters of `A-Z a-z 0-9 _ -`, case-sensitive.
#[derive(Clone)]
pub struct WidgetId(IdText);

/// Text of an id. Short ids, as most are, are stored in place and compared without following a pointer.
#[derive(Clone)]
enum IdText {
    Short { length: u8, bytes: [u8; SHORT_ID] },
    Long(Box<str>),
}

/// Maximum length of a short id: with its length and the variant's tag it takes three words.
const SHORT_ID: usize = 22;

impl WidgetId {
    /// Parses an id.
    ///
    /// # Errors
    ///
    /// `text` is not an id.
    pub fn parse(text: &str) -> Result<Self, WidgetIdError> {
        if !Self::is_valid(text) {
            return Err(WidgetIdError);
        }
        let mut bytes = [0; SHORT_ID];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(text.as_bytes());
                Ok(Self(IdText::Short { length, bytes }))
            }
            _ => Ok(Self(IdText::Long(text.into()))),
        }
    }

    /// Whether `text` is an id; allocates nothing.
    pub fn is_valid(text: &str) -> bool {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        (1..=MAX_ID_CHARS).contains(&text.len()) && text.bytes().all(allowed)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        // The id is ASCII, because it was parsed.
        str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The id as ASCII bytes, for comparisons.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            IdText::Short { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or_default(),
            IdText::Long(text) => text.as_bytes(),
        }
    }
}

impl fmt::Debug for WidgetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WidgetId").field(&self.as_str()).finish()
    }
}

impl PartialEq for WidgetId {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for WidgetId {}

impl PartialOrd for WidgetId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for WidgetId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for WidgetId {
    /// Hashes like the id's text, so that the text can be looked up.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Borrow<str> for WidgetId {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for WidgetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for WidgetId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for WidgetId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Error of a text that is not a widget id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a widget's id is 1 to 64 characters of `A-Z a-z 0-9 _ -`")]
pub struct WidgetIdError;
