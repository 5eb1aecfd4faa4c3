//! Points about the site's page: whether it has the widget's tag, and what its header fields forbid.

pub(super) mod csp;
mod fields;
mod html;
mod referrer;
mod tag;

use url::Url;

use super::Deployment;
use super::facts::SurfaceKind;
use super::fetch::{CheckClient, CheckRequest, FetchFault, FetchedAnswer};
use super::point::{CheckPoint, PointGroup, PointKind};
use super::reach::is_local;
use super::surfaces::AskedEdge;
use csp::{ContentPolicy, MatchedPage};
use html::PageMarkup;
use tag::FoundTag;

const fn point(code: &'static str, title: &'static str) -> PointKind {
    PointKind::new(PointGroup::Site, code, title)
}

const PAGE: PointKind = point("page", "The page answers");
const LINKED: PointKind = point("linked", "The page has the widget's tag");
const MIXED: PointKind = point("mixed_content", "The page may load the widget from the edge's scheme");
const SCRIPTS: PointKind = point("csp_script", "The page's Content-Security-Policy admits the loader");
const FRAMES: PointKind = point("csp_frame", "The page's Content-Security-Policy admits the iframe");
const CONNECTIONS: PointKind =
    point("csp_connect", "The page's Content-Security-Policy admits the loader's calls");
const MICROPHONE: PointKind =
    point("permissions_policy", "The page's Permissions-Policy leaves voice its microphone");
const INTEGRITY: PointKind = point("integrity_policy", "The page's Integrity-Policy admits the tag");
const EMBEDDER: PointKind = point("coep", "The page's Cross-Origin-Embedder-Policy admits the widget");
const ALLOWLIST: PointKind = point("connection_allowlist", "The page's Connection-Allowlist names the edge");
const REFERRER: PointKind = point("referrer_policy", "The page tells the edge who it is");

/// What depends on a page that was read.
const OF_PAGE: [PointKind; 10] =
    [LINKED, MIXED, SCRIPTS, FRAMES, CONNECTIONS, MICROPHONE, INTEGRITY, EMBEDDER, ALLOWLIST, REFERRER];

/// The site's page, as it was fetched.
pub(super) struct SitePage {
    url: Url,
    answer: Result<FetchedAnswer, FetchFault>,
    markup: PageMarkup,
}

impl SitePage {
    /// Fetches a page.
    pub(super) fn look(client: &CheckClient, url: &Url) -> Self {
        let request = CheckRequest::get(url).with("accept", "text/html").with("sec-fetch-dest", "document");
        let answer = client.ask(request);
        let markup = answer.as_ref().map(|answer| PageMarkup::read(&answer.body, url)).unwrap_or_default();
        Self { url: url.clone(), answer, markup }
    }
}

/// All points of this group.
pub(super) fn points(
    deployment: &Deployment,
    page: Option<&SitePage>,
    asked: Option<&AskedEdge>,
) -> Vec<CheckPoint> {
    let skipped = |first: CheckPoint| {
        std::iter::once(first).chain(OF_PAGE.map(|kind| kind.skipped("the page was not read"))).collect()
    };
    let Some(page) = page else {
        return skipped(PAGE.skipped("no site was given"));
    };
    match &page.answer {
        Err(fault) => skipped(
            PAGE.fail(fault.detail.clone(), "See that the site answers, by a certificate that is valid."),
        ),
        Ok(answer) => match answer.redirect(&page.url) {
            Some(to) => {
                let mend = "Give the page that it leads to as the site; its origin is the one to list.";
                skipped(PAGE.fail(format!("it leads to {to}"), mend))
            }
            None if !answer.status.is_success() => {
                let found = format!("the answer is {}", answer.status.as_u16());
                skipped(PAGE.fail(found, "Give a page of the site that has the widget."))
            }
            None => LookedAt { deployment, page, answer, asked }.points(),
        },
    }
}

/// A page that was read, in its deployment.
struct LookedAt<'a> {
    deployment: &'a Deployment,
    page: &'a SitePage,
    answer: &'a FetchedAnswer,
    asked: Option<&'a AskedEdge>,
}

