//! The key file: made once, and changed while the edge runs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{SITE, call, given, keys, logged, renew, session, signed, spec};
use crate::support::edge::{Edge, write_tokens};
use crate::support::eventually;
use crate::support::upstream::Upstream;

const NEW: &str = "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=";

#[tokio::test]
async fn a_rotation_loses_no_ticket() {
    let upstream = Upstream::start("app").await;
    let edge = Edge::start(spec(upstream.addr)).await;
    let path = edge.folder().join("data/ticket.keys");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600, "made for its owner alone");
    let text = fs::read_to_string(&path).unwrap();
    let old = text.lines().find(|line| !line.starts_with('#')).unwrap().to_owned();
    let (first, mut taken) = (keys(&edge), 0);
    let ticket = async || given(&call(&edge, "w", &[("Origin", SITE)]).await);
    let mut write = async |lines: &str| {
        write_tokens(&path, lines);
        taken += 1;
        let said = || edge.log().matches("new ticket keys in force").count();
        eventually("the keys are taken", async || said() == taken).await;
    };
    let by_old = ticket().await;

    write(&format!("{old}\n{NEW}\n")).await;
    assert_eq!(signer(&ticket().await), signer(&by_old), "appended: it verifies, and does not sign yet");
    let elsewhere = embedgate_policy::ticket::TicketKeys::parse(NEW).unwrap();
    assert_eq!(session(&edge, &signed(&elsewhere, "w", SITE, 60)).await.status, 200);

    write(&format!("{NEW}\n{old}\n")).await;
    let by_new = ticket().await;
    assert_ne!(signer(&by_new), signer(&by_old), "moved first: it signs");
    assert_eq!(session(&edge, &by_old).await.status, 200);

    write(&format!("{NEW}\n")).await;
    assert_eq!(session(&edge, &by_new).await.status, 200);
    let retired = session(&edge, &by_old).await;
    assert_eq!(retired.status, 403);
    assert_eq!(logged(&edge, &retired).await["ticket_fault"], "unknown_key");
    assert_ne!(keys(&edge).fingerprint(), first.fingerprint());

    write_tokens(&path, "not a key\n");
    eventually("the fault is said", async || edge.log().contains("new ticket keys refused")).await;
    assert!(
        edge.log().contains("ticket.keys: line 1") && !edge.log().contains("not a key"),
        "{}",
        edge.log()
    );
    assert_eq!(session(&edge, &by_new).await.status, 200, "the last good ones stay");
    assert!(!edge.log().contains(&old) && !edge.log().contains(NEW));
}

/// The part of a ticket that names its key: the bytes after the version, in base64.
fn signer(ticket: &str) -> &str {
    &ticket[2..6]
}

#[tokio::test]
async fn edges_with_the_same_keys_take_each_other_s_tickets() {
    let upstream = Upstream::start("app").await;
    let folder = tempfile::tempdir().unwrap();
    let shared = folder.path().join("ticket.keys");
    write_tokens(&shared, &format!("{NEW}\n"));
    let edge = async |key_file: Option<&Path>| {
        let mut spec = spec(upstream.addr);
        spec.source = "store";
        spec.more += &key_file.map_or_else(String::new, |path| format!("[tickets]\nkey_file = {path:?}\n"));
        Edge::start(spec).await
    };
    let (one, two, other) = (edge(Some(&shared)).await, edge(Some(&shared)).await, edge(None).await);
    for (from, to) in [(&one, &two), (&two, &one)] {
        let ticket = given(&call(from, "w", &[("Origin", SITE)]).await);
        assert_eq!(session(to, &ticket).await.status, 200);
        assert_eq!(renew(to, "w", &ticket).await.status, 200);
        let foreign = session(&other, &ticket).await;
        assert_eq!(foreign.status, 403);
        assert_eq!(logged(&other, &foreign).await["ticket_fault"], "unknown_key");
    }
}

#[tokio::test]
async fn a_fleet_s_edge_makes_no_keys_of_its_own() {
    let upstream = Upstream::start("app").await;
    let mut spec = spec(upstream.addr);
    spec.source = "nats";
    let mut edge = Edge::spawn(spec);
    assert_eq!(edge.exit_code().await, Some(1));
    let check = Edge::command(edge.folder()).arg("check").output().unwrap();
    assert_eq!(check.status.code(), Some(1));
    for said in [edge.log(), String::from_utf8_lossy(&check.stdout).into_owned()] {
        for part in ["tickets.key_file: data/ticket.keys is missing", "copy the file from another edge"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    assert!(!edge.folder().join("data/ticket.keys").exists());
}

#[tokio::test]
async fn a_key_file_that_others_can_read_keeps_the_edge_from_starting() {
    let upstream = Upstream::start("app").await;
    let mut edge = Edge::start(spec(upstream.addr)).await;
    edge.signal("KILL");
    edge.exit_code().await;
    let path = edge.folder().join("data/ticket.keys");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let run = Edge::command(edge.folder()).arg("check").output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned() + &*String::from_utf8_lossy(&run.stderr);
    assert!(!run.status.success() && said.contains("ticket.keys") && said.contains("chmod 600"), "{said}");
    let run = Edge::command(edge.folder()).output().unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(!run.status.success() && said.contains("tickets.key_file"), "{said}");
}
