//! Public suffixes: the names under which strangers register names of their own.
//!
//! A wildcard at such a name would let strangers in, so the parser of entries checks here first. The list is
//! Mozilla's (<https://publicsuffix.org>). A copy is compiled in, and an operator can configure a newer one.

use std::collections::HashSet;
use std::{fmt, iter, sync::LazyLock};

use publicsuffix::{List, Psl, Type};

/// Names below which nobody can register a name, so that every name there belongs to whoever runs the
/// network: RFC 6761, `local` RFC 6762, `home.arpa` RFC 8375, `internal` by a resolution of ICANN's board (29
/// July 2024).
const UNREGISTRABLE: [&str; 7] =
    ["example", "home.arpa", "internal", "invalid", "local", "localhost", "test"];

/// Parsed public suffix list.
///
/// All names are passed as lower-case A-labels without a trailing dot.
#[derive(Clone)]
pub struct PublicSuffixes {
    list: List,
    /// The exceptions (rules with `!`), as A-labels.
    exceptions: HashSet<String>,
}

/// Section of the list that names a suffix.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SuffixSection {
    /// Registries' own suffixes, such as `com` and `co.uk`; also every top-level domain that is not listed.
    Icann,
    /// Suffixes run by companies for their customers, such as `vercel.app` and `github.io`.
    Private,
}

/// Error of a text that is not a public suffix list.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SuffixError {
    /// One of the two sections is missing.
    #[error(
        "this is not a public suffix list: the line `// ===BEGIN {0} DOMAINS===` is missing; \
         take the list from https://publicsuffix.org/list/public_suffix_list.dat"
    )]
    MissingSection(&'static str),
    /// A section is not closed, as in an incomplete download.
    #[error(
        "the public suffix list is incomplete: the line `// ===END {0} DOMAINS===` is missing; download it again"
    )]
    Truncated(&'static str),
    /// A section without a single rule.
    #[error("the {0} section of the public suffix list has no rules; download it again")]
    EmptySection(&'static str),
    /// A line that is neither comment nor rule.
    #[error(
        "line {line} of the public suffix list is not a rule (a domain name, with or without `!` or `*.`): {detail}"
    )]
    ListedEntry {
        /// Counted from 1.
        line: usize,
        /// The error.
        detail: &'static str,
    },
    /// A rule is not a valid name, such as one with an invalid international label.
    #[error("the public suffix list has an invalid rule: {0}")]
    Invalid(String),
}

#[expect(clippy::expect_used, reason = "the list is compiled in and parsed by a test")]
static SHIPPED: LazyLock<PublicSuffixes> = LazyLock::new(|| {
    PublicSuffixes::parse(include_str!("../../../conf/public_suffix_list.dat"))
        .expect("the shipped list parses")
});

impl PublicSuffixes {
    /// Reads a list in the format of `public_suffix_list.dat`.
    ///
    /// # Errors
    /// The text has no rules, lacks a section, ends inside one, or has a line that is not a rule.
    pub fn parse(text: &str) -> Result<PublicSuffixes, SuffixError> {
        check_shape(text)?;
        let list =
            List::from_bytes(text.as_bytes()).map_err(|error| SuffixError::Invalid(error.to_string()))?;
        let exceptions = rules(text)
            .filter_map(|(_, rule)| rule.strip_prefix('!'))
            .map(|name| idna::domain_to_ascii(name).map_err(|_| SuffixError::Invalid(name.to_owned())))
            .collect::<Result<_, _>>()?;
        Ok(PublicSuffixes { list, exceptions })
    }

