//! Mistakes in tokens, keys, certificates, paths and addresses.

use std::net::TcpListener;

use super::{Authority, Site, tell};
use crate::support::ports;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn in_the_tokens() {
    tell(&[
        (
            "no role",
            |site| site.secret("data/admin.tokens", &format!("# ours\n{TOKEN}\n")),
            "admin.token_file: data/admin.tokens:2: ",
            "`read TOKEN` or `write TOKEN`",
        ),
        (
            "another role",
            |site| site.secret("data/admin.tokens", &format!("admin {TOKEN}\n")),
            "admin.token_file: data/admin.tokens:1: ",
            "`read TOKEN` or `write TOKEN`",
        ),
        (
            "a character",
            |site| site.secret("data/admin.tokens", "read t\u{f6}ken\n"),
            "admin.token_file: data/admin.tokens:1: ",
            "A-Z a-z 0-9",
        ),
        (
            "a mode",
            |site| {
                site.secret("data/admin.tokens", &format!("write {TOKEN}\n"));
                site.mode("data/admin.tokens", 0o644);
            },
            "admin.token_file: data/admin.tokens: ",
            "chmod 600 data/admin.tokens",
        ),
        (
            "a folder",
            |site| {
                site.admin("token_file = \"conf\"");
                site.write("conf/x", "");
                site.mode("conf", 0o700);
            },
            "admin.token_file: conf: ",
            "Is a directory",
        ),
        (
            "a link to no file",
            |site| {
                std::os::unix::fs::symlink("nowhere", site.at("tokens")).unwrap();
                site.admin("token_file = \"tokens\"");
            },
            "admin.token_file: tokens: ",
            "is a link to a file that is not there; ",
        ),
        (
            "below a file",
            |site| {
                site.admin("token_file = \"tokens/admin\"");
                site.write("tokens", "");
            },
            "admin.token_file: tokens/admin: ",
            "tokens is a file and no folder",
        ),
    ]);
}

#[test]
fn in_the_keys() {
    tell(&[
        (
            "a link to no file",
            |site| {
                std::os::unix::fs::symlink("nowhere", site.at("keys")).unwrap();
                site.more("[tickets]\nkey_file = \"keys\"\n");
            },
            "tickets.key_file: keys: ",
            "is a link to a file that is not there; ",
        ),
        (
            "no base64",
            |site| site.secret("data/ticket.keys", "# ours\nsecret!\n"),
            "tickets.key_file: data/ticket.keys: line 2",
            "base64",
        ),
        (
            "a short one",
            |site| site.secret("data/ticket.keys", "c2hvcnQ=\n"),
            "tickets.key_file: data/ticket.keys: line 1",
            "32",
        ),
        ("none", |site| site.secret("data/ticket.keys", ""), "tickets.key_file: data/ticket.keys: ", "key"),
        (
            "a mode",
            |site| {
                site.secret("data/ticket.keys", "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=\n");
                site.mode("data/ticket.keys", 0o640);
            },
            "tickets.key_file: data/ticket.keys: ",
            "chmod 600 data/ticket.keys",
        ),
        (
            "a link to nowhere",
            |site| {
                std::os::unix::fs::symlink("nowhere", site.at("keys")).unwrap();
                site.more("[tickets]\nkey_file = \"keys/ticket.keys\"\n");
            },
            "tickets.key_file: keys/ticket.keys: ",
            "keys is a link to nowhere",
        ),
    ]);
}

#[test]
fn in_the_certificates() {
    tell(&[
        ("none", |site| site.tls("site.pem", "site.key"), "site.pem: ", "must have PEM certificates"),
        (
            "no PEM",
            |site| {
                site.pair("site");
                site.write("site.pem", "certificate");
                site.tls("site.pem", "site.key");
            },
            "site.pem: ",
            "must have PEM certificates",
        ),
        (
            "no key",
            |site| {
                site.pair("site");
                std::fs::remove_file(site.at("site.key")).unwrap();
                site.tls("site.pem", "site.key");
            },
            "site.key: ",
            "must have one PEM key",
        ),
        (
            "a certificate for a key",
            |site| {
                site.pair("site");
                site.tls("site.pem", "site.pem");
            },
            "site.pem: ",
            "must have one PEM key",
        ),
        (
            "another key",
            |site| {
                site.pair("site");
                site.pair("other");
                site.tls("site.pem", "other.key");
            },
            "other.key: ",
            "does not belong to the certificate in site.pem",
        ),
        (
            "a cut one",
            |site| {
                site.pair("site");
                let pem = std::fs::read_to_string(site.at("site.pem")).unwrap();
                site.write("site.pem", &pem[..pem.len() / 2]);
                site.tls("site.pem", "site.key");
            },
            "site.pem: ",
            "must have PEM certificates",
        ),
        (
            "no authority for operators",
            |site| {
                site.pair("site");
                site.admin("tls = { cert = \"site.pem\", key = \"site.key\", client_ca = \"ca.pem\" }");
            },
            "ca.pem: ",
            "must have PEM certificates",
        ),
        (
            "an operator's own for the authority",
            |site| {
                site.pair("site");
                site.admin("tls = { cert = \"site.pem\", key = \"site.key\", client_ca = \"site.pem\" }");
            },
            "site.pem: ",
            "name the authority that issued the operators' certificates",
        ),
        (
            "no authority of an upstream",
            |site| {
                site.upstream("tls = true\nsni = \"app.example\"\nca = \"ca.pem\"");
            },
            "ca.pem: ",
            "must have PEM certificates",
        ),
        (
            "an empty authority of an upstream",
            |site| {
                site.write("ca.pem", "");
                site.upstream("tls = true\nsni = \"app.example\"\nca = \"ca.pem\"");
            },
            "ca.pem: ",
            "must have PEM certificates",
        ),
    ]);
}

