//! Path patterns of routes: literal segments, `{widget}` and, at the end, `{*rest}`.

use std::fmt;
use std::sync::Arc;

/// Path pattern such as `/w/{widget}/assets/{*rest}`: absolute, with exactly one `{widget}` as a segment, and
/// at most one `{*rest}` as the last segment. No other braces, no dot segments, no escapes. The syntax is
/// that of the `matchit` crate.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathPattern(Arc<str>);

impl PathPattern {
    /// Parses a pattern.
    ///
    /// # Errors
    ///
    /// The text is not a pattern; the error says what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(segments) = text.strip_prefix('/') else {
            return Err(format!("'{text}' must begin with a slash"));
        };
        let segments: Vec<&str> = segments.split('/').collect();
        let last = segments.len() - 1;
        for (i, segment) in segments.iter().enumerate() {
            segment_fault(segment, i == last).map_or(Ok(()), |detail| Err(format!("'{text}': {detail}")))?;
        }
        match segments.iter().filter(|segment| **segment == WIDGET).count() {
            1 => Ok(Self(text.into())),
            0 => Err(format!("'{text}' has no {WIDGET}; write it like \"/w/{WIDGET}/loader.js\"")),
            _ => Err(format!("'{text}' has {WIDGET} more than once")),
        }
    }

    /// The default path of tickets.
    pub(super) fn of_tickets() -> Self {
        Self("/w/{widget}/embed-ticket".into())
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path for which `{*rest}` stands for nothing.
    pub fn without_rest(&self) -> Option<&str> {
        self.0.strip_suffix(REST)
    }

    /// Whether the pattern ends in `{*rest}`.
    pub fn has_rest(&self) -> bool {
        self.0.ends_with(REST)
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const WIDGET: &str = "{widget}";
const REST: &str = "{*rest}";

fn segment_fault(segment: &str, is_last: bool) -> Option<String> {
    match segment {
        WIDGET => None,
        REST if is_last => None,
        REST => Some(format!("{REST} must be the last segment")),
        "" if is_last => None,
        "" => Some("has an empty segment (//), which is always refused; leave it out".into()),
        "." | ".." => Some("has a dot segment, which is always refused; leave it out".into()),
        _ if segment.contains(['{', '}']) => Some(format!(
            "'{segment}' is not a segment; braces are only for {WIDGET} and {REST}, each as a whole segment"
        )),
        _ => {
            let odd = segment.chars().find(|c| !is_literal(*c))?;
            Some(format!("'{odd}' can't be in a path; letters, digits and -._~!$&'()*+,;=:@ can"))
        }
    }
}

/// Whether a character is `pchar` of RFC 3986 §3.3, without percent-encoding.
fn is_literal(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@".contains(c)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn keeps_what_it_accepts() {
        for text in [
            "/w/{widget}/loader.js",
            "/{widget}",
            "/w/{widget}/assets/{*rest}",
            "/w/{widget}/",
            "/a:b/{widget}",
        ] {
            assert_eq!(PathPattern::parse(text).unwrap().as_str(), text);
        }
        assert_eq!(PathPattern::parse(PathPattern::of_tickets().as_str()), Ok(PathPattern::of_tickets()));
        assert!(PathPattern::parse("/{widget}/{*rest}").unwrap().has_rest());
        assert!(!PathPattern::parse("/{widget}/rest").unwrap().has_rest());
    }

    #[test]
    fn says_what_is_wrong() {
        let refused = [
            ("w/{widget}", "begin with a slash"),
            ("", "begin with a slash"),
            ("/w/loader.js", "has no {widget}"),
            ("/{widget}/{widget}", "more than once"),
            ("/{*rest}/{widget}", "must be the last segment"),
            ("/w//{widget}", "an empty segment"),
            ("/../{widget}", "a dot segment"),
            ("/w-{widget}", "each as a whole segment"),
            ("/w/{id}", "each as a whole segment"),
            ("/{widget}/a b", "' ' can't be in a path"),
            ("/{widget}/%2f", "'%' can't be in a path"),
            ("/{widget}?x", "each as a whole segment"),
            ("/{widget}/x?y", "'?' can't be in a path"),
        ];
        for (text, detail) in refused {
            let fault = PathPattern::parse(text).unwrap_err();
            assert!(fault.contains(detail), "{text}: {fault}");
        }
    }
}