    /// The list compiled into this binary (`conf/public_suffix_list.dat`).
    #[must_use]
    pub fn shipped() -> &'static PublicSuffixes {
        &SHIPPED
    }

    /// The section that makes `name` itself a public suffix; `None` when it is not one.
    ///
    /// A top-level domain that is not listed counts as [`SuffixSection::Icann`] (the list's prevailing
    /// rule `*`), except `localhost`, which no one can register (RFC 6761 §6.3).
    #[must_use]
    pub fn section(&self, name: &str) -> Option<SuffixSection> {
        if name == "localhost" {
            return None;
        }
        let listed = self.section_of(name.len(), name.as_bytes().rsplit(|byte| *byte == b'.'));
        // If a longer rule goes through this name (`*.b.a` next to `*.a`), the crate misses `*.a`.
        listed.or_else(|| {
            let (_, parent) = name.split_once('.')?;
            self.section_below(parent).filter(|_| !self.exceptions.contains(name))
        })
    }

    /// The section in whose rules every name directly below `name` is a public suffix (`*.ck`).
    #[must_use]
    pub fn section_below(&self, name: &str) -> Option<SuffixSection> {
        // The label `*` exists in the list only as such a rule, so a lookup of it finds the rule itself.
        let labels = name.as_bytes().rsplit(|byte| *byte == b'.').chain(iter::once(b"*".as_slice()));
        self.section_of(name.len() + "*.".len(), labels)
    }

    /// The section by which strangers can have names directly below `name`; `None` if they can't, so that a
    /// wildcard there is safe.
    #[must_use]
    pub fn open_below(&self, name: &str) -> Option<SuffixSection> {
        if UNREGISTRABLE.contains(&name) {
            return None;
        }
        self.section(name).or_else(|| self.section_below(name))
    }

    /// The name one label below the public suffix of `name`: `www.example.co.uk` has `example.co.uk`.
    ///
    /// `None` for a public suffix itself and for anything that is not a name.
    #[must_use]
    pub fn registrable<'n>(&self, name: &'n str) -> Option<&'n str> {
        if name.split('.').any(str::is_empty) {
            return None;
        }
        let (mut shorter, mut below) = (name, None);
        // Starting from the left, so that the longest rule decides.
        while self.section(shorter).is_none() {
            if self.exceptions.contains(shorter) {
                return Some(shorter);
            }
            below = Some(shorter);
            (_, shorter) = shorter.split_once('.')?;
        }
        below
    }

    fn section_of<'n>(&self, len: usize, labels: impl Iterator<Item = &'n [u8]>) -> Option<SuffixSection> {
        let found = self.list.find(labels);
        (found.len == len).then_some(match found.typ {
            Some(Type::Private) => SuffixSection::Private,
            Some(Type::Icann) | None => SuffixSection::Icann,
        })
    }
}

impl fmt::Debug for PublicSuffixes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicSuffixes").finish_non_exhaustive()
    }
}

/// Checks that the text is a whole list. The crate skips unknown lines, so it would accept an HTML error page
/// or half a download.
fn check_shape(list: &str) -> Result<(), SuffixError> {
    for section in ["ICANN", "PRIVATE"] {
        let begin = list
            .find(&format!("===BEGIN {section} DOMAINS==="))
            .ok_or(SuffixError::MissingSection(section))?;
        let rest = list.get(begin..).unwrap_or_default();
        let end =
            rest.find(&format!("===END {section} DOMAINS===")).ok_or(SuffixError::Truncated(section))?;
        let rules = rest.get(..end).unwrap_or_default().lines().skip(1);
        if !rules.map(str::trim).any(|line| !line.is_empty() && !line.starts_with("//")) {
            return Err(SuffixError::EmptySection(section));
        }
    }
    for (line, rule) in rules(list) {
        check_rule(rule).map_err(|detail| SuffixError::ListedEntry { line, detail })?;
    }
    Ok(())
}

/// The rules with their line numbers; a rule ends at the first white space of its line.
fn rules(list: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..)
        .zip(list.lines())
        .filter(|(_, line)| !line.starts_with("//"))
        .filter_map(|(number, line)| line.split_whitespace().next().map(|rule| (number, rule)))
}

fn check_rule(rule: &str) -> Result<(), &'static str> {
    let name = rule.strip_prefix('!').or_else(|| rule.strip_prefix("*.")).unwrap_or(rule);
    if rule == "*" {
        return Ok(());
    }
    if rule.starts_with('!') && !name.contains('.') {
        return Err("an exception needs at least two labels");
    }
    if name.split('.').any(str::is_empty) {
        return Err("it has an empty label");
    }
    if !name.chars().all(|c| c.is_alphanumeric() || !c.is_ascii() || matches!(c, '-' | '.' | '_')) {
        return Err("it has a character that is not valid in names");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