#[test]
fn in_the_paths() {
    tell(&[
        (
            "a folder for the store",
            |site| {
                site.write("store/x", "");
                site.more("[rules.store]\npath = \"store\"\n");
            },
            "rules.store.path: store: ",
            "set the path of a file",
        ),
        (
            "a link to nowhere for the store",
            |site| {
                std::os::unix::fs::symlink("nowhere", site.at("store")).unwrap();
                site.more("[rules.store]\npath = \"store\"\n");
            },
            "rules.store.path: store: ",
            "is a link to a file that is not there; ",
        ),
        (
            "a link into nowhere for the audit log",
            |site| {
                std::os::unix::fs::symlink("none/audit", site.at("audit")).unwrap();
                site.more("[log]\naudit = \"audit\"\n");
            },
            "log.audit: audit: ",
            "is a link into the folder ./none, which is not there; make it",
        ),
        (
            "another file for the store",
            |site| {
                site.write("store", "{}");
                site.more("[rules.store]\npath = \"store\"\n");
            },
            "store: ",
            "put back a copy",
        ),
        (
            "a store below a file",
            |site| site.more("[rules.store]\npath = \"conf/widgets.json/store\"\n"),
            "rules.store.path: conf/widgets.json/store: ",
            "conf/widgets.json is a file and no folder",
        ),
        (
            "a folder for the audit log",
            |site| {
                site.write("audit/x", "");
                site.more("[log]\naudit = \"audit\"\n");
            },
            "log.audit: audit: ",
            "set the path of a file",
        ),
        (
            "an audit log below a file",
            |site| site.more("[log]\naudit = \"conf/widgets.json/audit\"\n"),
            "log.audit: conf/widgets.json/audit: ",
            "is a file and no folder",
        ),
        (
            "a store that is lost",
            |site| {
                let record = serde_json::json!({
                    "at": "2026-01-01T00:00:00Z", "generation": 1, "source": "store", "actor": "x", "widget": "w",
                    "action": "create", "before": null, "after": 1,
                });
                site.write("data/audit.jsonl", format!("{record}\n"));
            },
            "data/rules.redb: ",
            "embedgate run --new-store",
        ),
        (
            "a folder for the socket",
            |site| {
                site.write("socket/x", "");
                site.edge("upgrade_socket = \"socket\"");
            },
            "edge.upgrade_socket: socket: ",
            "set the path of a socket in it",
        ),
        (
            "a file for the socket",
            |site| {
                site.write("notes", "");
                site.edge("upgrade_socket = \"notes\"");
            },
            "edge.upgrade_socket: notes: ",
            "would be lost",
        ),
        (
            "a long socket",
            |site| {
                site.edge(&format!("upgrade_socket = \"data/{}\"", "x".repeat(110)));
            },
            "edge.upgrade_socket: data/xxx",
            "of at most 99 bytes",
        ),
        (
            "one file twice",
            |site| site.more("[log]\naudit = \"data/rules.redb\"\n"),
            "rules.store.path: data/rules.redb is also log.audit",
            "give each its own",
        ),
        (
            "the store for who embeds",
            |site| site.more("[activity]\npath = \"data/rules.redb\"\n"),
            "rules.store.path: data/rules.redb is also activity.path",
            "give each its own",
        ),
        (
            "a store for the copy of a fleet's rules",
            |site| {
                site.write("data/rules.redb", "");
                std::fs::hard_link(site.at("data/rules.redb"), site.at("data/fleet.redb")).unwrap();
                of_a_fleet(site, "");
            },
            "rules.nats.cache: data/fleet.redb is also rules.store.path",
            "give each its own",
        ),
        (
            "the audit log for the copy of a fleet's rules",
            |site| of_a_fleet(site, "nats = { cache = \"data/../data/audit.jsonl\" }"),
            "rules.nats.cache: data/../data/audit.jsonl is also log.audit",
            "give each its own",
        ),
        (
            "a folder for the copy of a fleet's rules",
            |site| {
                site.write("cache/x", "");
                of_a_fleet(site, "nats = { cache = \"cache\" }");
            },
            "rules.nats.cache: cache: ",
            "",
        ),
        (
            "a pipe for the rules",
            |site| site.more("[rules]\nsource = \"file\"\nfile = { path = \"/dev/null\" }\n"),
            "/dev/null: ",
            "neither a file nor a folder",
        ),
    ]);
}

