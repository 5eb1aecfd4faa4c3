//! Referrer policies (W3C Referrer Policy): whether a page's request names the page.

use url::Url;

use crate::checklist::reach::is_local;

/// How much a request says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NamedTo {
    Nothing,
    /// Only to the same origin.
    OwnOrigin,
    /// Except from https to plain http.
    NotDowngraded,
    Always,
}

fn policy(word: &str) -> Option<NamedTo> {
    Some(match word.trim().to_ascii_lowercase().as_str() {
        "no-referrer" | "never" => NamedTo::Nothing,
        "same-origin" => NamedTo::OwnOrigin,
        "strict-origin" | "strict-origin-when-cross-origin" | "no-referrer-when-downgrade" | "default" => {
            NamedTo::NotDowngraded
        }
        "origin" | "origin-when-cross-origin" | "origin-when-crossorigin" | "unsafe-url" | "always" => {
            NamedTo::Always
        }
        _ => return None,
    })
}

/// Whether a page's request for an address names the page. Of several policies, the last that is known counts, and the one of
/// the HTML after those of the head.
pub(super) fn is_named(head: impl Iterator<Item = String>, meta: Option<&str>, page: &Url, to: &Url) -> bool {
    let head: Vec<String> = head.collect();
    let words = head.iter().flat_map(|line| line.split(',')).chain(meta);
    match words.filter_map(policy).next_back().unwrap_or(NamedTo::NotDowngraded) {
        NamedTo::Nothing => false,
        NamedTo::OwnOrigin => page.origin() == to.origin(),
        NamedTo::NotDowngraded => page.scheme() != "https" || to.scheme() == "https" || is_local(to),
        NamedTo::Always => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_known_policy_counts() {
        for (head, meta, named) in [
            (&[][..], None, true),
            (&["no-referrer"], None, false),
            (&["No-Referrer, strict-origin"], None, true),
            (&["strict-origin", "no-referrer"], None, false),
            (&["no-referrer, something-new"], None, false),
            (&["same-origin"], None, false),
            (&["origin"], None, true),
            (&["origin"], Some("no-referrer"), false),
            (&["no-referrer"], Some("unsafe-url"), true),
            (&["no-referrer"], Some("nonsense"), false),
        ] {
            let (page, edge) =
                ("https://shop.example.com/".parse().unwrap(), "https://embed.example.net/".parse().unwrap());
            let lines = head.iter().map(|line| (*line).to_owned());
            assert_eq!(is_named(lines, meta, &page, &edge), named, "{head:?} {meta:?}");
        }
        let page = "https://shop.example.com/".parse().unwrap();
        assert!(!is_named(std::iter::empty(), None, &page, &"http://embed.example.net/".parse().unwrap()));
        assert!(is_named(std::iter::once("same-origin".to_owned()), None, &page, &page));
    }
}
