//! Conditions of calls, by entity tags (RFC 9110 §13.1): `If-Match` and `If-None-Match`. A widget's entity tag is its
//! revision in quotes.

use http::header::{self, HeaderName};
use http::{HeaderMap, StatusCode};

use super::problem::{ErrorPart, Problem};
use crate::rules::change::Precondition;

/// Condition of a change: what must hold for it to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Conditions {
    pub(super) only_if: Precondition,
    /// A weak tag of the list, which counts for nothing.
    weak: Option<String>,
}

impl Conditions {
    /// The condition of a change: `If-Match` with entity tags or `*`, or `If-None-Match: *`. One that can't hold,
    /// whatever is stored, is refused here.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let matching = joined(headers, header::IF_MATCH, "If-Match")?;
        let none_matching = joined(headers, header::IF_NONE_MATCH, "If-None-Match")?;
        if none_matching.as_deref().is_some_and(|tags| tags != "*") {
            let detail = "only `*` is allowed here, for a widget that must not exist yet";
            return Err(Problem::invalid_parameter("If-None-Match", detail));
        }
        let only_if = |only_if| Self { only_if, weak: None };
        match (matching.as_deref(), none_matching) {
            (None, None) => Ok(Self::default()),
            (None, Some(_)) => Ok(only_if(Precondition::Absent)),
            (Some("*"), None) => Ok(only_if(Precondition::Present)),
            (Some(tags), None) => Self::of_tags(tags),
            (Some(tags), Some(_)) if tags != "*" && entity_tags(tags).is_none() => Err(no_tags()),
            (Some(_), Some(_)) => Err(never(
                "If-Match",
                "If-Match asks for a widget that exists, and If-None-Match for one that does not, so they never hold \
                 together: send one of them"
                    .to_owned(),
            )),
        }
    }

    fn of_tags(tags: &str) -> Result<Self, Problem> {
        let tags = entity_tags(tags).ok_or_else(no_tags)?;
        let strong = tags.iter().filter(|tag| !tag.is_weak);
        let revisions: Box<[u64]> = strong.filter_map(EntityTag::revision).collect();
        let weak = tags.iter().find(|tag| tag.is_weak);
        if revisions.is_empty() {
            return Err(never(
                "If-Match",
                match (weak, tags.first()) {
                    (Some(weak), _) => of_weak(weak.opaque),
                    (None, tag) => format!(
                        "\"{}\" is no entity tag of a widget, which is its revision in quotes, such as \"7\": send the \
                         ETag of the answer that you go by",
                        tag.map_or("", |tag| tag.opaque).escape_debug()
                    ),
                },
            ));
        }
        Ok(Self { only_if: Precondition::Revision(revisions), weak: weak.map(|weak| weak.opaque.to_owned()) })
    }

    /// A refusal of the change, which says more if a weak tag may be the reason.
    pub(super) fn explain(&self, refusal: Problem) -> Problem {
        match &self.weak {
            Some(weak) if refusal.code() == "precondition_failed" => refusal.with_more(&of_weak(weak)),
            _ => refusal,
        }
    }
}

fn no_tags() -> Problem {
    let detail = "write entity tags, which are quoted, such as \"7\"; or write *";
    Problem::invalid_parameter("If-Match", detail)
}

/// Whether the client already has this revision.
pub(super) fn is_known(headers: &HeaderMap, revision: u64) -> bool {
    let Ok(Some(tags)) = joined(headers, header::IF_NONE_MATCH, "If-None-Match") else { return false };
    // Weak comparison (RFC 9110 §8.8.3.2).
    let is_this = |tag: &EntityTag<'_>| tag.revision() == Some(revision);
    tags == "*" || entity_tags(&tags).is_some_and(|tags| tags.iter().any(is_this))
}

/// Entity tag as it was sent.
#[derive(Clone, Copy)]
struct EntityTag<'h> {
    opaque: &'h str,
    is_weak: bool,
}

impl EntityTag<'_> {
    /// The revision that it stands for; `None` if it is no tag of a widget.
    fn revision(&self) -> Option<u64> {
        self.opaque.parse::<u64>().ok().filter(|revision| revision.to_string() == self.opaque)
    }
}

/// A list of entity tags; `None` if it is none.
fn entity_tags<'l>(list: &'l str) -> Option<Vec<EntityTag<'l>>> {
    let tag = |text: &'l str| {
        let (is_weak, quoted) = match text.strip_prefix("W/") {
            Some(quoted) => (true, quoted),
            None => (false, text),
        };
        Some(EntityTag { opaque: quoted.strip_prefix('"')?.strip_suffix('"')?, is_weak })
    };
    list.split(',').map(str::trim).map(tag).collect()
}

