//! Content Security Policy (Level 3) of a page: whether it admits an address.

use url::Url;

use super::html::ScriptTag;

/// Policies in force together: each has to admit what is loaded.
#[derive(Clone, Debug, Default)]
pub(in crate::checklist) struct ContentPolicy(Vec<Vec<Directive>>);

#[derive(Clone, Debug)]
struct Directive {
    name: String,
    sources: Vec<String>,
}

/// The page that a policy is of: what `'self'` is, and the scheme of sources without one.
pub(in crate::checklist) struct MatchedPage<'p> {
    pub(in crate::checklist) url: &'p Url,
}

impl ContentPolicy {
    /// Reads the values of fields and of `meta` elements. A comma separates policies.
    pub(in crate::checklist) fn parse(lines: impl Iterator<Item = String>) -> Self {
        let policies = lines.flat_map(|line| line.split(',').map(policy).collect::<Vec<_>>());
        Self(policies.filter(|policy| !policy.is_empty()).collect())
    }

    /// The same, if any of them has this directive.
    pub(in crate::checklist) fn with(self, name: &str) -> Option<Self> {
        self.0.iter().flatten().any(|directive| directive.name == name).then_some(self)
    }

    /// The directive that refuses to load an address, as it is written.
    pub(in crate::checklist) fn refuses(
        &self,
        name: &str,
        url: &Url,
        page: &MatchedPage<'_>,
    ) -> Option<String> {
        self.refusing(name, &|directive| directive.admits(url, page))
    }

    /// The same for a script, which its tag may have a nonce or a hash for.
    pub(super) fn refuses_script(
        &self,
        url: &Url,
        tag: Option<&ScriptTag>,
        page: &MatchedPage<'_>,
    ) -> Option<String> {
        self.refusing("script-src-elem", &|directive| {
            if tag.is_some_and(|tag| directive.vouches_for(tag)) {
                return true;
            }
            // Trust is then handed on by scripts that are trusted, and by nothing else.
            !directive.has("'strict-dynamic'") && directive.admits(url, page)
        })
    }

    fn refusing(&self, name: &str, admits: &dyn Fn(&Directive) -> bool) -> Option<String> {
        let refusing = |policy: &Vec<Directive>| {
            let in_charge =
                fallbacks(name).iter().find_map(|name| policy.iter().find(|one| one.name == *name));
            in_charge.filter(|directive| !admits(directive)).map(Directive::as_written)
        };
        self.0.iter().find_map(refusing)
    }
}

/// The directives that may decide, the first that is there.
fn fallbacks(name: &str) -> &'static [&'static str] {
    match name {
        "script-src-elem" => &["script-src-elem", "script-src", "default-src"],
        "frame-src" => &["frame-src", "child-src", "default-src"],
        "connect-src" => &["connect-src", "default-src"],
        _ => &["frame-ancestors"],
    }
}

/// Directives that may decide. A page may have any number of others.
const DECIDING: [&str; 7] = [
    "script-src-elem",
    "script-src",
    "default-src",
    "frame-src",
    "child-src",
    "connect-src",
    "frame-ancestors",
];

fn policy(text: &str) -> Vec<Directive> {
    let mut directives: Vec<Directive> = Vec::new();
    for part in text.split(';') {
        let mut words = part.split_ascii_whitespace();
        let Some(name) = words.next().map(str::to_ascii_lowercase) else { continue };
        if !DECIDING.contains(&name.as_str()) {
            continue;
        }
        // Of two with the same name, the first counts.
        if directives.iter().all(|directive| directive.name != name) {
            directives.push(Directive { name, sources: words.map(str::to_owned).collect() });
        }
    }
    directives
}

impl Directive {
    fn has(&self, keyword: &str) -> bool {
        self.sources.iter().any(|source| source.eq_ignore_ascii_case(keyword))
    }

    fn admits(&self, url: &Url, page: &MatchedPage<'_>) -> bool {
        self.sources.iter().any(|source| is_matched(source, url, page))
    }

    /// Whether it has the tag's nonce or hash. These are compared as they are.
    fn vouches_for(&self, tag: &ScriptTag) -> bool {
        let nonce = (!tag.nonce.is_empty()).then(|| format!("'nonce-{}'", tag.nonce));
        let hashes = tag.integrity.split_ascii_whitespace().map(|hash| format!("'{hash}'"));
        let hashes: Vec<_> = hashes.collect();
        // Every hash of the tag has to be there.
        let is_hashed = !hashes.is_empty() && hashes.iter().all(|hash| self.sources.contains(hash));
        nonce.is_some_and(|nonce| self.sources.contains(&nonce)) || is_hashed
    }

