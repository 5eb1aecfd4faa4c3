//! Denials and their forms.

use http::StatusCode;
use http::header::{self, HeaderValue};

use super::{PROBLEM_JSON, Recipient, Reply, text};
use crate::edge::admission::decision_id::DecisionId;
use crate::edge::admission::judge::Told;
use embedgate_policy::headers::{DenialShape, denial_fields};
use embedgate_policy::verdict::Reason;

const JAVASCRIPT: HeaderValue = HeaderValue::from_static("text/javascript; charset=utf-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
/// What a page may read of a limit's answer.
const EXPOSED: HeaderValue = HeaderValue::from_static("Retry-After");
const PAGE: &str = include_str!("denied.html");
/// Room in the page for its variable texts, in bytes.
const MOST_VARYING: usize = 512;

/// Denial of one request.
#[derive(Debug)]
pub struct Denial<'a> {
    /// The subject of the denial.
    pub told: Told<'a>,
    /// The decision, so that the owner can look it up.
    pub decision_id: &'a DecisionId,
    /// The form that the requester can show.
    pub shape: DenialShape,
}

impl Denial<'_> {
    pub(super) fn shaped(&self, to: Recipient<'_>) -> Reply {
        // Reasons that are no secret: they are not about the list.
        let (status, open) = match self.told {
            Told::StaleRules => (StatusCode::SERVICE_UNAVAILABLE, Some(Reason::StaleRules)),
            Told::Limit(limit) => (StatusCode::TOO_MANY_REQUESTS, Some(limit.reason)),
            _ => (StatusCode::FORBIDDEN, None),
        };
        let mut reply = match self.shape {
            DenialShape::Script => Reply::new(to, StatusCode::OK).with_body(JAVASCRIPT, self.script()),
            DenialShape::Page => Reply::new(to, status).with_body(HTML, self.page()),
            DenialShape::Problem => {
                let detail = text::explanation(self.told);
                let text = text::problem(status, open.map(Reason::as_str), &detail, self.decision_id);
                Reply::new(to, status).with_body(PROBLEM_JSON, text)
            }
            DenialShape::NotFound => {
                Reply::problem(to, StatusCode::NOT_FOUND, &["there is no such page"], self.decision_id)
            }
        };
        reply.page = self.shape.is_page();
        reply.fields.extend(open.and_then(denial_fields));
        match self.told {
            Told::Limit(limit) => reply
                .with(header::RETRY_AFTER, HeaderValue::from(limit.retry_after))
                .with(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED),
            _ => reply,
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
        let (title, who) = ([text::title(self.told)], text::who(self.told));
        let advice = text::advice(self.told);
        let mut page = String::with_capacity(PAGE.len() + MOST_VARYING);
        let mut rest = PAGE;
        for (place, words) in [
            ("{title}", &title[..]),
            ("{title}", &title),
            ("{detail}", &who),
            ("{advice}", &advice),
            ("{id}", &[self.decision_id.as_str()]),
        ] {
            // Each placeholder is in the page; tests check that.
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

    use std::num::NonZeroU32;
    use std::sync::Arc;
    use std::time::Duration;

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use jiff::Timestamp;

    use super::*;
    use crate::edge::admission::judge::ToldLimit;
    use crate::edge::http::message::RequestHead;
    use crate::limits::opening::LimitRefusal;
    use embedgate_policy::headers::{DENIED_PAGE_POLICY, OwnProfile};
    use embedgate_policy::limits::{LimitKind, LimitMode, LimitPart};
    use embedgate_policy::origin::{Embedder, OpaqueOrigin, Origin};

    fn reply(denial: &Denial<'_>) -> Reply {
        let request = RequestHead::of("GET", "/w/w/loader.js", &[]);
        let own = Arc::new(OwnProfile::new([]));
        Reply::denial(Recipient { request: &request, own: &own, https: true }, denial, None)
    }

    #[test]
    fn each_shape_names_the_embedder_and_the_decision() {
        let id = DecisionId::new(Timestamp::now());
        let told = Told::Embedder(Embedder::Known(Origin::parse("https://stranger.example").unwrap()));
        for (shape, status) in
            [(DenialShape::Script, 200), (DenialShape::Page, 403), (DenialShape::Problem, 403)]
        {
            let reply = reply(&Denial { told, decision_id: &id, shape });
            let body = String::from_utf8(reply.body.to_vec()).unwrap();
            assert_eq!(reply.status, status, "{shape:?}");
            for part in ["https://stranger.example", "has to add stranger.example to", id.as_str()] {
                assert!(body.contains(part), "{part}: {body}");
            }
        }
    }

    #[test]
    fn stale_rules_are_no_secret_and_no_refusal_for_good() {
        let id = DecisionId::new(Timestamp::now());
        for shape in [DenialShape::Page, DenialShape::Problem] {
            let reply = reply(&Denial { told: Told::StaleRules, decision_id: &id, shape });
            let body = String::from_utf8(reply.body.to_vec()).unwrap();
            assert_eq!(reply.status, 503, "{shape:?}");
            assert!(
                reply.fields.iter().any(|(name, value)| name == "retry-after" && value == "5"),
                "{reply:?}"
            );
            for part in ["not available from this server at the moment", "/readyz", id.as_str()] {
                assert!(body.contains(part), "{part}: {body}");
            }
            assert!(!body.contains("{title}") && !body.contains("on this site"), "{body}");
            let is_coded = body.contains("\"code\":\"stale_rules\"");
            assert_eq!(is_coded, shape == DenialShape::Problem, "{body}");
        }
    }

    #[test]
    fn a_limit_says_when_to_try_again() {
        let id = DecisionId::new(Timestamp::now());
        for (kind, reason) in [
            (LimitKind::Sessions, Reason::LimitSessions),
            (LimitKind::OpensPerMinute, Reason::LimitOpens),
            (LimitKind::OpensPerDay, Reason::LimitOpens),
        ] {
            for shape in [DenialShape::Page, DenialShape::Problem] {
                let told = Told::Limit(ToldLimit { kind, reason, retry_after: 17 });
                let reply = reply(&Denial { told, decision_id: &id, shape });
                let body = String::from_utf8(reply.body.to_vec()).unwrap();
                assert_eq!(reply.status, 429, "{shape:?}");
                for (field, expected) in
                    [("retry-after", "17"), ("access-control-expose-headers", "Retry-After")]
                {
                    let mut values = reply.fields.iter().filter(|(name, _)| name == field);
                    assert!(values.next().is_some_and(|(_, value)| value == expected), "{field}: {reply:?}");
                    assert!(values.next().is_none(), "{field}: {reply:?}");
                }
                assert!(body.contains(id.as_str()) && !body.contains("{title}"), "{body}");
                let is_coded = body.contains(&format!("\"code\":\"{reason}\""));
                assert_eq!(is_coded, shape == DenialShape::Problem, "{body}");
            }
        }
    }

    #[test]
    fn a_wait_is_told_in_whole_seconds_and_never_too_short() {
        let (minute, day) = (LimitKind::OpensPerMinute, LimitKind::OpensPerDay);
        for (kind, wait, told) in [
            (minute, Duration::ZERO, 1),
            (minute, Duration::from_millis(1), 1),
            (minute, Duration::from_secs(1), 1),
            (minute, Duration::new(59, 1), 60),
            (minute, Duration::from_millis(60_001), 60),
            (day, Duration::from_millis(60_001), 61),
            (day, Duration::from_secs(86_400), 86_400),
        ] {
            let refusal = LimitRefusal {
                part: LimitPart::Widget,
                kind,
                limit: NonZeroU32::MIN,
                mode: LimitMode::Enforce,
                retry_after: wait,
            };
            assert_eq!(ToldLimit::from(refusal).retry_after, told, "{wait:?}");
        }
    }

    #[test]
    fn the_page_may_have_its_style_and_no_other() {
        let style = PAGE.split_once("<style>").and_then(|(_, rest)| rest.split_once("</style>")).unwrap().0;
        let hash = STANDARD.encode(ring::digest::digest(&ring::digest::SHA256, style.as_bytes()));
        let policy = DENIED_PAGE_POLICY;
        assert!(policy.to_str().unwrap().contains(&format!("style-src 'sha256-{hash}';")), "{hash}");
        assert_eq!(PAGE.matches("<style").count(), 1);
        assert!(!PAGE.contains("style="));
    }

    #[test]
    fn a_script_denial_only_logs() {
        let id = DecisionId::new(Timestamp::now());
        let told = Told::Embedder(Embedder::Opaque(OpaqueOrigin::Null));
        let shape = DenialShape::Script;
        let reply = reply(&Denial { told, decision_id: &id, shape });
        let body = std::str::from_utf8(&reply.body).unwrap();
        let text = body.strip_prefix("console.error(").and_then(|rest| rest.strip_suffix(");\n")).unwrap();
        assert!(serde_json::from_str::<String>(text).unwrap().contains(id.as_str()));
    }
}
