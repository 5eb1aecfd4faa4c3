//! What keeps the edge from starting: it says what is wrong, ends with 1, and starts nothing by halves.

use std::net::{SocketAddr, TcpListener};

use super::{Desk, Ran, config};
use crate::support::ports;

/// What kept an edge with this configuration from starting.
#[track_caller]
fn refused(desk: &Desk, says: &str) -> Ran {
    let ran = desk.run(&["run"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
    let last = ran.err.find("embedgate: ").map(|at| &ran.err[at..]).unwrap_or_default();
    assert!(last.contains(says), "{says}: {}", ran.err);
    assert!(!ran.err.contains("ready on"), "{}", ran.err);
    ran
}

/// A configuration on these addresses.
fn on(edge: SocketAddr, admin: SocketAddr, more: &str) -> String {
    config(&format!("listen = [\"{edge}\"]\n{more}[admin]\nlisten = \"{admin}\"\n"))
}

const RULES: &str = "{\"widgets\": [{\"id\": \"w\", \"allowed_domains\": [\"example.com\"]}]}";

#[test]
fn a_faulty_configuration() {
    let ran = refused(&Desk::with(&config("lisen = []"), RULES), "conf/embedgate.toml:3:1: ");
    assert!(ran.err.starts_with("embedgate: the configuration has errors:\n"), "{}", ran.err);
    assert!(ran.err.ends_with("did you mean 'listen'?\n"), "{}", ran.err);
    // `run` is what is done where nothing is said.
    let desk = Desk::with(&config("lisen = []"), RULES);
    assert_eq!(desk.run(&[]).err, ran.err);
}

#[test]
fn faulty_rules() {
    let wrong = "{\"widgets\": [\n{\"id\": \"w\", \"allowed_domains\": [\"*.com\"]}]}";
    let desk = Desk::with(&on(ports::free(), ports::free(), ""), wrong);
    refused(&desk, "the rules can't be read:\nconf/widgets.json:2:");
    assert!(!desk.path().join("data/rules.redb").exists(), "a seed with faults makes no store");

    let file = "[rules]\nsource = \"file\"\n";
    let desk = Desk::with(&on(ports::free(), ports::free(), file), wrong);
    refused(&desk, "the rules can't be read:\nconf/widgets.json:2:");
    desk.write("conf/widgets.json", "{\"widgets\": [");
    refused(&desk, "conf/widgets.json:1:13: ");
    std::fs::remove_file(desk.path().join("conf/widgets.json")).unwrap();
    refused(&desk, "conf/widgets.json: ");
}

#[test]
fn an_address_in_use() {
    let taken = TcpListener::bind(ports::free()).unwrap();
    let (taken_addr, free) = (taken.local_addr().unwrap(), ports::free());
    for config in [on(taken_addr, free, ""), on(free, taken_addr, "")] {
        let ran = refused(&Desk::with(&config, RULES), &taken_addr.to_string());
        assert!(ran.err.contains("in use"), "{}", ran.err);
        assert!(TcpListener::bind(free).is_ok(), "the other address is free again");
    }
}

#[test]
fn a_certificate_that_is_not_its_keys() {
    let tls = format!(
        "[[edge.tls]]\nlisten = \"{}\"\ncertificates = [{{ cert = \"site.pem\", key = \"site.key\" }}]\n",
        ports::free()
    );
    let desk = Desk::with(&on(ports::free(), ports::free(), &tls), RULES);
    refused(&desk, "site.pem");
    let [one, other] =
        [(), ()].map(|()| rcgen::generate_simple_self_signed(["site.example".to_owned()]).unwrap());
    desk.write("site.pem", &one.cert.pem());
    desk.write("site.key", &other.signing_key.serialize_pem());
    refused(&desk, "site.key");
    desk.write("site.pem", "no certificate");
    refused(&desk, "site.pem");
}

#[test]
fn an_admin_listener_that_could_not_ask_for_certificates() {
    let others = SocketAddr::from(([0, 0, 0, 0], ports::free().port()));
    let desk = Desk::with(&on(ports::free(), others, ""), RULES);
    refused(&desk, "is not a loopback address, so it needs mutual TLS");
    let tls = "hosts = [\"edge\"]\ntls = { cert = \"a.pem\", key = \"a.key\", client_ca = \"ca.pem\" }\n";
    let desk =
        Desk::with(&on(ports::free(), others, "").replace("[upstreams", &format!("{tls}[upstreams")), RULES);
    refused(&desk, "a.pem: not a certificate chain");
}
