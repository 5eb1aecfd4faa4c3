//! Path patterns of routes: literal segments, `{widget}` and, at the end, `{*rest}`.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

mod host;
mod rewrite;

pub use host::RouteHost;
pub use rewrite::RewritePattern;

/// Path pattern such as `/w/{widget}/assets/{*rest}`: absolute, with at most one `{widget}` as a segment, and
/// at most one `{*rest}` as the last segment. No other braces, no dot segments, no escapes. The syntax is
/// that of the `matchit` crate.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct PathPattern(Arc<str>);

impl PathPattern {
    /// Parses a pattern.
    ///
    /// # Errors
    ///
    /// The text is not a pattern; the error says what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        check(text, REST)?;
        Ok(Self(text.into()))
    }

    /// Whether the widget's id is in the path.
    pub fn has_widget(&self) -> bool {
        self.0.split('/').any(|segment| segment == WIDGET)
    }

    /// Whether two patterns could match the same path and neither of them is narrower: the first segment in which they
    /// differ is `{widget}` in one, and `{*rest}` in the other.
    pub fn competes(&self, other: &Self) -> bool {
        let pairs = self.0.split('/').zip(other.0.split('/'));
        let differing = pairs.into_iter().find(|(one, other)| one != other);
        matches!(differing, Some((WIDGET, REST) | (REST, WIDGET)))
    }

    /// This pattern with the text that another one has in the place of `{widget}`, and that text; `None` unless the other
    /// one is a text there and could match such a path.
    pub fn narrowed<'o>(&self, other: &'o Self) -> Option<(String, &'o str)> {
        let mut others = other.0.split('/');
        let mut named = None;
        for segment in self.0.split('/') {
            match (segment, others.next()?) {
                (_, REST) => break,
                (WIDGET, WIDGET) => return None,
                (WIDGET, text) => named = Some(text),
                (segment, other) if segment == other || other == WIDGET => {}
                _ => return None,
            }
        }
        let named = named?;
        Some((self.0.replacen(WIDGET, named, 1), named))
    }

    /// The default path of tickets.
    pub(super) fn of_tickets() -> Self {
        Self("/w/{widget}/embed-ticket".into())
    }

    /// The default path of reports.
    pub(super) fn of_reports() -> Self {
        Self("/w/{widget}/embed-report".into())
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

/// Checks a path of literal segments, at most one `{widget}`, and at the end the text that stands for the rest.
fn check(text: &str, rest: &str) -> Result<(), String> {
    let Some(segments) = text.strip_prefix('/') else {
        return Err(format!("'{text}' must begin with a slash"));
    };
    let segments: Vec<&str> = segments.split('/').collect();
    let last = segments.len() - 1;
    for (i, &segment) in segments.iter().enumerate() {
        let fault = if segment == WIDGET || segment == rest && i == last {
            None
        } else if segment == rest {
            Some(format!("{rest} must be the last segment"))
        } else {
            literal_fault(segment, i == last, rest)
        };
        fault.map_or(Ok(()), |detail| Err(format!("'{text}': {detail}")))?;
    }
    match segments.iter().filter(|segment| **segment == WIDGET).count() {
        0 | 1 => Ok(()),
        _ => Err(format!("'{text}' has {WIDGET} more than once")),
    }
}

/// What is wrong with a literal segment, if anything. `rest`: the text that stands for the rest.
fn literal_fault(segment: &str, is_last: bool, rest: &str) -> Option<String> {
    match segment {
        "" if is_last => None,
        "" => Some("has an empty segment (//), which is always refused; leave it out".into()),
        "." | ".." => Some("has a dot segment, which is always refused; leave it out".into()),
        _ if segment.contains(['{', '}']) => Some(format!(
            "'{segment}' is not a segment; braces are only for {WIDGET} and {rest}, each as a whole segment"
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
            "/chat/loader.js",
            "/",
            "/{*rest}",
        ] {
            assert_eq!(PathPattern::parse(text).unwrap().as_str(), text);
        }
        assert_eq!(PathPattern::parse(PathPattern::of_tickets().as_str()), Ok(PathPattern::of_tickets()));
        assert!(PathPattern::parse("/{widget}/{*rest}").unwrap().has_rest());
        assert!(!PathPattern::parse("/{widget}/rest").unwrap().has_rest());
        assert!(PathPattern::parse("/{widget}/rest").unwrap().has_widget());
        assert!(!PathPattern::parse("/widget").unwrap().has_widget());
    }

    #[test]
    fn narrower_ones_do_not_compete() {
        for (one, other, competes) in [
            ("/{widget}/x", "/{*rest}", true),
            ("/a/{widget}", "/a/{*rest}", true),
            ("/a/{widget}", "/{*rest}", false),
            ("/{widget}/x", "/{widget}/{*rest}", false),
            ("/{widget}/x", "/a/x", false),
            ("/a/{*rest}", "/a/", false),
        ] {
            let [one, other] = [one, other].map(|text| PathPattern::parse(text).unwrap());
            assert_eq!((one.competes(&other), other.competes(&one)), (competes, competes), "{one} {other}");
        }
    }

    #[test]
    fn a_text_in_the_place_of_the_widget_narrows() {
        let tickets = PathPattern::of_tickets();
        for (other, narrowed) in [
            ("/w/helpdesk/{*rest}", Some(("/w/helpdesk/embed-ticket", "helpdesk"))),
            ("/w/helpdesk/embed-ticket", Some(("/w/helpdesk/embed-ticket", "helpdesk"))),
            ("/w/helpdesk/frame", None),
            ("/w/{widget}/{*rest}", None),
            ("/w/{*rest}", None),
            ("/{*rest}", None),
            ("/x/helpdesk/{*rest}", None),
            ("/w/helpdesk", None),
        ] {
            let other = PathPattern::parse(other).unwrap();
            let expected = narrowed.map(|(path, widget)| (path.to_owned(), widget));
            assert_eq!(tickets.narrowed(&other), expected, "{other}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let refused = [
            ("w/{widget}", "begin with a slash"),
            ("", "begin with a slash"),
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