/// Has the rules come from a bucket of NATS. No server is needed to find a mistake.
fn of_a_fleet(site: &mut Site, more: &str) {
    site.secret("data/ticket.keys", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n");
    site.more(&format!("[rules]\nsource = \"nats\"\n{more}\n"));
}

/// The same with TLS.
fn of_a_fleet_with(site: &mut Site, tls: &str) {
    of_a_fleet(site, &format!("nats = {{ servers = [\"tls://127.0.0.1:4222\"], tls = {{ {tls} }} }}"));
}

#[test]
fn in_the_files_toward_nats() {
    tell(&[
        (
            "no authority",
            |site| of_a_fleet_with(site, "ca = \"ca.pem\""),
            "rules.nats.tls.ca: ca.pem: not usable as certificate authorities: ",
            "the file must have PEM certificates",
        ),
        (
            "another text",
            |site| {
                site.write("ca.pem", "authority");
                of_a_fleet_with(site, "ca = \"ca.pem\"");
            },
            "rules.nats.tls.ca: ca.pem: no certificate",
            "the file must have PEM certificates",
        ),
        (
            "no certificate",
            |site| of_a_fleet_with(site, "cert = \"edge.pem\", key = \"edge.key\""),
            "rules.nats.tls.cert: edge.pem: not a certificate chain: ",
            "the file must have PEM certificates",
        ),
        (
            "the key of another",
            |site| {
                let authority = Authority::new();
                let pairs = ["edge", "other"].map(|name| {
                    let (cert, _) = authority.issue(&["edge.example"]).write(site.folder.path(), name);
                    cert
                });
                std::fs::rename(&pairs[1], &pairs[0]).unwrap();
                of_a_fleet_with(site, "cert = \"edge.pem\", key = \"edge.key\"");
            },
            "rules.nats.tls.key: edge.key: does not belong to the certificate in edge.pem",
            "",
        ),
        (
            "no credentials",
            |site| of_a_fleet(site, "nats = { credentials = \"edge.creds\" }"),
            "rules.nats.credentials: edge.creds: No such file",
            "",
        ),
        (
            "a password for credentials",
            |site| {
                site.secret("edge.creds", "secret\n");
                of_a_fleet(site, "nats = { credentials = \"edge.creds\" }");
            },
            "rules.nats.credentials: edge.creds: cannot parse user JWT",
            "`nsc generate creds`",
        ),
    ]);
}

#[test]
fn in_the_addresses() {
    tell(&[
        (
            "the edge's port",
            |site| {
                let addr = taken();
                let first = site.config.lines().nth(1).unwrap().to_owned();
                site.change(&first, &format!("listen = [\"{addr}\"]"));
            },
            "edge.listen: can't listen on 127.0.0.1:",
            "set another port",
        ),
        (
            "the port of TLS",
            |site| {
                site.pair("site");
                site.tls("site.pem", "site.key");
                let addr = taken();
                let first = site.config.lines().nth(6).unwrap().to_owned();
                site.change(&first, &format!("listen = \"{addr}\""));
            },
            "edge.tls.listen: can't listen on 127.0.0.1:",
            "set another port",
        ),
        (
            "the admin side's port",
            |site| {
                let addr = taken();
                let first = site.config.lines().nth(6).unwrap().to_owned();
                site.change(&first, &format!("listen = \"{addr}\""));
            },
            "admin.listen: can't listen on 127.0.0.1:",
            "set another port",
        ),
        (
            "the port of probes",
            |site| {
                let addr = taken();
                site.admin(&format!("probe = {{ listen = \"{addr}\" }}"));
            },
            "admin.probe.listen: can't listen on 127.0.0.1:",
            "set another port",
        ),
        (
            "an address of another machine",
            |site| {
                let first = site.config.lines().nth(1).unwrap().to_owned();
                site.change(&first, "listen = [\"192.0.2.1:18000\"]");
            },
            "edge.listen: can't listen on 192.0.2.1:18000: ",
            "or 0.0.0.0 for all of them",
        ),
    ]);
}

/// An address that something listens on, to the end of the tests.
fn taken() -> std::net::SocketAddr {
    let listener = TcpListener::bind(ports::free()).unwrap();
    let addr = listener.local_addr().unwrap();
    std::mem::forget(listener);
    addr
}

#[test]
fn several_are_told_at_once() {
    let mut site = Site::new();
    site.secret("data/admin.tokens", "nobody\n");
    site.secret("data/ticket.keys", "x\n");
    site.tls("site.pem", "site.key");
    site.upstream("tls = true\nsni = \"app.example\"\nca = \"ca.pem\"");
    site.write("notes", "");
    site.edge("upgrade_socket = \"notes\"");
    site.more("[policy]\npublic_suffix_list = \"none.dat\"\n");
    site.settle();
    let (checked, ran) = (site.run("check"), site.run("run"));
    let faults: Vec<&str> = checked.out.lines().filter_map(|line| line.strip_prefix("error: ")).collect();
    assert_eq!(faults.len(), 6, "{checked:?}");
    for fault in faults {
        assert!(ran.err.contains(fault), "{fault}: {ran:?}");
    }
}