    fn as_written(&self) -> String {
        std::iter::once(self.name.as_str())
            .chain(self.sources.iter().map(String::as_str))
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// Whether a source expression matches an address (§6.7.2.8).
fn is_matched(source: &str, url: &Url, page: &MatchedPage<'_>) -> bool {
    let source = source.trim();
    if source == "*" {
        return matches!(url.scheme(), "http" | "https" | "ws" | "wss") || url.scheme() == page.url.scheme();
    }
    if source.eq_ignore_ascii_case("'self'") {
        let is_upgraded = page.url.scheme() == "http"
            && url.scheme() == "https"
            && url.host_str() == page.url.host_str()
            && page.url.port().is_none()
            && url.port().is_none();
        return url.origin() == page.url.origin() || is_upgraded;
    }
    if source.starts_with('\'') {
        return false;
    }
    if let Some(scheme) = source.strip_suffix(':') {
        return is_scheme(&scheme.to_ascii_lowercase(), url.scheme());
    }
    let (scheme, rest) = match source.split_once("://") {
        Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
        None => (page.url.scheme().to_owned(), source),
    };
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    is_scheme(&scheme, url.scheme())
        && is_host(host, url)
        && is_port(port, &scheme, url)
        && is_path(path, url)
}

/// A scheme also matches its more secure one (§6.7.2.9).
fn is_scheme(wanted: &str, scheme: &str) -> bool {
    wanted == scheme
        || matches!((wanted, scheme), ("http", "https") | ("ws", "wss" | "http" | "https") | ("wss", "https"))
}

fn is_host(pattern: &str, url: &Url) -> bool {
    let (pattern, host) = (pattern.to_ascii_lowercase(), url.host_str().unwrap_or_default());
    match pattern.strip_prefix('*') {
        Some("") => true,
        Some(parent) => parent.starts_with('.') && host.ends_with(parent) && host.len() > parent.len(),
        None => pattern == host,
    }
}

fn is_port(port: Option<&str>, scheme: &str, url: &Url) -> bool {
    let asked = url.port_or_known_default();
    match port {
        Some("*") => true,
        Some(port) => {
            let port = port.parse().ok();
            port == asked || (port == Some(80) && asked == Some(443))
        }
        None => match scheme {
            "http" | "ws" => matches!(asked, Some(80 | 443)),
            _ => asked == Some(443),
        },
    }
}

fn is_path(path: &str, url: &Url) -> bool {
    match path {
        "" | "/" => true,
        folder if folder.ends_with('/') => url.path().starts_with(folder),
        file => url.path() == file,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOADER: &str = "https://embed.example.net/w/wgt_demo/loader.js";

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    fn refused(policy: &str, directive: &str, address: &str) -> Option<String> {
        let page = url("https://shop.example.com/help");
        let policy = ContentPolicy::parse(std::iter::once(policy.to_owned()));
        policy.refuses(directive, &url(address), &MatchedPage { url: &page })
    }

    #[test]
    fn the_first_directive_that_is_there_decides() {
        for (policy, directive, by) in [
            ("", "frame-src", None),
            ("img-src 'none'", "frame-src", None),
            ("default-src 'self'", "frame-src", Some("default-src 'self'")),
            ("default-src *; child-src 'none'", "frame-src", Some("child-src 'none'")),
            ("frame-src https:; child-src 'none'", "frame-src", None),
            ("frame-src", "frame-src", Some("frame-src")),
            ("FRAME-SRC 'NONE'; frame-src *", "frame-src", Some("frame-src 'NONE'")),
            ("default-src 'none'; connect-src embed.example.net", "connect-src", None),
            ("default-src *, default-src 'self'", "connect-src", Some("default-src 'self'")),
            ("script-src 'self'", "script-src-elem", Some("script-src 'self'")),
            ("script-src 'self'; script-src-elem *", "script-src-elem", None),
        ] {
            assert_eq!(refused(policy, directive, LOADER).as_deref(), by, "{policy}");
        }
    }

    #[test]
    fn sources_match_as_in_browsers() {
        for (source, address, is_admitted) in [
            ("*", LOADER, true),
            ("https:", LOADER, true),
            ("http:", LOADER, true),
            ("https://embed.example.net", LOADER, true),
            ("http://embed.example.net", LOADER, true),
            ("EMBED.example.net", LOADER, true),
            ("*.example.net", LOADER, true),
            ("*.embed.example.net", LOADER, false),
            ("example.net", LOADER, false),
            ("embed.example.net:443", LOADER, true),
            ("embed.example.net:*", LOADER, true),
            ("embed.example.net:8443", LOADER, false),
            ("https://embed.example.net", "https://embed.example.net:8443/", false),
            ("https://embed.example.net/w/", LOADER, true),
            ("https://embed.example.net/w/other/", LOADER, false),
            ("https://embed.example.net/w/wgt_demo/loader.js", LOADER, true),
            ("https://embed.example.net", "http://embed.example.net/", false),
            ("'self'", LOADER, false),
            ("'self'", "https://shop.example.com/x", true),
            ("'unsafe-inline'", LOADER, false),
            ("data:", LOADER, false),
        ] {
            let refused = refused(&format!("frame-src {source}"), "frame-src", address);
            assert_eq!(refused.is_none(), is_admitted, "{source} {address}");
        }
    }

    #[test]
    fn a_nonce_or_a_hash_vouches_for_a_script() {
        let page = url("https://shop.example.com/");
        let tag = |nonce: &str, integrity: &str| ScriptTag {
            url: url(LOADER),
            nonce: nonce.to_owned(),
            integrity: integrity.to_owned(),
            is_run: true,
            is_cors: false,
            is_verified: false,
        };
        for (policy, tag, is_admitted) in [
            ("script-src 'nonce-r4nd0m'", Some(tag("r4nd0m", "")), true),
            ("script-src 'nonce-r4nd0m'", Some(tag("other", "")), false),
            ("script-src 'nonce-r4nd0m'", None, false),
            ("script-src 'sha256-abc='", Some(tag("", "sha256-abc=")), true),
            ("script-src 'strict-dynamic' https:", Some(tag("", "")), false),
            ("script-src 'strict-dynamic' 'nonce-a'", Some(tag("a", "")), true),
            ("script-src https:", Some(tag("", "")), true),
        ] {
            let policies = ContentPolicy::parse(std::iter::once(policy.to_owned()));
            let refused = policies.refuses_script(&url(LOADER), tag.as_ref(), &MatchedPage { url: &page });
            assert_eq!(refused.is_none(), is_admitted, "{policy}");
        }
    }
}
