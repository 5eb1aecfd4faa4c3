//! Positions in JSON text: from a JSON Pointer (RFC 6901) to a line and a column.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Position in a text, as editors count: lines and columns (in characters) from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

impl Position {
    /// The position of the byte at `offset`, or of the end of the text if `offset` is beyond it.
    pub fn of_offset(source: &str, offset: usize) -> Position {
        let before = source.get(..offset).unwrap_or(source);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        Position { line: before.matches('\n').count() + 1, column }
    }
}

/// Appends one reference token to a JSON Pointer, escaped.
pub fn push_token(pointer: &mut String, token: &str) {
    pointer.push('/');
    for character in token.chars() {
        match character {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
}

/// The position of the value that `pointer` names in `source`. If the path ends early (a missing field), the
/// position of the last value on it; `None` if `source` is not JSON. Of repeated keys, the last one counts.
pub fn locate(source: &str, pointer: &str) -> Option<Position> {
    let mut value: &RawValue = serde_json::from_str(source).ok()?;
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        match child(value, &token) {
            Some(inner) => value = inner,
            None => break,
        }
    }
    // Both point into the same text, because a raw value borrows from its source.
    let offset = value.get().as_ptr().addr().checked_sub(source.as_ptr().addr())?;
    Some(Position::of_offset(source, offset))
}

/// The member or element with this name.
fn child<'a>(value: &'a RawValue, token: &str) -> Option<&'a RawValue> {
    Child { token }.deserialize(&mut serde_json::Deserializer::from_str(value.get())).ok().flatten()
}

struct Child<'t> {
    token: &'t str,
}

impl<'de> DeserializeSeed<'de> for Child<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Child<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            if key == self.token {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let index: Option<usize> = self.token.parse().ok();
        let mut found = None;
        let mut at = 0;
        while let Some(element) = seq.next_element::<&RawValue>()? {
            if Some(at) == index {
                found = Some(element);
            }
            at += 1;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = "{\n  \"widgets\": [\n    {\"id\": \"a\"},\n    {\n      \"id\": \"b\",\n      \
                         \"allowed_domains\": [\"ä.example\", \"x\"],\n      \"la/b~el\": 1, \"id\": \"c\"\n    }\n  ]\n}\n";

    fn at(pointer: &str) -> Option<(usize, usize)> {
        locate(RULES, pointer).map(|position| (position.line, position.column))
    }

    #[test]
    fn values_are_found_by_line_and_character() {
        assert_eq!(at(""), Some((1, 1)));
        assert_eq!(at("/widgets"), Some((2, 14)));
        assert_eq!(at("/widgets/0/id"), Some((3, 12)));
        assert_eq!(at("/widgets/1"), Some((4, 5)));
        assert_eq!(at("/widgets/1/allowed_domains/1"), Some((6, 40)));
        assert_eq!(at("/widgets/1/la~1b~0el"), Some((7, 18)));
    }

    #[test]
    fn a_doubled_key_is_where_it_comes_again() {
        assert_eq!(at("/widgets/1/id"), Some((7, 27)));
    }

    #[test]
    fn a_path_that_ends_early_is_where_it_ended() {
        assert_eq!(at("/widgets/0/environment"), Some((3, 5)));
        assert_eq!(at("/widgets/7"), Some((2, 14)));
        assert_eq!(at("/widgets/0/id/deeper"), Some((3, 12)));
        assert_eq!(at("/widgets/-/id"), Some((2, 14)));
    }

    #[test]
    fn no_json_has_no_places() {
        assert_eq!(locate("{\"a\": ", "/a"), None);
        assert_eq!(locate("", ""), None);
    }

    #[test]
    fn pointers_are_escaped() {
        let mut pointer = String::new();
        push_token(&mut pointer, "labels");
        push_token(&mut pointer, "a/b~c");
        assert_eq!(pointer, "/labels/a~1b~0c");
    }

    #[test]
    fn offsets_beyond_the_text_are_its_end() {
        assert_eq!(Position::of_offset("a\nbc", 99), Position { line: 2, column: 3 });
    }
}
