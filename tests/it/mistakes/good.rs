//! Variants that are fine: `check` passes each, and each starts.

use std::sync::Mutex;

use super::{Site, in_turns, starts};
use crate::support::{is_full, ports};

type Variant = (&'static str, fn(&mut Site));

#[test]
fn what_check_passes_starts() {
    let variants: &[Variant] = &[
        ("the plain one", |_| {}),
        ("rules from a file", |site| site.more("[rules]\nsource = \"file\"\n")),
        ("rules from a folder", |site| {
            site.more("[rules]\nsource = \"file\"\nfile = { path = \"rules\" }\n");
            site.write("rules/a.json", "{\"id\": \"a\"}");
        }),
        ("no widgets", |site| site.rules("{\"widgets\": []}")),
        ("no seed, and none named", |site| site.rules("")),
        ("a byte order mark", |site| site.config.insert(0, '\u{feff}')),
        ("one in the rules", |site| site.rules("\u{feff}{\"widgets\": []}")),
        ("line ends of Windows", |site| site.config = site.config.replace('\n', "\r\n")),
        ("tabs and single quotes", |site| site.more("[log]\n\tlevel\t=\t'debug'\n")),
        ("a variable", |site| site.variable("EMBEDGATE__LOG__LEVEL", "info")),
        ("a variable of an upstream", |site| {
            site.variable("EMBEDGATE__UPSTREAMS__APP__SERVERS", "[\"127.0.0.1:7002\"]")
        }),
        ("variables of Kubernetes", |site| {
            site.variable("EMBEDGATE_SERVICE_HOST", "10.0.0.1");
            site.variable("EMBEDGATE_PORT_8080_TCP_ADDR", "10.0.0.1");
        }),
        ("tokens", |site| {
            site.secret("data/admin.tokens", "# ours\nread 0123456789abcdef0123456789abcdef\n")
        }),
        ("no token at all", |site| site.secret("data/admin.tokens", "# none yet\n")),
        ("keys", |site| site.secret("data/ticket.keys", "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=\n")),
        ("folders that are not there", |site| {
            site.admin("token_file = \"a/b/admin.tokens\"");
            site.edge("upgrade_socket = \"c/upgrade.sock\"");
            site.more("[rules.store]\npath = \"d/rules.redb\"\n[log]\naudit = \"e/audit.jsonl\"\n[tickets]\nkey_file = \"f/g/keys\"\n");
        }),
        ("files in the working folder", |site| {
            site.admin("token_file = \"admin.tokens\"");
            site.edge("upgrade_socket = \"upgrade.sock\"");
            site.more("[rules.store]\npath = \"rules.redb\"\n[log]\naudit = \"audit.jsonl\"\n[tickets]\nkey_file = \"keys\"\n");
        }),
        ("TLS", |site| {
            site.pair("site");
            site.tls("site.pem", "site.key");
        }),
        ("TLS 1.3 alone", |site| {
            site.pair("site");
            site.tls("site.pem", "site.key");
            site.change("certificates =", "min_version = \"1.3\"\ncertificates =");
        }),
        ("a redirect", |site| {
            site.pair("site");
            site.tls("site.pem", "site.key");
            site.edge("redirect_http = true");
        }),
        ("TLS to an upstream", |site| {
            let authority = super::Authority::new();
            site.write("ca.pem", authority.pem());
            site.upstream("tls = true\nsni = \"app.example\"\nca = \"ca.pem\"\nhttp2 = true");
        }),
        ("mutual TLS", |site| {
            let authority = super::Authority::new();
            site.write("ca.pem", authority.pem());
            authority.issue(&["localhost"]).write(site.folder.path(), "admin");
            site.admin("tls = { cert = \"admin.pem\", key = \"admin.key\", client_ca = \"ca.pem\" }");
        }),
        ("probes", |site| {
            let addr = ports::free();
            site.admin(&format!("probe = {{ listen = \"{addr}\" }}"));
        }),
        ("all addresses", |site| {
            let port = ports::free().port();
            let first = site.config.lines().nth(1).unwrap().to_owned();
            site.change(&first, &format!("listen = [\"0.0.0.0:{port}\"]"));
        }),
        ("a name that can't be looked up", |site| site.change("127.0.0.1:7001", "app.invalid:7001")),
        ("the demo", |site| site.change("servers = [\"127.0.0.1:7001\"]", "builtin = true")),
        ("two environments", |site| {
            site.change("upstream = \"app\"", "upstream = { production = \"app\", staging = \"app\" }");
        }),
        ("health checks", |site| site.upstream("health_check = { path = \"/healthz\", interval = \"10s\" }")),
        ("a suffix list", |site| {
            site.write("suffixes.dat", std::fs::read("conf/public_suffix_list.dat").unwrap());
            site.more("[policy]\npublic_suffix_list = \"suffixes.dat\"\n");
        }),
        ("a link to the rules", |site| {
            site.write("elsewhere.json", super::RULES);
            site.rules("");
            std::fs::create_dir_all(site.at("conf")).unwrap();
            std::os::unix::fs::symlink("../elsewhere.json", site.at("conf/widgets.json")).unwrap();
        }),
        ("a socket that was left behind", |site| {
            std::fs::create_dir_all(site.at("data")).unwrap();
            drop(std::os::unix::net::UnixListener::bind(site.at("data/upgrade.sock")).unwrap());
        }),
        ("links to a log and a socket that are not there", |site| {
            std::os::unix::fs::symlink("real.jsonl", site.at("audit.jsonl")).unwrap();
            std::os::unix::fs::symlink("nowhere", site.at("upgrade.sock")).unwrap();
            site.edge("upgrade_socket = \"upgrade.sock\"");
            site.more("[log]\naudit = \"audit.jsonl\"\n");
        }),
        ("an audit log that may only be written", |site| {
            site.write("audit.jsonl", "");
            site.mode("audit.jsonl", 0o200);
            site.more("[rules]\nsource = \"file\"\n[log]\naudit = \"audit.jsonl\"\n");
            site.confined = true;
        }),
        ("a large cache", |site| site.more("[cache]\nbytes = \"64GiB\"\n")),
    ];
    let wrong = Mutex::new(Vec::new());
    in_turns(variants, |(name, make)| {
        let mut site = Site::new();
        make(&mut site);
        site.settle();
        // The second time, everything is there already.
        let times = if is_full() { 2 } else { 1 };
        for time in ["first", "second"].into_iter().take(times) {
            let checked = site.run("check");
            if checked.code != 0 {
                wrong.lock().unwrap().push(format!("{name}, the {time} time: {checked:?}"));
            } else if let Some(said) = starts(&site) {
                wrong.lock().unwrap().push(format!("{name}, the {time} time: {said}"));
            }
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
