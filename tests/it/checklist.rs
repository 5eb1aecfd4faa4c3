//! The checklist: each planted fault is found by its own point, and what is in order passes.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::certificates::Pair;
use crate::support::edge::{Edge, EdgeSpec, usual_routes};
use crate::support::eventually;
use crate::support::ports;
use crate::support::sites::Sites;
use crate::support::tls::EdgeTls;

mod fetched;

const EDGE: &str = "embed.example.net";
const SITE: &str = "https://shop.example.com";

/// A route whose upstream is away, before the usual ones.
const ODD_ROUTES: &str = r#"
[[routes]]
path = "/odd/lost.js"
class = "asset"
widget = "fixed:lost"
upstream = "lost"
"#;

/// A deployment: an edge under https and a site.
struct Deployed {
    edge: Edge,
    tls: EdgeTls,
    sites: Sites,
}

/// A fault, and the point that finds it.
struct Planted {
    point: &'static str,
    /// What is in the document, beside what is in order.
    document: Value,
    arguments: Vec<String>,
}

/// The document of a widget in order, with something else in it.
fn document(id: &str, other: &Value) -> Value {
    let mut document = json!({
        "id": id, "access": "enforce", "capabilities": ["chat", "voice"],
        "allowed_domains": ["shop.example.com"],
        "limits": { "address": { "sessions": 50, "opens_per_minute": 500 } },
    });
    let fields = document.as_object_mut().unwrap();
    fields.extend(other.as_object().unwrap().clone());
    fields.retain(|_, value| !value.is_null());
    document
}

impl Deployed {
    /// An edge with these widgets, whose site has been visited with each; and more TLS listeners, with these certificates.
    async fn with(ids: &[String], others: &[(SocketAddr, &str, Pair)], tls: EdgeTls) -> Self {
        let widgets: Vec<Value> = ids.iter().map(|id| document(id, &json!({}))).collect();
        let mut spec = EdgeSpec::stored(&json!(widgets));
        spec.public_origins = Some(format!("[\"https://{EDGE}\"]"));
        spec.routes = Some(format!("{ODD_ROUTES}{}", usual_routes("demo")));
        spec.more = format!("[upstreams.lost]\nservers = [\"{}\"]\n", ports::free());
        let listeners =
            std::iter::once((tls.addr, "site", tls.certificate.clone())).chain(others.iter().cloned());
        let listeners = listeners.map(|(addr, name, pair)| {
            let (cert, key) = pair.write(tls.folder(), name);
            format!("{{ listen = \"{addr}\", certificates = [{{ cert = {cert:?}, key = {key:?} }}] }}")
        });
        spec.edge = format!("redirect_http = true\ntls = [{}]\n", listeners.collect::<Vec<_>>().join(", "));
        let edge = Edge::start(spec).await;
        let sites = Sites::start(&tls.authority, &["shop.example.com"]).await;
        let deployed = Self { edge, tls, sites };
        for id in ids.iter().filter(|id| *id != "traffic") {
            deployed.visit(id).await;
        }
        deployed.visited("site").await;
        deployed
    }

