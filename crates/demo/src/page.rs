//! The HTML: the host pages, the frame, the Trust Center.

use axum::extract::RawPathParams;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::asset::{Asset, ICON};
use super::visit::Visit;
use super::{DemoSite, HOSTS};

const HOST: &str = include_str!("host.html");
const INDEX: &str = include_str!("index.html");
const FRAME: &str = include_str!("frame.html");
const TRUST: &str = include_str!("trust.html");
const TRUST_STYLE: Asset = Asset::new("text/css; charset=utf-8", include_str!("trust.css"));

/// Scripts and styles come from the frame's own origin; who may frame it is the edge's to say.
const FRAME_CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                         base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'";
const TRUST_CSP: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'";

/// One customer's site: the same page for everyone, in other colours.
struct Site {
    host: &'static str,
    other: &'static str,
    theme: &'static str,
    name: &'static str,
    trade: &'static str,
    headline: &'static str,
    lead: &'static str,
    goods: [(&'static str, &'static str); 3],
}

const SITES: [Site; 2] = [
    Site {
        host: HOSTS[0],
        other: HOSTS[1],
        theme: "coffee",
        name: "Larkfield Coffee",
        trade: "Roasters since 1998",
        headline: "Coffee worth getting up for.",
        lead: "Small lots, roasted on Tuesdays, at your door by Friday. Questions? Our assistant is down in the corner.",
        goods: [
            ("Morning blend", "Round, sweet, forgiving"),
            ("Sidamo, washed", "Bergamot and apricot"),
            ("Night shift decaf", "All of the taste"),
        ],
    },
    Site {
        host: HOSTS[1],
        other: HOSTS[0],
        theme: "lamps",
        name: "Copperline Lamps",
        trade: "Lighting workshop",
        headline: "Good light, made by hand.",
        lead: "Spun copper, linen cord, a ten-year promise. We copied a chat widget's tag from somebody else's page.",
        goods: [
            ("The Anglepoint", "A desk lamp that stays put"),
            ("Dusk pendant", "For tables of six"),
            ("Harbour lantern", "Rated for weather"),
        ],
    },
];

impl DemoSite {
    /// The customer's page for the name that a browser asks for, its port included; for the edge on `localhost` a page
    /// that says where they are, and `None` for any other.
    pub fn host_page(&self, authority: &str) -> Option<String> {
        let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
        let own = self.public_origin.split_once("://").map(|(_, own)| own);
        if host.eq_ignore_ascii_case("localhost")
            && own.is_some_and(|own| own.eq_ignore_ascii_case(authority))
        {
            return Some(self.index_page(port));
        }
        let site = SITES.iter().find(|site| host.eq_ignore_ascii_case(site.host))?;
        Some(self.page_of(site, port))
    }

    fn index_page(&self, port: &str) -> String {
        let [site, stranger] = HOSTS.map(|host| with_port(host, port));
        let loader = format!("{}/w/{}/loader.js", self.public_origin, self.widget);
        fill(
            INDEX,
            &[
                ("site", &site),
                ("stranger", &stranger),
                ("widget", &self.widget),
                ("loader", &loader),
                ("operators_page", &self.operators_page),
            ],
        )
    }

    fn page_of(&self, site: &Site, port: &str) -> String {
        let other = with_port(site.other, port);
        let script = format!("{}/w/{}/loader.js", self.public_origin, self.widget);
        let [first, second, third] = site.goods;
        fill(
            HOST,
            &[
                ("host", site.host),
                ("other", &other),
                ("other_host", site.other),
                ("theme", site.theme),
                ("name", site.name),
                ("trade", site.trade),
                ("headline", site.headline),
                ("lead", site.lead),
                ("script", &script),
                ("good_1", first.0),
                ("good_1_text", first.1),
                ("good_2", second.0),
                ("good_2_text", second.1),
                ("good_3", third.0),
                ("good_3_text", third.1),
            ],
        )
    }
}

fn with_port(host: &str, port: &str) -> String {
    if port.is_empty() { host.to_owned() } else { format!("{host}:{port}") }
}

/// `GET /w/{widget}/frame`.
pub(crate) async fn frame(visit: Visit) -> Response {
    let loaded = match &visit.embedder {
        Some(embedder) => format!("Loaded on {embedder}"),
        None => "No embedding page is known".to_owned(),
    };
    let fields = [
        ("widget", visit.widget.as_str()),
        ("environment", visit.environment.as_str()),
        ("embedder", visit.embedder.as_deref().unwrap_or_default()),
        ("loaded", loaded.as_str()),
    ];
    html(fill(FRAME, &fields), Some(FRAME_CSP))
}

/// `GET /w/{widget}/trust`.
pub(crate) async fn trust(uri: Uri, visit: Visit) -> Response {
    trust_page(&uri, &visit, "")
}

/// `GET /w/{widget}/trust/{*rest}`: the consent and terms pages, and their style sheet and icon, which have to be as
/// public as they are.
pub(crate) async fn trust_file(
    params: RawPathParams,
    uri: Uri,
    visit: Visit,
    headers: HeaderMap,
) -> Response {
    match params.iter().find(|(name, _)| *name == "rest").map(|(_, rest)| rest) {
        Some("style.css") => TRUST_STYLE.answer(&headers),
        Some("icon.svg") => ICON.answer(&headers),
        Some(rest @ ("consent" | "terms")) => trust_page(&uri, &visit, rest),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn trust_page(uri: &Uri, visit: &Visit, section: &str) -> Response {
    let path = uri.path();
    let root = path.strip_suffix(section).unwrap_or(path).trim_end_matches('/');
    let (title, current) = match section {
        "consent" => ("Consent", "consent"),
        "terms" => ("Terms", "terms"),
        _ => ("Trust Center", "overview"),
    };
    let fields = [
        ("root", root),
        ("title", title),
        ("current", current),
        ("widget", &visit.widget),
        ("environment", &visit.environment),
    ];
    html(fill(TRUST, &fields), Some(TRUST_CSP))
}

fn html(body: String, csp: Option<&'static str>) -> Response {
    let mut response = axum::response::Html(body).into_response();
    let fields = response.headers_mut();
    fields.insert(header::CACHE_CONTROL, axum::http::HeaderValue::from_static("no-cache"));
    if let Some(csp) = csp {
        fields.insert(header::CONTENT_SECURITY_POLICY, axum::http::HeaderValue::from_static(csp));
    }
    response
}

/// Puts values for the `{{names}}` of a template, escaped for element content and quoted attributes. One pass, so that
/// a value is never read as a template; a name without a value becomes empty.
pub(crate) fn fill(template: &str, fields: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(template.len() + 512);
    let mut rest = template;
    while let Some((before, (name, tail))) =
        rest.split_once("{{").and_then(|(before, after)| Some((before, after.split_once("}}")?)))
    {
        out.push_str(before);
        if let Some((_, value)) = fields.iter().find(|(field, _)| *field == name) {
            escape_into(&mut out, value);
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

fn escape_into(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
}
