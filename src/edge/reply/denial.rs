//! The shapes of a denial.

use http::StatusCode;
use http::header::HeaderValue;
use serde_json::Value;

use super::{CROSS_ORIGIN_EMBEDDER_POLICY, Reply, who};
use crate::edge::decision_id::DecisionId;
use crate::policy::explain::entry_admitting;
use crate::policy::origin::Embedder;

const JAVASCRIPT: HeaderValue = HeaderValue::from_static("text/javascript; charset=utf-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
/// No `frame-ancestors`: the page must be seen inside the frame.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
const PAGE: &str = include_str!("denied.html");

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
    /// Who is denied.
    pub embedder: &'a Embedder<'a>,
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
            return Reply::problem(StatusCode::NOT_FOUND, "there is no such page", Some(self.decision_id));
        }
        let (detail, advice) = (who(self.embedder), self.advice());
        match self.destination {
            Destination::Script => {
                Reply::new(StatusCode::OK).with_body(JAVASCRIPT, self.script(&detail, &advice))
            }
            Destination::Document => Reply::new(StatusCode::FORBIDDEN)
                .with(CROSS_ORIGIN_EMBEDDER_POLICY, HeaderValue::from_static("require-corp"))
                .with(http::header::CONTENT_SECURITY_POLICY, PAGE_POLICY)
                .with_body(HTML, self.page(&detail, &advice)),
            Destination::Other => {
                Reply::problem(StatusCode::FORBIDDEN, &format!("{detail} {advice}"), Some(self.decision_id))
            }
        }
    }

    /// What the owner can do about it.
    fn advice(&self) -> String {
        match self.embedder {
            Embedder::Known(origin) => {
                let entry =
                    entry_admitting(*origin).map_or(origin.as_str().to_owned(), |entry| entry.to_string());
                format!("If it should be, its owner adds {entry} to the widget's allowed domains.")
            }
            Embedder::Opaque => {
                "It can be embedded by a page with an address that its owner allows.".to_owned()
            }
            Embedder::Malformed(_) => {
                "A program between the browser and this server may have changed it.".to_owned()
            }
            Embedder::Absent => "A Referrer-Policy of no-referrer on the page can be the cause.".to_owned(),
        }
    }

    fn script(&self, detail: &str, advice: &str) -> String {
        let text =
            Value::from(format!("{detail} {advice} (decision {})", self.decision_id.as_str())).to_string();
        // Should the answer ever stand inside a page, `</script>` must not end it.
        format!("console.error({});\n", text.replace('<', "\\u003c"))
    }

    fn page(&self, detail: &str, advice: &str) -> String {
        let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        PAGE.replace("{detail}", &escaped(detail))
            .replace("{advice}", &escaped(advice))
            .replace("{id}", self.decision_id.as_str())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::policy::origin::Origin;

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
        let embedder = Embedder::Known(Origin::parse("https://stranger.example").unwrap());
        for (destination, status) in
            [(Destination::Script, 200), (Destination::Document, 403), (Destination::Other, 403)]
        {
            let denial = Denial { embedder: &embedder, decision_id: &id, destination, absent: false };
            let reply = Reply::denial(&denial, None);
            let body = String::from_utf8(reply.body.to_vec()).unwrap();
            assert_eq!(reply.status, status, "{destination:?}");
            for part in ["https://stranger.example", "adds stranger.example to", id.as_str()] {
                assert!(body.contains(part), "{part}: {body}");
            }
        }
    }

    #[test]
    fn a_script_denial_only_logs() {
        let id = DecisionId::new();
        let denial = Denial {
            embedder: &Embedder::Opaque,
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
