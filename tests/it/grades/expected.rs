//! What is graded, and the findings that stay, each with its reason.

/// One answer of the edge.
pub struct Graded {
    pub name: &'static str,
    pub path: &'static str,
    pub fields: &'static [(&'static str, &'static str)],
    pub status: u16,
    /// The Observatory's.
    pub grade: &'static str,
    pub findings: Vec<Finding>,
}

/// What a grader says, and why it stays so.
pub type Finding = (&'static str, &'static str);

const OWN_SCRIPTS: Finding = (
    "csp_evaluator: MEDIUM_MAYBE SCRIPT_ALLOWLIST_BYPASS script-src 'self'",
    "the origin serves what its routes name, no JSONP and no uploads; a nonce would not outlive a 304",
);
const NO_SCRIPTS: Finding = (
    "csp_evaluator: INFO REQUIRE_TRUSTED_TYPES_FOR_SCRIPTS require-trusted-types-for",
    "with `default-src 'none'` no script runs that trusted types could hold",
);
const ANY_SITE: Finding = (
    "observatory: x-frame-options-not-implemented",
    "an open widget is for every site; give it a list, and the frame gets `frame-ancestors`",
);
const SEEN_INSIDE: Finding = (
    "observatory: x-frame-options-not-implemented",
    "the page says inside the frame why there is no widget; it holds nothing that a click could do",
);
const HTTP_SITE: [Finding; 3] = {
    const WHY: &str = "the widget's list names a site by http, so that site has to be among its ancestors";
    [
        ("csp_evaluator: MEDIUM SRC_HTTP frame-ancestors http://plain.example", WHY),
        ("observatory: csp-implemented-with-insecure-scheme", WHY),
        ("observatory: policy insecureSchemeActive", WHY),
    ]
};
/// Of an upstream that has no policy: the edge adds its `frame-ancestors`, and that alone.
const UPSTREAMS_CONTENT: [Finding; 9] = {
    const WHY: &str = "what a page may load is for its author to say; the demo's pages show how";
    [
        ("csp_evaluator: HIGH MISSING_DIRECTIVES object-src", WHY),
        ("csp_evaluator: HIGH MISSING_DIRECTIVES script-src", WHY),
        ("csp_evaluator: INFO REQUIRE_TRUSTED_TYPES_FOR_SCRIPTS require-trusted-types-for", WHY),
        ("observatory: csp-implemented-with-unsafe-inline", WHY),
        ("observatory: policy insecureBaseUri", WHY),
        ("observatory: policy insecureFormAction", WHY),
        ("observatory: policy unsafeInline", WHY),
        ("observatory: policy unsafeInlineStyle", WHY),
        ("observatory: policy unsafeObjects", WHY),
    ]
};
const NO_PAGE: [Finding; 2] = {
    const WHY: &str =
        "a script or JSON is no document: nothing is loaded by it, and a frame shows it as text";
    [("observatory: csp-not-implemented", WHY), ("observatory: x-frame-options-not-implemented", WHY)]
};

const EMBEDDED: &[(&str, &str)] = &[("Referer", "https://example.com/"), ("Sec-Fetch-Dest", "iframe")];
const BY_A_STRANGER: &[(&str, &str)] =
    &[("Referer", "https://stranger.example/"), ("Sec-Fetch-Dest", "iframe")];
const OPENED: &[(&str, &str)] = &[("Sec-Fetch-Dest", "document")];
const CALL: &[(&str, &str)] = &[("Origin", "https://example.com"), ("Sec-Fetch-Dest", "empty")];
const STRANGE_CALL: &[(&str, &str)] = &[("Origin", "https://stranger.example"), ("Sec-Fetch-Dest", "empty")];

/// Everything that is graded. What is `bare` comes from an upstream that sends no field but the content's type.
pub fn answers() -> Vec<Graded> {
    let graded = |name, path, fields, (status, grade), findings: &[&[Finding]]| Graded {
        name,
        path,
        fields,
        status,
        grade,
        findings: findings.concat(),
    };
    let ours: &[Finding] = &[OWN_SCRIPTS];
    let silent: &[Finding] = &[NO_SCRIPTS];
    let bare: &[Finding] = &UPSTREAMS_CONTENT;
    vec![
        graded("frame", "/w/listed/frame", EMBEDDED, (200, "A+"), &[ours]),
        graded("frame, nobody named", "/w/listed/frame", OPENED, (200, "A+"), &[ours]),
        graded("frame with a voice", "/w/voice/frame", EMBEDDED, (200, "A+"), &[ours]),
        graded("frame on an http site", "/w/http/frame", OPENED, (200, "B+"), &[ours, &HTTP_SITE]),
        graded("frame of an open widget", "/w/open/frame", EMBEDDED, (200, "B+"), &[ours, &[ANY_SITE]]),
        graded("bare frame", "/w/listed/bare", EMBEDDED, (200, "B+"), &[bare]),
        graded("trust center", "/w/listed/trust", OPENED, (200, "A+"), &[silent]),
        graded("policy page", "/w/listed/trust/consent", OPENED, (200, "A+"), &[silent]),
        graded("bare public page", "/w/listed/bare-policy", OPENED, (200, "B+"), &[bare]),
        graded("denied frame", "/w/listed/frame", BY_A_STRANGER, (403, "B+"), &[silent, &[SEEN_INSIDE]]),
        graded("denied call", "/w/listed/session", STRANGE_CALL, (403, "C"), &[&NO_PAGE]),
        graded("loader", "/w/listed/loader.js", CALL, (200, "C"), &[&NO_PAGE]),
        graded("session", "/w/listed/session", CALL, (200, "C"), &[&NO_PAGE]),
    ]
}
