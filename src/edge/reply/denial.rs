//! The shapes of a denial.

use http::StatusCode;
use http::header::{self, HeaderValue};

use super::{CROSS_ORIGIN_EMBEDDER_POLICY, Reply, text};
use crate::edge::decision_id::DecisionId;
use crate::edge::judge::Told;

const JAVASCRIPT: HeaderValue = HeaderValue::from_static("text/javascript; charset=utf-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
/// Nothing but the page's own style, by its hash. No `frame-ancestors`: the page must be seen inside the frame.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'sha256-OtS47knpCur7KXi+9DRlYuv1vyMkrBFtaTX1yfFhVVE='; base-uri 'none'; form-action 'none'",
);
const PAGE: &str = include_str!("denied.html");
/// Room in the page for what is said.
const MOST_VARYING: usize = 512;

/// What the answer is for, by `Sec-Fetch-Dest` (Fetch Metadata Request Headers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A `<script>`: a browser never runs a 403's body.
    Script,
    /// A page, in a frame or a tab.
    Document,
    /// Anything that can read a body, or nothing at all.
    Other,
}

impl Destination {
    /// Reads the field's lines; more than one is as good as none.
    pub fn parse<'v>(mut lines: impl Iterator<Item = &'v [u8]>) -> Self {
        match (lines.next(), lines.next()) {
            (Some(b"script"), None) => Self::Script,
            (Some(b"iframe" | b"frame" | b"document" | b"embed" | b"object"), None) => Self::Document,
            _ => Self::Other,
        }
    }
}

/// One denied request.
#[derive(Debug)]
pub struct Denial<'a> {
    /// Whom it speaks of.
    pub told: Told<'a>,
    /// The decision, so that the owner can look it up.
    pub decision_id: &'a DecisionId,
    /// What the answer is for.
    pub destination: Destination,
    /// A page that is for everyone does not exist: 404, not 403.
    pub absent: bool,
}

impl Denial<'_> {
    pub(super) fn shaped(&self) -> Reply {
        if self.absent {
            return Reply::problem(StatusCode::NOT_FOUND, &["there is no such page"], Some(self.decision_id));
        }
        match self.destination {
            Destination::Script => Reply::new(StatusCode::OK).with_body(JAVASCRIPT, self.script()),
            Destination::Document => Reply::new(StatusCode::FORBIDDEN)
                .with(CROSS_ORIGIN_EMBEDDER_POLICY, HeaderValue::from_static("require-corp"))
                .with(header::CONTENT_SECURITY_POLICY, PAGE_POLICY)
                .with_body(HTML, self.page()),
            Destination::Other => {
                Reply::problem(StatusCode::FORBIDDEN, &text::explanation(self.told), Some(self.decision_id))
            }
        }
    }

    fn script(&self) -> String {
        let mut script = String::with_capacity(MOST_VARYING);
        script.push_str("console.error(\"");
        text::explanation(self.told).iter().for_each(|part| script.push_str(part));
        for part in [" (decision ", self.decision_id.as_str(), ")\");\n"] {
            script.push_str(part);
        }
        script
    }

    fn page(&self) -> String {
        let (who, advice) = (text::who(self.told), text::advice(self.told));
        let mut page = String::with_capacity(PAGE.len() + MOST_VARYING);
        let mut rest = PAGE;
        for (place, words) in
            [("{detail}", &who[..]), ("{advice}", &advice), ("{id}", &[self.decision_id.as_str()])]
        {
            // Each place is in the page, as the tests show.
            let (before, after) = rest.split_once(place).unwrap_or((rest, ""));
            page.push_str(before);
            words.iter().for_each(|words| page.push_str(words));
            rest = after;
        }
        page.push_str(rest);
        page
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::policy::origin::{Embedder, OpaqueOrigin, Origin};

    fn destination(lines: &[&str]) -> Destination {
        Destination::parse(lines.iter().map(|line| line.as_bytes()))
    }

    #[test]
    fn destinations_are_read_strictly() {
        assert_eq!(destination(&["script"]), Destination::Script);
        for dest in ["iframe", "frame", "document"] {
            assert_eq!(destination(&[dest]), Destination::Document, "{dest}");
        }
        for lines in [&[][..], &["empty"], &["script", "script"], &["Script"], &["serviceworker"]] {
            assert_eq!(destination(lines), Destination::Other, "{lines:?}");
        }
    }

    #[test]
    fn each_shape_names_the_embedder_and_the_decision() {
        let id = DecisionId::new();
        let told = Told::Embedder(Embedder::Known(Origin::parse("https://stranger.example").unwrap()));
        for (destination, status) in
            [(Destination::Script, 200), (Destination::Document, 403), (Destination::Other, 403)]
        {
            let denial = Denial { told, decision_id: &id, destination, absent: false };
            let reply = Reply::denial(&denial, None);
            let body = String::from_utf8(reply.body.to_vec()).unwrap();
            assert_eq!(reply.status, status, "{destination:?}");
            for part in ["https://stranger.example", "adds stranger.example to", id.as_str()] {
                assert!(body.contains(part), "{part}: {body}");
            }
        }
    }

    #[test]
    fn the_page_may_have_its_style_and_no_other() {
        let style = PAGE.split_once("<style>").and_then(|(_, rest)| rest.split_once("</style>")).unwrap().0;
        let hash = STANDARD.encode(ring::digest::digest(&ring::digest::SHA256, style.as_bytes()));
        let policy = PAGE_POLICY;
        assert!(policy.to_str().unwrap().contains(&format!("style-src 'sha256-{hash}';")), "{hash}");
        assert_eq!(PAGE.matches("<style").count(), 1);
        assert!(!PAGE.contains("style="));
    }

    #[test]
    fn a_script_denial_only_logs() {
        let id = DecisionId::new();
        let denial = Denial {
            told: Told::Embedder(Embedder::Opaque(OpaqueOrigin::Null)),
            decision_id: &id,
            destination: Destination::Script,
            absent: false,
        };
        let reply = Reply::denial(&denial, None);
        let body = std::str::from_utf8(&reply.body).unwrap();
        let text = body.strip_prefix("console.error(").and_then(|rest| rest.strip_suffix(");\n")).unwrap();
        assert!(serde_json::from_str::<String>(text).unwrap().contains(id.as_str()));
    }
}
