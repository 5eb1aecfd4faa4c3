//! Which edge a command asks, how it finds it, and what it says where it can't.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

use serde_json::json;

use super::{at, done, finished, refused};
use crate::admin_api::mutual_tls::Operators;
use crate::support::edge::{Edge, EdgeSpec, READ_TOKEN, WRITE_TOKEN, write_tokens};
use crate::support::{eventually, ports};

fn stored() -> EdgeSpec {
    EdgeSpec::stored(&json!([{ "id": "w", "allowed_domains": ["example.com"] }]))
}

/// Runs a command in the folder of an edge, with a variable that overrides its configuration.
fn with(edge: &Edge, (name, value): (&str, &str), arguments: &[&str]) -> super::Ran {
    finished(Edge::command(edge.folder()).env(name, value).args(arguments))
}

#[tokio::test]
async fn the_configuration_says_where_and_with_which_token() {
    let edge = Edge::start(stored()).await;
    assert_eq!(done(&edge, &["widgets", "get", "w"]).json()["id"], "w");
    // The names by which calls may come needn't be in the DNS, nor be the address.
    let named = EdgeSpec { admin: "hosts = [\"edge.internal\"]".to_owned(), ..stored() };
    let named = Edge::prepare(named).run_in(|_| {});
    eventually("it answers", async || at(&named, &["widgets", "get", "w"]).code == 0).await;
    let by_address = format!("http://{}", named.admin);
    for command in ["get", "delete"] {
        refused(
            &named,
            3,
            &["widgets", command, "w", "--admin", &by_address],
            &["admin.hosts: edge.internal"],
        );
    }
    // Another token file of the configuration.
    write_tokens(&edge.folder().join("other.tokens"), &format!("# of robots\nread {READ_TOKEN} robot\n"));
    let other = ("EMBEDGATE__ADMIN__TOKEN_FILE", "other.tokens");
    assert_eq!(with(&edge, other, &["widgets", "get", "w"]).code, 0);
    let ran = with(&edge, other, &["widgets", "delete", "w"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
    assert!(
        ran.err.contains("forbidden: ") && ran.err.contains("this one is of other.tokens"),
        "{}",
        ran.err
    );
}

#[tokio::test]
async fn another_edge_is_asked_by_its_address() {
    let (edge, other) =
        (Edge::start(stored()).await, Edge::start(EdgeSpec::stored(&json!([{ "id": "o" }]))).await);
    let url = format!("http://{}/", other.admin);
    assert_eq!(done(&edge, &["widgets", "get", "o", "--admin", &url]).json()["id"], "o");
    refused(&edge, 1, &["widgets", "get", "o"], &["unknown_widget: ", "`embedgate widgets list`"]);
    // Without any configuration, but with a token.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), WRITE_TOKEN).unwrap();
    let mut command = Edge::command(folder.path());
    let ran = finished(command.args(["widgets", "get", "o", "--admin", &url, "--token-file", "token"]));
    assert_eq!((ran.code, &ran.json()["id"]), (0, &json!("o")), "{ran:?}");
    // Files for TLS are not left unused: the token would go out in the clear.
    for more in [&["--ca", "absent"][..], &["--client-cert", "absent"]] {
        refused(
            &edge,
            2,
            &[&["widgets", "get", "w"][..], more].concat(),
            &["--ca and --client-cert are for https"],
        );
        let named = [&["widgets", "get", "o", "--admin", &url][..], more].concat();
        refused(&edge, 2, &named, &["--ca and --client-cert are for https"]);
    }
    // A configuration with faults is told where it is needed.
    std::fs::write(edge.folder().join("conf/embedgate.toml"), "[edge").unwrap();
    refused(&edge, 1, &["widgets", "get", "w"], &["the configuration has errors:\nconf/embedgate.toml:1:"]);
}

#[tokio::test]
async fn an_edge_that_could_not_be_asked_is_a_three() {
    let mut edge = Edge::start(stored()).await;
    let nobody = ports::free();
    let elsewhere = ("EMBEDGATE__ADMIN__LISTEN", &*nobody.to_string());
    for command in
        [&["widgets", "get", "w"][..], &["widgets", "list"], &["widgets", "disable", "w"], &["apply"]]
    {
        let ran = with(&edge, elsewhere, command);
        assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{command:?}: {ran:?}");
        let says = format!("embedgate: http://{nobody}: can't be asked: Connection refused");
        assert!(ran.err.starts_with(&says) && ran.err.contains("is the edge running?"), "{}", ran.err);
    }
    // Something else listens there.
    let data = edge.url("");
    refused(
        &edge,
        3,
        &["widgets", "list", "--admin", &data],
        &["the answer is 404", "is this its admin listener?"],
    );
    let page = speaks("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    refused(&edge, 3, &["widgets", "list", "--admin", &page], &["not an answer of embedgate's admin API"]);
    let moved = speaks("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
    refused(&edge, 3, &["widgets", "list", "--admin", &moved], &["the answer is 302"]);
    // What was asked, but not answered, may have been done.
    let silent = speaks("");
    refused(
        &edge,
        3,
        &["widgets", "disable", "w", "--admin", &silent],
        &["whether the change was made is not known"],
    );
    let ran = at(&edge, &["widgets", "get", "w", "--admin", &silent]);
    assert!(ran.code == 3 && !ran.err.contains("not known"), "{ran:?}");
    // A token that is none of its.
    std::fs::write(edge.folder().join("wrong"), "write wrong-wrong-wrong-wrong-wrong-wrong\n").unwrap();
    refused(
        &edge,
        3,
        &["widgets", "list", "--token-file", "wrong"],
        &["unauthorized: ", "the token in wrong is none"],
    );
    refused(&edge, 3, &["widgets", "list", "--token-file", "absent"], &["absent: ", "--token-file"]);

    edge.signal("TERM");
    assert_eq!(edge.exit_code().await, Some(0));
    refused(&edge, 3, &["widgets", "allow", "w", "a.example"], &["is the edge running?"]);
}

/// The address of a server that answers each connection with this, once something is asked.
fn speaks(answer: &'static str) -> String {
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut asked = [0; 4096];
            let _ = stream.read(&mut asked);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn the_edge_that_has_the_store_open_is_asked_instead() {
    let edge = Edge::start(stored()).await;
    let widget = json!({ "id": "w", "allowed_domains": ["example.com", "new.example", "localhost"] });
    assert_eq!(edge.put(&widget).await.0, 200);
    let explain = ["explain", "--widget", "w", "--json", "--origin", "https://new.example"];
    for (arguments, code, says) in
        [(&explain[..], 0, "\"reason\": \"exact\""), (&["lint"], 1, "loopback_in_production")]
    {
        let ran = at(&edge, arguments);
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.out.contains(says), "{ran:?}");
        let note =
            "embedgate: data/rules.redb: another process has this store open, so the running edge is asked\n";
        assert_eq!(ran.err, note);
        let url = format!("http://{}", edge.admin);
        let asked = done_with(&edge, &[arguments, &["--admin", &url]].concat(), code);
        assert_eq!(asked, ran.out);
    }
    // Where it isn't the edge of the configuration that has it.
    let nobody = ports::free().to_string();
    let ran = with(&edge, ("EMBEDGATE__ADMIN__LISTEN", &nobody), &explain);
    assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{ran:?}");
    assert!(
        ran.err.contains("another process has this store open") && ran.err.contains(&nobody),
        "{}",
        ran.err
    );
}

#[track_caller]
fn done_with(edge: &Edge, arguments: &[&str], code: i32) -> String {
    let ran = at(edge, arguments);
    assert_eq!((ran.code, ran.err.as_str()), (code, ""), "{ran:?}");
    ran.out
}

#[tokio::test]
async fn mutual_tls_is_spoken_with_the_edge_of_the_configuration() {
    let operators = Operators::new();
    let edge = operators.edge();
    let [ca, cert, key] = ["servers.pem", "operator.pem", "operator.key"].map(|name| operators.file(name));
    let get = ["widgets", "get", "wgt_demo"];
    let shown = [&get[..], &["--ca", &ca, "--client-cert", &cert, "--client-key", &key]].concat();
    eventually("it is allowed", async || at(&edge, &shown).code == 0).await;
    // Certificate and key in one file.
    let both = [&cert, &key].map(|path| std::fs::read_to_string(path).unwrap()).concat();
    std::fs::write(edge.folder().join("both.pem"), both).unwrap();
    done(&edge, &[&get[..], &["--ca", &ca, "--client-cert", "both.pem"]].concat());
    // Where it listens on every address, it is asked on loopback, by a name of its certificate.
    let any = SocketAddr::from(([0, 0, 0, 0], edge.admin.port())).to_string();
    let ran = with(&edge, ("EMBEDGATE__ADMIN__LISTEN", &any), &shown);
    assert_eq!((ran.code, &ran.json()["id"]), (0, &json!("wgt_demo")), "{ran:?}");

    let flags = "add --ca FILE --client-cert FILE (and --client-key FILE)";
    refused(&edge, 3, &get, &["has mutual TLS", flags]);
    refused(&edge, 3, &[&get[..], &["--ca", &ca]].concat(), &["has mutual TLS", flags]);
    let url = format!("https://localhost:{}", edge.admin.port());
    refused(&edge, 3, &[&get[..], &["--admin", &url, "--ca", &ca]].concat(), &["can't be asked: "]);
    let [strange, none] = [operators.file("clients.pem"), operators.file("operator.key")];
    let pair = ["--client-cert", &cert, "--client-key", &key];
    for (ca, says) in [(&strange, "can't be asked: "), (&none, "no certificate")] {
        refused(&edge, 3, &[&get[..], &["--admin", &url, "--ca", ca], &pair].concat(), &[says]);
    }
    let wrong = ["--ca", &ca, "--client-cert", &cert, "--client-key", &ca];
    refused(&edge, 3, &[&get[..], &wrong].concat(), &["servers.pem: "]);
}
