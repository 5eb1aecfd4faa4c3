//! A check beside a running edge, and before systemd starts one.

use std::process::{Command, Stdio};

use serde_json::json;

use super::{Site, listing, starts};
use crate::cli::finished;
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::ports;

#[tokio::test]
async fn an_edge_that_runs_has_its_addresses_and_its_store() {
    let edge =
        Edge::start(EdgeSpec::stored(&json!([{ "id": "w", "allowed_domains": ["example.com"] }]))).await;
    let ran = finished(Edge::command(edge.folder()).arg("check"));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(!ran.out.contains("in use") && !ran.out.contains("upgrade_socket"), "{ran:?}");
    // A second one does not start.
    let ran = finished(Edge::command(edge.folder()).arg("run"));
    assert_eq!(ran.code, 1, "{ran:?}");
    // What else is wrong is found all the same.
    std::fs::write(edge.tokens(), "nobody\n").unwrap();
    let ran = finished(Edge::command(edge.folder()).arg("check"));
    assert!(ran.code == 1 && ran.out.contains("error: admin.token_file: "), "{ran:?}");
}

/// A socket unit of systemd has the addresses, and gives them to the start alone.
#[test]
fn before_a_service_starts_an_address_in_use_is_a_warning() {
    let mut site = Site::new();
    let taken = std::net::TcpListener::bind(ports::free()).unwrap();
    let first = site.config.lines().nth(1).unwrap().to_owned();
    site.change(&first, &format!("listen = [\"{}\"]", taken.local_addr().unwrap()));
    site.settle();
    let check = site.command("check");
    let script = format!("SYSTEMD_EXEC_PID=$$ exec {} check", check.get_program().display());
    let mut pre = Command::new("sh");
    pre.args(["-c", &script]).current_dir(site.folder.path()).stdin(Stdio::null()).env_clear();
    let ran = finished(&mut pre);
    assert!(ran.code == 0 && ran.out.contains("warning: edge.listen: can't listen on "), "{ran:?}");
    assert_eq!(site.run("check").code, 1);
}

/// A check changes nothing: neither before the first start nor after it.
#[test]
fn a_check_changes_nothing_on_the_disk() {
    for source in ["store", "file"] {
        let mut site = Site::new();
        site.more(&format!("[rules]\nsource = \"{source}\"\n"));
        site.settle();
        for time in ["before", "after"] {
            let was = unchanged(&site);
            let checked = site.run("check");
            assert_eq!(checked.code, 0, "{checked:?}");
            assert_eq!(unchanged(&site), was, "{time} the first start, rules from a {source}");
            assert_eq!(starts(&site), None);
        }
    }
}

/// What may not change. The library of the store notes in its file that it is open.
fn unchanged(site: &Site) -> Vec<String> {
    listing(site.folder.path()).into_iter().filter(|line| !line.contains("/rules.redb ")).collect()
}
