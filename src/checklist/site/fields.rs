//! Structured fields of a page (RFC 9651) that may forbid a widget. A field that can't be read is none, as in browsers.

use sfv::{BareItem, Dictionary, InnerList, Item, ListEntry, Parser};
use url::Url;

/// What a `Permissions-Policy` says against the microphone in a frame of the edge.
pub(super) fn microphone_refused(line: &str, edge: &Url, page: &Url) -> Option<String> {
    let policy = Parser::parse_dictionary(line.as_bytes()).ok()?;
    let allowed = policy.get("microphone")?;
    let origin = edge.origin().ascii_serialization();
    let admits = |item: &BareItem| match item {
        BareItem::Token(word) if word == "*" => true,
        BareItem::Token(word) if word == "self" => edge.origin() == page.origin(),
        BareItem::String(text) => is_glob(text, &origin),
        _ => false,
    };
    (!members(allowed).any(admits))
        .then(|| format!("`Permissions-Policy: {line}` leaves {origin} no microphone"))
}

/// Whether an `Integrity-Policy` forbids scripts that have no hash.
pub(super) fn blocks_plain_scripts(line: &str) -> bool {
    let Ok(policy) = Parser::parse_dictionary(line.as_bytes()) else { return false };
    let names = |policy: &Dictionary, key: &str, wanted: &str| {
        let list = policy.get(key)?;
        Some(members(list).any(|item| item.as_token() == Some(wanted)))
    };
    let is_in_force = names(&policy, "sources", "inline").unwrap_or(true);
    is_in_force && names(&policy, "blocked-destinations", "script").unwrap_or(false)
}

/// A `Cross-Origin-Embedder-Policy` that asks something of what is embedded.
pub(super) fn embedder_policy(line: &str) -> Option<&'static str> {
    let Ok(Item { bare_item, .. }) = Parser::parse_item(line.as_bytes()) else { return None };
    ["require-corp", "credentialless"].into_iter().find(|word| bare_item.as_token() == Some(word))
}

/// Whether a `Connection-Allowlist` leaves an address out.
pub(super) fn is_off_allowlist(line: &str, url: &Url, page: &Url) -> bool {
    let Ok(list) = Parser::parse_list(line.as_bytes()) else { return false };
    let admits = |item: &BareItem| match item {
        BareItem::Token(word) if word == "response-origin" => url.origin() == page.origin(),
        BareItem::String(pattern) => is_address(pattern, url),
        _ => false,
    };
    !list.is_empty() && !list.iter().flat_map(members).any(admits)
}

fn members(entry: &ListEntry) -> Box<dyn Iterator<Item = &BareItem> + '_> {
    match entry {
        ListEntry::Item(Item { bare_item, .. }) => Box::new(std::iter::once(bare_item)),
        ListEntry::InnerList(InnerList { items, .. }) => Box::new(items.iter().map(|item| &item.bare_item)),
    }
}

/// Whether an address fits a pattern such as `https://*.example.com:*/w/*`. What is left out at its end may be anything, but a
/// port that is left out is the scheme's usual one.
fn is_address(pattern: &str, url: &Url) -> bool {
    let Some((scheme, rest)) = pattern.split_once("://") else { return false };
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "*"),
    };
    let is_port =
        |text: &str| text == "*" || (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if is_port(port) => (host, port),
        _ => (authority, ""),
    };
    // A named group stands for one part.
    let host: Vec<&str> =
        host.split('.').map(|label| if label.starts_with(':') { "*" } else { label }).collect();
    let given = url.port().map(|port| port.to_string()).unwrap_or_default();
    let is_usual = is_port(port) && port.parse().ok() == url.port_or_known_default();
    is_glob(scheme, url.scheme())
        && is_glob(&host.join("."), url.host_str().unwrap_or_default())
        && (port == "*" || port == given || is_usual)
        && is_glob(path, url.path())
}

/// Whether a text fits a pattern in which `*` stands for anything.
fn is_glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls() -> (Url, Url) {
        (
            "https://embed.example.net/w/wgt_demo/frame".parse().unwrap(),
            "https://shop.example.com/".parse().unwrap(),
        )
    }

    #[test]
    fn a_microphone_is_left_to_those_that_are_named() {
        let (edge, page) = urls();
        for (line, is_left) in [
            ("", true),
            ("camera=()", true),
            ("microphone=*", true),
            ("microphone=()", false),
            ("microphone=self", false),
            ("microphone=(self)", false),
            ("microphone=(self \"https://embed.example.net\")", true),
            ("microphone=(self \"https://other.example.net\")", false),
            ("microphone=(\"https://*.example.net\")", true),
            ("geolocation=(), microphone=()", false),
            ("microphone=(), microphone=*", true),
            ("microphone 'none'", true),
        ] {
            assert_eq!(microphone_refused(line, &edge, &page).is_none(), is_left, "{line}");
        }
        assert_eq!(microphone_refused("microphone=(self)", &page, &page), None);
    }

    #[test]
    fn an_integrity_policy_forbids_what_it_names() {
        for (line, blocks) in [
            ("", false),
            ("blocked-destinations=(script)", true),
            ("blocked-destinations=(script style), sources=(inline)", true),
            ("blocked-destinations=(script), sources=()", false),
            ("blocked-destinations=(style)", false),
            ("endpoints=(x)", false),
            ("blocked-destinations=(script), endpoints=(integrity)", true),
        ] {
            assert_eq!(blocks_plain_scripts(line), blocks, "{line}");
        }
    }

    #[test]
    fn an_embedder_policy_is_one_word() {
        for (line, policy) in [
            ("", None),
            ("unsafe-none", None),
            ("require-corp", Some("require-corp")),
            ("credentialless; report-to=\"x\"", Some("credentialless")),
            ("require-corp, require-corp", None),
        ] {
            assert_eq!(embedder_policy(line), policy, "{line}");
        }
    }

    #[test]
    fn an_allowlist_names_what_may_be_reached() {
        let (edge, page) = urls();
        for (line, is_off) in [
            ("", false),
            ("(response-origin)", true),
            ("(response-origin \"https://embed.example.net\")", false),
            ("(\"https://embed.example.net/w/*\")", false),
            ("(\"https://embed.example.net/v/*\")", true),
            ("(\"https://*.example.net\")", false),
            ("(\"https://embed.example.:tld\")", false),
            ("(\"*://embed.example.net:*\")", false),
            ("(\"https://embed.example.net:8443\")", true),
            ("(\"https://embed.example.net:443\")", false),
            ("(\"https://cdn.example\")", true),
            ("nonsense(", false),
        ] {
            assert_eq!(is_off_allowlist(line, &edge, &page), is_off, "{line}");
        }
        assert!(!is_off_allowlist("(response-origin)", &page, &page));
    }

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text, fits) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*c", "abc", true),
            ("a*b*c", "axbxc", true),
            ("a*b*c", "axc", false),
            ("*", "", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(is_glob(pattern, text), fits, "{pattern} {text}");
        }
    }
}