    /// One request of a browser on the site.
    async fn visit(&self, id: &str) {
        let mut stream = self.tls.http1().await;
        let request = format!(
            "GET /w/{id}/loader.js HTTP/1.1\r\nHost: {EDGE}\r\nOrigin: {SITE}\r\nSec-Fetch-Site: cross-site\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
    }

    /// Waits until the visits are known.
    async fn visited(&self, id: &str) {
        eventually("the visit is known", async || {
            let path = format!("/v1/widgets/{id}/checklist");
            let known: Value = self.edge.admin(&path).await.json().await.unwrap();
            known["facts"]["traffic"]["browsers"] == 1
        })
        .await;
    }

    /// The command for a widget and a page, with the places of all names unless the arguments have others.
    fn command(&self, id: &str, page: &str, arguments: &[String]) -> Command {
        let mut command = Edge::command(self.edge.folder());
        command.args(["checklist", "--json", "--widget", id, "--site", &format!("{SITE}{page}")]);
        command.arg("--trust").arg(self.tls.ca()).args(arguments);
        for (name, address) in [
            (format!("{EDGE}:443"), self.tls.addr),
            (format!("{EDGE}:80"), self.edge.http),
            ("shop.example.com:443".to_owned(), self.sites.tls),
        ] {
            command.args(["--resolve", &format!("{name}={address}")]);
        }
        command
    }
}

/// The points of a run that do not pass, with their states, and the exit code.
fn found(command: &mut Command) -> (i32, Vec<(String, String)>, Value) {
    let ran = command.output().unwrap();
    let out = String::from_utf8(ran.stdout).unwrap();
    let told: Value = serde_json::from_str(&out).unwrap_or_else(|error| {
        panic!("{error}: {command:?}: {out} {}", String::from_utf8_lossy(&ran.stderr))
    });
    let text = |point: &Value, key: &str| point[key].as_str().unwrap().to_owned();
    let points = told["points"].as_array().unwrap();
    let found = points.iter().filter(|point| !point["mend"].is_null());
    let found = found.map(|point| (text(point, "code"), text(point, "state"))).collect();
    (ran.status.code().unwrap(), found, told)
}

fn tag() -> String {
    format!("<script src=\"https://{EDGE}/w/{{id}}/loader.js\" async></script>")
}

/// The point that finds a page's fault, the page's path, its fields and its HTML.
type PlantedPage = (&'static str, &'static str, &'static [(&'static str, &'static str)], &'static str);

/// The pages of the site, by path: what each sends, and its HTML, in which `{tag}` is the tag of widget `site`.
const PAGES: [PlantedPage; 13] = [
    ("", "/", &[], "{tag}"),
    ("linked", "/bare", &[], "<p>{tag-as-text}"),
    (
        "linked",
        "/held",
        &[],
        "<script type='text/plain' src='https://embed.example.net/w/site/loader.js'></script>",
    ),
    ("mixed_content", "/mixed", &[], "<script src='http://embed.example.net/w/site/loader.js'></script>"),
    ("csp_script", "/csp-script", &[("content-security-policy", "script-src 'self'")], "{tag}"),
    (
        "csp_frame",
        "/csp-frame",
        &[],
        "<meta http-equiv=content-security-policy content=\"child-src 'self'\">{tag}",
    ),
    ("csp_connect", "/csp-connect", &[("content-security-policy", "connect-src 'self'")], "{tag}"),
    ("permissions_policy", "/permissions", &[("permissions-policy", "microphone=(self)")], "{tag}"),
    ("integrity_policy", "/integrity", &[("integrity-policy", "blocked-destinations=(script)")], "{tag}"),
    ("coep", "/coep", &[("cross-origin-embedder-policy", "require-corp")], "{tag}"),
    ("connection_allowlist", "/allowlist", &[("connection-allowlist", "(response-origin)")], "{tag}"),
    ("referrer_policy", "/referrer", &[("referrer-policy", "no-referrer")], "{tag}"),
    (
        "",
        "/strict",
        &[
            (
                "content-security-policy",
                "default-src 'none'; script-src https://embed.example.net; frame-src *.example.net; connect-src https:",
            ),
            ("permissions-policy", "microphone=(self \"https://embed.example.net\")"),
            ("connection-allowlist", "(response-origin \"https://embed.example.net\")"),
            ("referrer-policy", "strict-origin"),
        ],
        "{tag}",
    ),
];

/// Faults of documents and addresses. Each has a widget of its own, named like its point.
fn planted(second: SocketAddr, third: SocketAddr) -> Vec<Planted> {
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24);
    let of = |point, document| Planted { point, document, arguments: Vec::new() };
    let at = |point, name: &str, address| Planted {
        arguments: vec!["--resolve".to_owned(), format!("{name}={address}")],
        ..of(point, json!({}))
    };
    vec![
        of("enabled", json!({ "enabled": false })),
        of("restricted", json!({ "access": "monitor" })),
        of("staging_left", json!({ "allowed_domains": ["shop.example.com", "staging.example.com"] })),
        of(
            "expiring_entries",
            json!({ "allowed_domains": ["shop.example.com", { "pattern": "fair.example.org", "expires_at": soon }] }),
        ),
        of("limits", json!({ "limits": null })),
        of("public_pages", json!({ "public_trust_center": false })),
        of("listed", json!({ "allowed_domains": ["other.example.com"] })),
        of("traffic", json!({})),
        of("loader_allowed", json!({ "id": "lost" })),
        of("page", json!({})),
        at("certificate", &format!("{EDGE}:443"), second),
        of("redirect", json!({})),
        Planted {
            arguments: [
                "--edge",
                "https://other.example.net",
                "--resolve",
                &format!("other.example.net:443={third}"),
            ]
            .map(str::to_owned)
            .into(),
            ..of("own_origin", json!({}))
        },
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_planted_fault_is_found_by_its_own_point() {
    let (second, third) = (ports::free(), ports::free());
    let tls = EdgeTls::of(EDGE);
    let others = [
        (second, "expired", tls.authority.issue_valid(&[EDGE], 2020..2021)),
        (third, "other", tls.authority.issue(&["other.example.net"])),
    ];
    let planted = planted(second, third);
    let id = |planted: &Planted| planted.document["id"].as_str().unwrap_or(planted.point).to_owned();
    let ids: Vec<String> = planted.iter().map(id).chain(["site".to_owned()]).collect();
    let deployed = Deployed::with(&ids, &others, tls).await;
    for planted in &planted {
        let (status, answer) = deployed.edge.put(&document(&id(planted), &planted.document)).await;
        assert_eq!(status, 200, "{answer}");
    }
    for (_, path, fields, html) in PAGES {
        let html =
            html.replace("{tag}", &tag().replace("{id}", "site")).replace("{tag-as-text}", "&lt;script&gt;");
        deployed.sites.put(path, fields, html);
    }
    for planted in &planted {
        let html = tag().replace("{id}", &id(planted));
        let html = match planted.point {
            "loader_allowed" => format!("<script src=\"https://{EDGE}/odd/lost.js\"></script>"),
            "own_origin" => html.replace(EDGE, "other.example.net"),
            _ => html,
        };
        deployed.sites.put(format!("/of/{}", id(planted)).leak(), &[], html);
    }
    // What answers over plain http, and should not.
    let plain = format!("{EDGE}:80={}", deployed.sites.plain);
    let mut runs: Vec<(String, Command)> = Vec::new();
    for (point, path, ..) in PAGES {
        runs.push((point.to_owned(), deployed.command("site", path, &[])));
    }
    for planted in &planted {
        let page =
            if planted.point == "page" { "/missing".to_owned() } else { format!("/of/{}", id(planted)) };
        let arguments = match planted.point {
            "redirect" => vec!["--resolve".to_owned(), plain.clone()],
            _ => planted.arguments.clone(),
        };
        runs.push((planted.point.to_owned(), deployed.command(&id(planted), &page, &arguments)));
    }
    deployed.sites.put("/", &[], tag().replace("{id}", "site"));
    // Few at a time: each asks for a dozen things at once.
    let queue = std::sync::Mutex::new(runs);
    let faults = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap().pop();
                    let Some((point, mut command)) = next else { break };
                    let (code, found, told) = found(&mut command);
                    let codes: Vec<&str> = found.iter().map(|(code, _)| code.as_str()).collect();
                    let expected: Vec<&str> = if point.is_empty() { vec![] } else { vec![point.as_str()] };
                    let fails = found.iter().any(|(_, state)| state == "fail");
                    if codes != expected || code != i32::from(fails) {
                        faults.lock().unwrap().push(format!("{point}: {found:?}, exit {code}\n{told:#}"));
                    }
                }
            });
        }
    });
    let faults = faults.into_inner().unwrap();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_s_own_page_passes() {
    let edge = Edge::start(EdgeSpec { source: "store", ..EdgeSpec::default() }).await;
    let site = format!("http://site.localhost:{}/", edge.http.port());
    let mut command = Edge::command(edge.folder());
    command.args(["checklist", "--widget", "wgt_demo", "--site", &site]);
    let ran = command.output().unwrap();
    let out = String::from_utf8(ran.stdout).unwrap();
    assert_eq!((ran.status.code(), out.contains(" 0 failed")), (Some(0), true), "{out}");
    let shown: Vec<&str> = out.lines().filter(|line| line.starts_with("  fail")).collect();
    assert!(shown.is_empty(), "{shown:?}");
    assert!(out.contains("pass     The page has the widget's tag (linked)"), "{out}");
}

#[tokio::test]
async fn an_edge_that_does_not_answer_can_t_be_asked() {
    let edge = Edge::start(EdgeSpec::default()).await;
    for (code, arguments) in [
        (3, &["--edge", &format!("http://localhost:{}", ports::free().port())][..]),
        (1, &["--widget", "unknown"]),
        (2, &["--edge", "localhost:1"]),
        (2, &["--site", "ftp://shop.example.com"]),
        (2, &["--resolve", "shop.example.com=127.0.0.1"]),
    ] {
        let mut command = Edge::command(edge.folder());
        command.arg("checklist");
        if !arguments.contains(&"--widget") {
            command.args(["--widget", "wgt_demo"]);
        }
        let ran = command.args(arguments).output().unwrap();
        assert_eq!(ran.status.code(), Some(code), "{arguments:?}: {ran:?}");
    }
}