impl LookedAt<'_> {
    fn points(&self) -> Vec<CheckPoint> {
        let tag = FoundTag::of(self.deployment, &self.page.markup);
        let loader = tag.address().or_else(|| self.deployment.surface(SurfaceKind::Loader));
        let frame = self.deployment.surface(SurfaceKind::Frame);
        let status = self.answer.status.as_u16();
        vec![
            PAGE.pass(format!("the answer is {status}")),
            tag.point(LINKED, loader.as_ref()),
            self.mixed(loader.as_ref()),
            self.csp(SCRIPTS, loader.as_ref(), &|policy, url, page| {
                policy.refuses_script(url, tag.script(), page)
            }),
            self.csp(FRAMES, frame.as_ref(), &|policy, url, page| policy.refuses("frame-src", url, page)),
            self.connections(),
            self.microphone(frame.as_ref()),
            self.integrity(&tag),
            self.embedder(&tag),
            self.allowlist([loader.as_ref(), frame.as_ref()]),
            self.referrer(frame.as_ref()),
        ]
    }

    /// The policies of the head and of the page itself.
    fn policies(&self) -> ContentPolicy {
        let head = self.answer.lines("content-security-policy");
        ContentPolicy::parse(head.chain(self.page.markup.policies.iter().cloned()))
    }

    fn csp(
        &self,
        kind: PointKind,
        url: Option<&Url>,
        refuses: &dyn Fn(&ContentPolicy, &Url, &MatchedPage<'_>) -> Option<String>,
    ) -> CheckPoint {
        let Some(url) = url else { return kind.skipped("no route has a fixed path") };
        match refuses(&self.policies(), url, &MatchedPage { url: &self.page.url }) {
            None => kind.pass("nothing forbids it"),
            Some(directive) => {
                let edge = url.origin().ascii_serialization();
                kind.fail(format!("`{directive}` forbids {url}"), format!("Add `{edge}` to this directive."))
            }
        }
    }

    fn connections(&self) -> CheckPoint {
        let tickets = self.deployment.surface(SurfaceKind::Tickets);
        let point = self.csp(CONNECTIONS, tickets.as_ref(), &|policy, url, page| {
            policy.refuses("connect-src", url, page)
        });
        match (point.mend, self.names_itself()) {
            // The frame's document has its ticket, and the loader has nothing to ask for.
            (Some(mend), true) => CONNECTIONS.warn(point.found, mend),
            (Some(mend), false) => CONNECTIONS.fail(point.found, mend),
            (None, _) => CheckPoint { mend: None, ..point },
        }
    }

    fn mixed(&self, loader: Option<&Url>) -> CheckPoint {
        let is_plain = |url: &Url| url.scheme() == "http" && !is_local(url);
        match loader {
            Some(loader) if self.page.url.scheme() == "https" && is_plain(loader) => {
                MIXED.fail(format!("{loader} is plain http on an https page"), "Write the tag with https.")
            }
            _ => MIXED.pass("it may"),
        }
    }

    fn microphone(&self, frame: Option<&Url>) -> CheckPoint {
        if !self.deployment.facts.voice {
            return MICROPHONE.skipped("the widget has no voice");
        }
        let edge = frame.unwrap_or(&self.deployment.edge);
        let line = self.answer.field("permissions-policy").unwrap_or_default();
        match fields::microphone_refused(&line, edge, &self.page.url) {
            None => MICROPHONE.pass("nothing forbids it"),
            Some(found) => {
                let edge = edge.origin().ascii_serialization();
                MICROPHONE
                    .fail(found, format!("Send `microphone=(self \"{edge}\")`, or leave `microphone` out."))
            }
        }
    }

    fn integrity(&self, tag: &FoundTag<'_>) -> CheckPoint {
        let line = self.answer.field("integrity-policy").unwrap_or_default();
        match fields::blocks_plain_scripts(&line) {
            false => INTEGRITY.pass("nothing forbids it"),
            true if tag.script().is_some_and(|script| script.is_verified) => INTEGRITY.pass("the tag has its hash"),
            true => INTEGRITY.fail(
                format!("`Integrity-Policy: {line}` forbids scripts without a hash"),
                "Take `script` out of `blocked-destinations`: a loader changes with each release, so a hash in the tag breaks then.",
            ),
        }
    }

    fn embedder(&self, tag: &FoundTag<'_>) -> CheckPoint {
        let line = self.answer.field("cross-origin-embedder-policy").unwrap_or_default();
        let Some(policy) = fields::embedder_policy(&line) else {
            return EMBEDDER.pass("nothing forbids it");
        };
        let Some(asked) = self.asked else { return EMBEDDER.skipped("the edge was not asked") };
        let framed = asked.frame().and_then(|frame| frame.field("cross-origin-embedder-policy"));
        if framed.as_deref().and_then(fields::embedder_policy).is_none() {
            return EMBEDDER.fail(
                format!("`{policy}` forbids iframes whose document has no such policy"),
                "Set `Cross-Origin-Embedder-Policy = \"require-corp\"` in the `headers` of the frame's route, or take it off the page.",
            );
        }
        let shared = asked.loader().and_then(|loader| loader.field("cross-origin-resource-policy"));
        let is_cors = tag.script().is_some_and(|script| script.is_cors);
        match policy == "require-corp" && !is_cors && shared.as_deref() != Some("cross-origin") {
            true => EMBEDDER.fail(
                "`require-corp` forbids a loader without `Cross-Origin-Resource-Policy: cross-origin`",
                "Leave this field as the edge sends it.",
            ),
            false => EMBEDDER.pass(format!("the loader and the frame fit `{policy}`")),
        }
    }

    fn allowlist(&self, urls: [Option<&Url>; 2]) -> CheckPoint {
        let line = self.answer.field("connection-allowlist").unwrap_or_default();
        let refused =
            urls.into_iter().flatten().find(|url| fields::is_off_allowlist(&line, url, &self.page.url));
        match refused {
            None => ALLOWLIST.pass("nothing forbids it"),
            Some(url) => {
                let edge = url.origin().ascii_serialization();
                ALLOWLIST.fail(
                    format!("`{line}` has no entry for {url}"),
                    format!("Add `\"{edge}\"` to this field."),
                )
            }
        }
    }

    /// Whether the request for the frame names the page.
    fn names_itself(&self) -> bool {
        let frame =
            self.deployment.surface(SurfaceKind::Frame).unwrap_or_else(|| self.deployment.edge.clone());
        let head = self.answer.lines("referrer-policy");
        referrer::is_named(head, self.page.markup.referrer.as_deref(), &self.page.url, &frame)
    }

    fn referrer(&self, frame: Option<&Url>) -> CheckPoint {
        let mend = "Send `Referrer-Policy: strict-origin-when-cross-origin`, which tells other sites the origin alone.";
        if self.names_itself() || frame.is_none() {
            return REFERRER.pass("its frame's request names it");
        }
        match self.asked.is_some_and(AskedEdge::serves_unnamed) {
            true => REFERRER
                .warn("its frame's request names no page, so the loader has to ask for a ticket", mend),
            false => REFERRER.fail("its frame's request names no page, and the edge refuses such", mend),
        }
    }
}
