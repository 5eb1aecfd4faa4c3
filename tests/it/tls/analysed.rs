//! TLS listeners as Debian's testssl.sh sees them. `make testssl` installs it and runs this.

use std::process::Command;

use serde_json::Value;

use super::Site;
use crate::support::edge::Edge;
use crate::support::ports;
use crate::support::upstream::Upstream;

/// What it finds above LOW at a listener, explained in docs/operations.md. The second is the certificate's own.
const FOUND: [&str; 2] = ["cipher_order", "cert_revocation"];

#[tokio::test]
#[ignore = "needs testssl.sh and a minute: make testssl"]
async fn testssl_finds_only_what_is_explained() {
    let upstream = Upstream::start("app").await;
    let site = Site::new();
    // It resolves the name in some of its checks, whatever address it was given.
    let pair = site.authority.issue_public(&["localhost"], 80);
    pair.write(site.folder.path(), "site");
    std::fs::write(site.file("ca.pem"), site.authority.pem()).unwrap();
    let newest = ports::free();
    let mut spec = site.spec_at(&[site.addr, newest], &upstream);
    let listen = format!("listen = \"{newest}\"");
    spec.edge = spec.edge.replace(&listen, &format!("{listen}, min_version = \"1.3\""));
    let edge = Edge::start(spec).await;
    let analyses = [(site.addr.port(), &FOUND[..]), (newest.port(), &FOUND[1..])].map(|(port, expected)| {
        let (ca, report) = (site.file("ca.pem"), site.file(&format!("{port}.json")));
        tokio::task::spawn_blocking(move || {
            let ran = Command::new("testssl")
                .args(["--quiet", "--color", "0", "--warnings", "off", "--ip", "127.0.0.1", "--add-ca"])
                .arg(ca)
                .arg("--jsonfile")
                .arg(&report)
                // Protocols, ciphers, forward secrecy, preferences, certificate, fields of answers, vulnerabilities.
                .args(["-p", "-s", "-f", "-P", "-S", "-h", "-U"])
                .arg(format!("https://localhost:{port}/w/w/loader.js"))
                .output();
            let ran = ran.unwrap_or_else(|error| panic!("testssl: {error}: see `make testssl`"));
            let told = std::fs::read_to_string(report);
            let told =
                told.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&ran.stdout)));
            let told: Vec<Value> = serde_json::from_str(&told).unwrap();
            let is_fine = |finding: &Value| {
                // With WARN it says that it could not look: whether TLS 1.3 resumes depends on its timing.
                ["OK", "INFO", "LOW", "DEBUG", "WARN"].contains(&finding["severity"].as_str().unwrap())
            };
            let (fine, found): (Vec<Value>, Vec<Value>) = told.into_iter().partition(is_fine);
            let ids: Vec<&str> = found.iter().map(|finding| finding["id"].as_str().unwrap()).collect();
            assert_eq!(ids, expected, "{found:#?}");
            assert!(fine.len() > 50, "{fine:#?}");
        })
    });
    for analysis in analyses {
        analysis.await.unwrap();
    }
    assert!(!edge.log().contains("alert") && !edge.log().contains("handshake"), "{}", edge.log());
}