/// What a weak tag means in `If-Match` (RFC 9110 §13.1.1).
fn of_weak(opaque: &str) -> String {
    let opaque = opaque.escape_debug();
    format!(
        "W/\"{opaque}\" is a weak entity tag, and If-Match counts strong ones alone: something between has weakened it, \
         such as a proxy that compresses answers; send \"{opaque}\", without W/"
    )
}

/// The refusal of a change whose condition can't hold.
fn never(field: &str, detail: String) -> Problem {
    let code = "precondition_failed";
    let part =
        ErrorPart { parameter: Some(field.to_owned()), code, detail: detail.clone(), ..ErrorPart::default() };
    Problem::new(StatusCode::PRECONDITION_FAILED, code, detail).with_errors(vec![part])
}

fn joined(headers: &HeaderMap, field: HeaderName, name: &'static str) -> Result<Option<String>, Problem> {
    let lines: Result<Vec<&str>, _> = headers.get_all(field).iter().map(|line| line.to_str()).collect();
    match lines {
        Ok(lines) if lines.is_empty() => Ok(None),
        Ok(lines) => Ok(Some(lines.join(","))),
        Err(_) => Err(Problem::invalid_parameter(name, "not readable as text")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn asked(fields: &[(&'static str, &str)]) -> Result<Precondition, &'static str> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        Conditions::of(&headers).map(|conditions| conditions.only_if).map_err(|problem| problem.code())
    }

    #[test]
    fn conditions_are_read_as_the_standard_has_them() {
        let tags = |revisions: &[u64]| Ok(Precondition::Revision(revisions.into()));
        assert_eq!(asked(&[]), Ok(Precondition::None));
        assert_eq!(asked(&[("if-match", "*")]), Ok(Precondition::Present));
        assert_eq!(asked(&[("if-match", "\"7\"")]), tags(&[7]));
        assert_eq!(asked(&[("if-match", "\"7\", \"8\"")]), tags(&[7, 8]));
        assert_eq!(asked(&[("if-match", "\"7\""), ("if-match", "\"9\"")]), tags(&[7, 9]));
        assert_eq!(asked(&[("if-match", "W/\"7\", \"8\", \"x\"")]), tags(&[8]));
        for never in ["W/\"7\"", "\"07\"", "\"x\"", "\"\"", "\"99999999999999999999\"", "W/\"x\""] {
            assert_eq!(asked(&[("if-match", never)]), Err("precondition_failed"), "{never}");
        }
        for fault in ["7", "\"7", "", "*, \"7\"", "W/7", "w/\"7\"", "\""] {
            assert_eq!(asked(&[("if-match", fault)]), Err("invalid_parameter"), "{fault}");
        }
        assert_eq!(asked(&[("if-none-match", "*")]), Ok(Precondition::Absent));
        assert_eq!(asked(&[("if-none-match", "\"7\"")]), Err("invalid_parameter"));
        assert_eq!(asked(&[("if-match", "*"), ("if-none-match", "*")]), Err("precondition_failed"));
        assert_eq!(asked(&[("if-match", "d)8"), ("if-none-match", "*")]), Err("invalid_parameter"));
    }

    #[test]
    fn a_weak_tag_is_told_what_became_of_it() {
        let headers = |tags: &str| HeaderMap::from_iter([(header::IF_MATCH, tags.parse().unwrap())]);
        let alone = Conditions::of(&headers("W/\"7\"")).unwrap_err();
        assert!(
            alone.detail().contains("weak") && alone.detail().contains("send \"7\""),
            "{}",
            alone.detail()
        );
        assert!(!alone.detail().contains("faster"), "{}", alone.detail());
        let beside = Conditions::of(&headers("W/\"7\", \"5\"")).unwrap();
        let refusal = |code| Problem::new(StatusCode::PRECONDITION_FAILED, code, "no");
        assert!(beside.explain(refusal("precondition_failed")).detail().contains("weak"));
        assert_eq!(beside.explain(refusal("stale_revision")).detail(), "no");
        let strong = Conditions::of(&headers("\"7\"")).unwrap();
        assert_eq!(strong.explain(refusal("precondition_failed")).detail(), "no");
    }

    #[test]
    fn a_reader_that_has_it_need_not_get_it_again() {
        let known = |value: &str| {
            is_known(&HeaderMap::from_iter([(header::IF_NONE_MATCH, value.parse().unwrap())]), 7)
        };
        assert!(known("\"7\"") && known("W/\"7\"") && known("\"6\", \"7\"") && known("*"));
        assert!(!known("\"8\"") && !known("7") && !is_known(&HeaderMap::new(), 7));
    }
}
