//! Rewriting of a path toward the upstream, and of paths in its answers back.

use crate::config::{PathPattern, RewritePattern};

/// Paths of a route as browsers and as its upstream know them.
#[derive(Debug)]
pub struct PathMapping {
    edge: Prefix,
    upstream: Prefix,
    has_rest: bool,
}

/// Path up to the rest, with at most one place for the widget's id.
#[derive(Debug)]
struct Prefix {
    before: Box<str>,
    /// What follows the id, if it is in the path.
    after: Option<Box<str>>,
}

impl PathMapping {
    /// The mapping of a route that rewrites its path.
    pub fn new(path: &PathPattern, rewrite: &RewritePattern) -> Self {
        Self {
            edge: Prefix::new(path.without_rest().unwrap_or(path.as_str())),
            upstream: Prefix::new(rewrite.prefix()),
            has_rest: path.has_rest(),
        }
    }

    /// The target for the upstream. `target`: path and query of a request that the route matches.
    pub fn to_upstream(&self, widget: &str, target: &str) -> String {
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        let rest = path.get(self.edge.length(widget)..).unwrap_or_default();
        let query = target.get(path.len()..).unwrap_or_default();
        let mut rewritten = String::with_capacity(self.upstream.length(widget) + rest.len() + query.len());
        self.upstream.write(widget, &mut rewritten);
        rewritten.push_str(rest);
        rewritten.push_str(query);
        rewritten
    }

    /// A path of the upstream as browsers know it; `None` if it does not lie under the rewritten one. What follows the
    /// path, such as a query, is kept.
    pub fn to_browser(&self, widget: &str, path: &str) -> Option<String> {
        let upstream = self.upstream.text(widget);
        let rest = match path.strip_prefix(&*upstream) {
            Some(rest) => rest,
            // Without the last slash it is the same place.
            None => path.strip_prefix(upstream.strip_suffix('/')?).filter(|rest| is_after_path(rest))?,
        };
        // Without a rest, it is this very path or another one.
        if !self.has_rest && !is_after_path(rest) {
            return None;
        }
        let mapped = self.edge.text(widget) + rest;
        // Browsers would take it for another host (WHATWG URL, which drops tabs and reads `\` as `/`).
        let host = mapped
            .strip_prefix('/')
            .is_some_and(|rest| rest.trim_start_matches('\t').starts_with(['/', '\\']));
        (!host).then_some(mapped)
    }

    /// The path of a cookie as browsers know it; `None` as above. A cookie's path may lack the last slash (RFC 6265
    /// §5.1.4).
    pub fn cookie_path(&self, widget: &str, path: &str) -> Option<String> {
        let mut mapped = self.to_browser(widget, path)?;
        if self.has_rest && !path.ends_with('/') && mapped.len() > 1 && mapped.ends_with('/') {
            mapped.pop();
        }
        Some(mapped)
    }
}

/// Whether the path has ended.
fn is_after_path(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(['?', '#'])
}

impl Prefix {
    fn new(text: &str) -> Self {
        match text.split_once("{widget}") {
            Some((before, after)) => Self { before: before.into(), after: Some(after.into()) },
            None => Self { before: text.into(), after: None },
        }
    }

    fn length(&self, widget: &str) -> usize {
        self.before.len() + self.after.as_ref().map_or(0, |after| widget.len() + after.len())
    }

    fn text(&self, widget: &str) -> String {
        let mut text = String::with_capacity(self.length(widget));
        self.write(widget, &mut text);
        text
    }

