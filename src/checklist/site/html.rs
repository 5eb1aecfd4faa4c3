//! What a page's HTML says of scripts, policies and referrers, read by the tokenizer of the HTML standard.

use html5gum::{DefaultEmitter, StartTag, Token, Tokenizer};
use url::Url;

/// Most scripts of a page that are looked at.
const MOST_SCRIPTS: usize = 1000;

/// Longest value of an attribute that is looked at, in bytes: each address has that of `base` in it.
const LONGEST: usize = 16 << 10;

/// Types of scripts that browsers run.
const RUN: [&str; 5] = ["", "module", "text/javascript", "application/javascript", "text/ecmascript"];

/// What a page says in its HTML.
#[derive(Debug, Default)]
pub(super) struct PageMarkup {
    /// Scripts with an address, in their order.
    pub(super) scripts: Vec<ScriptTag>,
    /// The text of all other scripts.
    pub(super) inline: String,
    /// Content security policies.
    pub(super) policies: Vec<String>,
    /// The last referrer policy.
    pub(super) referrer: Option<String>,
}

/// Script with an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ScriptTag {
    pub(super) url: Url,
    pub(super) nonce: String,
    pub(super) integrity: String,
    /// Browsers run it.
    pub(super) is_run: bool,
    /// It is requested with CORS.
    pub(super) is_cors: bool,
    /// Browsers check it by its hash.
    pub(super) is_verified: bool,
}

impl PageMarkup {
    /// Reads a page at this address.
    pub(super) fn read(html: &[u8], url: &Url) -> Self {
        let mut emitter = DefaultEmitter::default();
        // The text of scripts and the like is no markup.
        emitter.naively_switch_states(true);
        let (mut markup, mut base) = (Self::default(), None);
        // What is in these is not run.
        let (mut inert, mut is_script) = (0_usize, false);
        for Ok(token) in Tokenizer::new_with_emitter(html, emitter) {
            match token {
                Token::StartTag(tag) => {
                    let name: &[u8] = &tag.name;
                    is_script = name == b"script" && inert == 0;
                    match name {
                        b"template" | b"noscript" if !tag.self_closing => inert += 1,
                        _ if inert > 0 => {}
                        b"base" if base.is_none() => {
                            base = attribute(&tag, b"href").and_then(|href| url.join(&href).ok());
                        }
                        b"meta" => markup.meta(&tag),
                        b"script" => markup.script(&tag, base.as_ref().unwrap_or(url)),
                        _ => {}
                    }
                }
                Token::EndTag(tag) => {
                    is_script = false;
                    if matches!(&**tag.name, b"template" | b"noscript") {
                        inert = inert.saturating_sub(1);
                    }
                }
                Token::String(text) if is_script => markup.inline.push_str(&String::from_utf8_lossy(&text)),
                _ => {}
            }
        }
        markup
    }

    fn meta(&mut self, tag: &StartTag<()>) {
        let Some(content) = attribute(tag, b"content") else { return };
        let is = |name: &[u8], value: &str| {
            attribute(tag, name).is_some_and(|given| given.trim().eq_ignore_ascii_case(value))
        };
        if is(b"http-equiv", "content-security-policy") {
            self.policies.push(content);
        } else if is(b"name", "referrer") {
            self.referrer = Some(content);
        }
    }

    fn script(&mut self, tag: &StartTag<()>, base: &Url) {
        let address = attribute(tag, b"src").and_then(|src| base.join(src.trim()).ok());
        let Some(url) = address.filter(|_| self.scripts.len() < MOST_SCRIPTS) else { return };
        let text = |name: &[u8]| attribute(tag, name).unwrap_or_default().trim().to_owned();
        let kind = text(b"type").to_ascii_lowercase();
        let integrity = text(b"integrity");
        let is_cors = attribute(tag, b"crossorigin").is_some() || kind == "module";
        self.scripts.push(ScriptTag {
            is_verified: is_cors && !integrity.is_empty(),
            is_run: RUN.contains(&kind.as_str()),
            nonce: text(b"nonce"),
            url,
            integrity,
            is_cors,
        });
    }
}

fn attribute(tag: &StartTag<()>, name: &[u8]) -> Option<String> {
    let value = tag.attributes.get(name).filter(|value| value.len() <= LONGEST)?;
    Some(String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_no_longer_than_what_is_looked_at() {
        let base = "x".repeat(LONGEST);
        let scripts = "<script src=a></script>".repeat(MOST_SCRIPTS);
        let read = read(&format!("<base href=\"/{base}/\">{scripts}"));
        assert_eq!(read.scripts.len(), MOST_SCRIPTS);
        assert!(
            read.scripts.iter().all(|script| script.url.as_str().len() < 100),
            "the long base counts for nothing"
        );
    }

    fn read(html: &str) -> PageMarkup {
        PageMarkup::read(html.as_bytes(), &"https://shop.example.com/a/b".parse().unwrap())
    }

    #[test]
    fn scripts_are_found_as_browsers_find_them() {
        for (html, urls) in [
            (r#"<script src="https://e.example/l.js" async></script>"#, &["https://e.example/l.js"][..]),
            ("<SCRIPT SRC=//e.example/l.js></SCRIPT>", &["https://e.example/l.js"]),
            ("<script src='l.js?a=1&amp;b=2'></script>", &["https://shop.example.com/a/l.js?a=1&b=2"]),
            ("<base href=/c/><script src=l.js></script>", &["https://shop.example.com/c/l.js"]),
            ("<!-- <script src=l.js></script> -->", &[]),
            ("<script>'<script src=l.js>'</script>", &[]),
            ("<textarea><script src=l.js></script></textarea>", &[]),
            ("<noscript><script src=l.js></script></noscript>", &[]),
            (
                "<template><script src=l.js></script></template><script src=m.js></script>",
                &["https://shop.example.com/a/m.js"],
            ),
            ("<div title='<script src=l.js>'>", &[]),
            ("<p>\u{fffd}<script src=l.js", &[]),
        ] {
            let found: Vec<_> = read(html).scripts.iter().map(|script| script.url.to_string()).collect();
            assert_eq!(found, urls, "{html}");
        }
    }

    #[test]
    fn attributes_of_a_script_say_how_it_is_run() {
        for (html, is_run, is_cors, is_verified) in [
            ("<script src=l.js></script>", true, false, false),
            ("<script src=l.js type=module integrity=sha256-x></script>", true, true, true),
            ("<script src=l.js type='text/plain'></script>", false, false, false),
            ("<script src=l.js integrity=sha256-x></script>", true, false, false),
            ("<script src=l.js integrity=sha256-x crossorigin></script>", true, true, true),
        ] {
            let found = read(html);
            let script = &found.scripts[0];
            assert_eq!(
                (script.is_run, script.is_cors, script.is_verified),
                (is_run, is_cors, is_verified),
                "{html}"
            );
        }
    }

    #[test]
    fn policies_and_referrers_are_in_meta_elements() {
        let found = read(
            "<meta http-equiv=Content-Security-Policy content=\"script-src 'self'\"><meta name=referrer content=origin>\
             <script>load('/w/wgt_demo/loader.js')</script><META NAME=REFERRER CONTENT=no-referrer>",
        );
        assert_eq!(found.policies, ["script-src 'self'"]);
        assert_eq!(found.referrer.as_deref(), Some("no-referrer"));
        assert!(found.inline.contains("/w/wgt_demo/loader.js"));
    }
}
