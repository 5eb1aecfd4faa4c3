//! Disks and modes that keep an edge from writing.

use std::fs;

use super::{Site, listing, starts, tell};
use crate::support::disk::SmallDisk;

#[test]
fn what_may_not_be_written_is_told() {
    tell(&[
        (
            "a data folder",
            |site| {
                site.secret("data/admin.tokens", "write 0123456789abcdef0123456789abcdef\n");
                site.secret("data/ticket.keys", "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=\n");
                site.more("[log]\naudit = \"logs/audit.jsonl\"\n");
                site.edge("upgrade_socket = \"run/upgrade.sock\"");
                site.mode("data", 0o500);
                site.confined = true;
            },
            "rules.store.path: data/rules.redb: ",
            "may make no files in the folder data",
        ),
        (
            "a folder for tokens",
            |site| {
                site.write("secrets/x", "");
                site.mode("secrets", 0o500);
                site.admin("token_file = \"secrets/admin.tokens\"");
                site.confined = true;
            },
            "admin.token_file: secrets/admin.tokens: ",
            "may make no files in the folder secrets",
        ),
        (
            "a folder for keys",
            |site| {
                site.write("secrets/x", "");
                site.mode("secrets", 0o500);
                site.more("[tickets]\nkey_file = \"secrets/ticket.keys\"\n");
                site.confined = true;
            },
            "tickets.key_file: secrets/ticket.keys: ",
            "may make no files in the folder secrets",
        ),
        (
            "an audit log",
            |site| {
                site.write("logs/audit.jsonl", "");
                site.mode("logs/audit.jsonl", 0o400);
                site.more("[log]\naudit = \"logs/audit.jsonl\"\n");
                site.confined = true;
            },
            "log.audit: logs/audit.jsonl: ",
            "may not read and write it",
        ),
        (
            "a folder for the socket",
            |site| {
                site.write("run/x", "");
                site.mode("run", 0o500);
                site.edge("upgrade_socket = \"run/upgrade.sock\"");
                site.confined = true;
            },
            "edge.upgrade_socket: run/upgrade.sock: ",
            "may make no files in the folder run",
        ),
        (
            "a file of tokens",
            |site| {
                site.secret("data/admin.tokens", "write 0123456789abcdef0123456789abcdef\n");
                site.mode("data/admin.tokens", 0o000);
                site.confined = true;
            },
            "admin.token_file: data/admin.tokens: ",
            "Permission denied",
        ),
        (
            "a key",
            |site| {
                site.pair("site");
                site.mode("site.key", 0o000);
                site.tls("site.pem", "site.key");
                site.confined = true;
            },
            "site.key: ",
            "must have one PEM key",
        ),
    ]);
}

/// With a store that is there, the edge serves although no change can be saved. That is worth a warning.
#[test]
fn an_audit_log_that_can_not_be_written_is_a_warning_beside_a_store() {
    let mut site = Site::new();
    site.more("[log]\naudit = \"logs/audit.jsonl\"\n");
    site.settle();
    assert_eq!(starts(&site), None);
    site.mode("logs/audit.jsonl", 0o400);
    site.confined = true;
    let checked = site.run("check");
    assert_eq!(checked.code, 0, "{checked:?}");
    assert!(
        checked.out.contains("warning: log.audit: logs/audit.jsonl: this user may not write it"),
        "{checked:?}"
    );
    assert_eq!(starts(&site), None);
}

#[test]
fn a_read_only_disk_is_told() {
    let disk = SmallDisk::mount("1m");
    let mut site = Site::new();
    site.more(&format!("[rules.store]\npath = \"{}\"\n", disk.at("rules.redb").display()));
    site.settle();
    disk.resize("1m,ro");
    let (checked, ran) = (site.run("check"), site.run("run"));
    let says = format!("the folder {} is read-only", disk.path().display());
    assert!(checked.code == 1 && checked.out.contains(&says), "{checked:?}");
    assert!(ran.code == 1 && ran.err.contains(&says), "{ran:?}");
    disk.resize("1m,rw");
}

/// A file of half a secret, or of none, would be refused by every later start.
#[test]
fn a_full_disk_leaves_no_half_a_secret() {
    let disk = SmallDisk::mount("16k");
    let mut site = Site::new();
    site.admin(&format!("token_file = \"{}\"", disk.at("admin.tokens").display()));
    site.more(&format!("[tickets]\nkey_file = \"{}\"\n", disk.at("ticket.keys").display()));
    site.settle();
    // Room for one of the two files.
    fs::write(disk.at("filler"), [0; 3 * 4096]).unwrap();
    let ran = site.run("run");
    assert!(ran.code == 1 && ran.err.contains("tickets.key_file: "), "{ran:?}");
    assert!(ran.err.contains("No space left") || ran.err.contains("no room left"), "{ran:?}");
    let names: Vec<_> = listing(disk.path()).into_iter().filter(|line| !line.contains("filler")).collect();
    assert!(names.iter().all(|line| !line.contains("ticket.keys")), "{names:?}");
    assert_eq!(names.len(), 2, "{names:?}");
    // What is full now is told without a start, too.
    let checked = site.run("check");
    assert!(checked.code == 1 && checked.out.contains("no room left on the file system"), "{checked:?}");
    fs::remove_file(disk.at("filler")).unwrap();
    assert_eq!(starts(&site), None);
}

/// It has to start there, to be told what to stop.
#[test]
fn an_edge_starts_on_a_full_disk_with_what_it_has() {
    let disk = SmallDisk::mount("4m");
    let site = Site::new();
    std::os::unix::fs::symlink(disk.path(), site.at("data")).unwrap();
    site.settle();
    assert_eq!(starts(&site), None);
    assert!(fs::write(disk.at("filler"), vec![0; 8 << 20]).is_err(), "the disk is full now");
    let checked = site.run("check");
    assert_eq!(checked.code, 0, "{checked:?}");
    assert_eq!(starts(&site), None);
}
