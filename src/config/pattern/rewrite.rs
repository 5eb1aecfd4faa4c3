//! Paths toward the upstream, where a route rewrites them.

use super::{PathPattern, check};

/// Path toward the upstream, such as `/api/{widget}/{rest}`: absolute, with at most one `{widget}` as a segment, and
/// `{rest}` as the last one if the route's path ends in `{*rest}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RewritePattern(Box<str>);

const REST: &str = "{rest}";

impl RewritePattern {
    /// Parses a path toward the upstream.
    ///
    /// # Errors
    ///
    /// The text is not one; the error says what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        check(text, REST)?;
        Ok(Self(text.into()))
    }

    /// Whether the path goes on with what `{*rest}` stands for, as it does if and only if the route's path has one.
    ///
    /// # Errors
    ///
    /// One of the two has a rest and the other has none.
    pub fn fits(self, path: &PathPattern) -> Result<Self, String> {
        match (self.has_rest(), path.has_rest()) {
            (true, false) => Err(format!("has {REST}, but routes.path does not end in {{*rest}}")),
            (false, true) => Err(format!("must end in {REST}, because routes.path ends in {{*rest}}")),
            _ => Ok(self),
        }
    }

    /// The path without `{rest}`.
    pub fn prefix(&self) -> &str {
        self.0.strip_suffix(REST).unwrap_or(&self.0)
    }

    fn has_rest(&self) -> bool {
        self.0.ends_with(REST)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn keeps_what_it_accepts() {
        for (text, prefix) in [
            ("/", "/"),
            ("/{rest}", "/"),
            ("/api/{widget}/{rest}", "/api/{widget}/"),
            ("/frame.html", "/frame.html"),
            ("/{widget}", "/{widget}"),
        ] {
            assert_eq!(RewritePattern::parse(text).unwrap().prefix(), prefix);
        }
        let [whole, single] =
            ["/w/{widget}/{*rest}", "/w/{widget}"].map(|path| PathPattern::parse(path).unwrap());
        let [with, without] = ["/{rest}", "/x"].map(|path| RewritePattern::parse(path).unwrap());
        assert!(with.clone().fits(&whole).is_ok() && without.clone().fits(&single).is_ok());
        assert!(with.fits(&single).unwrap_err().contains("does not end in {*rest}"));
        assert!(without.fits(&whole).unwrap_err().contains("must end in {rest}"));
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, detail) in [
            ("", "begin with a slash"),
            ("x", "begin with a slash"),
            ("/{rest}/x", "must be the last segment"),
            ("/{*rest}", "each as a whole segment"),
            ("/x-{widget}", "each as a whole segment"),
            ("/{widget}/{widget}", "more than once"),
            ("/a//b", "an empty segment"),
            ("/../{rest}", "a dot segment"),
            ("/a?b", "'?' can't be in a path"),
        ] {
            let fault = RewritePattern::parse(text).unwrap_err();
            assert!(fault.contains(detail), "{text}: {fault}");
        }
    }
}