    fn write(&self, widget: &str, out: &mut String) {
        out.push_str(&self.before);
        if let Some(after) = &self.after {
            out.push_str(widget);
            out.push_str(after);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn mapping(path: &str, rewrite: &str) -> PathMapping {
        let path = PathPattern::parse(path).unwrap();
        PathMapping::new(&path, &RewritePattern::parse(rewrite).unwrap().fits(&path).unwrap())
    }

    #[test]
    fn targets_are_rewritten() {
        for (path, rewrite, target, expected) in [
            ("/w/{widget}/app/{*rest}", "/{rest}", "/w/w1/app/", "/"),
            ("/w/{widget}/app/{*rest}", "/{rest}", "/w/w1/app/a/b?c=/d?", "/a/b?c=/d?"),
            ("/w/{widget}/app/{*rest}", "/api/{widget}/{rest}", "/w/w1/app/a%2Fb", "/api/w1/a%2Fb"),
            ("/{*rest}", "/base/{rest}", "/x", "/base/x"),
            ("/embed/{widget}", "/frame.html", "/embed/w1?x", "/frame.html?x"),
            ("/frame", "/f/{widget}/", "/frame", "/f/w1/"),
        ] {
            assert_eq!(mapping(path, rewrite).to_upstream("w1", target), expected, "{path} {target}");
        }
    }

    #[test]
    fn paths_are_mapped_back() {
        let app = mapping("/w/{widget}/app/{*rest}", "/api/{widget}/{rest}");
        for (path, expected) in [
            ("/api/w1/login?next=/x", Some("/w/w1/app/login?next=/x")),
            ("/api/w1/", Some("/w/w1/app/")),
            ("/api/w2/login", None),
            ("/api/w1", Some("/w/w1/app/")),
            ("/api/w1?x", Some("/w/w1/app/?x")),
            ("/api/w10", None),
            ("/login", None),
        ] {
            assert_eq!(app.to_browser("w1", path).as_deref(), expected, "{path}");
        }
        for (path, expected) in [
            ("/api/w1/", Some("/w/w1/app/")),
            ("/api/w1", Some("/w/w1/app")),
            ("/api/w1/a", Some("/w/w1/app/a")),
            ("/api/w10", None),
            ("/", None),
        ] {
            assert_eq!(app.cookie_path("w1", path).as_deref(), expected, "{path}");
        }
        let single = mapping("/embed/{widget}", "/frame.html");
        assert_eq!(single.to_browser("w1", "/frame.html#a").unwrap(), "/embed/w1#a");
        assert_eq!(single.to_browser("w1", "/frame.html.bak"), None);
        assert_eq!(single.cookie_path("w1", "/frame.html").unwrap(), "/embed/w1");
        let whole = mapping("/{*rest}", "/base/{rest}");
        for (path, expected) in
            [("/base", Some("/")), ("/base/", Some("/")), ("/base/a", Some("/a")), ("/", None)]
        {
            assert_eq!(whole.cookie_path("w1", path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn no_mapped_path_is_another_host() {
        let whole = mapping("/{*rest}", "/base/{rest}");
        for path in [
            "/base//evil.example",
            "/base/\\evil.example",
            "/base/\t/evil.example",
            "/base/\t\t\\evil.example",
        ] {
            assert_eq!(whole.to_browser("w1", path), None, "{path:?}");
        }
        assert_eq!(whole.to_browser("w1", "/base/a//b").unwrap(), "/a//b");
    }

    proptest! {
        #[test]
        fn back_and_forth_is_the_same(rest in "[a-z/?]{0,12}", edge in "/([ab]/)?(\\{widget\\}/)?", upstream in "/([ab]/)?(\\{widget\\}/)?") {
            let mapping = mapping(&format!("{edge}{{*rest}}"), &format!("{upstream}{{rest}}"));
            let target = format!("{}{rest}", edge.replace("{widget}", "w1"));
            let asked = mapping.to_upstream("w1", &target);
            prop_assert_eq!(&asked, &format!("{}{rest}", upstream.replace("{widget}", "w1")));
            match target.starts_with("//") {
                true => prop_assert_eq!(mapping.to_browser("w1", &asked), None),
                false => prop_assert_eq!(mapping.to_browser("w1", &asked).unwrap(), target),
            }
        }
    }
}
