#![allow(clippy::unwrap_used)]

use super::*;

const ALL: Noted = Noted { connection: true, upgrade: true, expect: true };

fn request(method: &str, target: &str, fields: &[(&'static str, &str)]) -> RequestHead {
    RequestHead::of(method, target, fields)
}

const LIMITS: HeadLimits = HeadLimits { bytes: 16 * 1024, fields: 20 };

fn check(request: &RequestHead, noted: Noted) -> Result<PathEscapes, RequestRefusal> {
    super::check(request, noted, LIMITS)
}

fn refused(target: &str, fields: &[(&'static str, &str)]) -> Option<u16> {
    let mut all = vec![("host", "edge.example")];
    all.extend(fields);
    check(&request("GET", target, &all), ALL).err().map(|refusal| refusal.status.as_u16())
}

#[test]
fn ambiguous_paths_are_refused() {
    for target in [
        "/a/../b",
        "/a/./b",
        "/..",
        "/.",
        "/a/..",
        "/%2e%2e/b",
        "/a/.%2E/b",
        "/%2e",
        "/..%2fb",
        "/a%2F..",
        "/a%2f%2e/b",
        "/a%2F.%2Fb",
        "/a%5cb",
        "/a\\b",
        "/a//b",
        "//a",
        "/a%00",
        "/a%",
        "/a%2",
        "/a%zz",
        "/\u{fc}",
        "/a/../b?c",
        "/a?\u{fc}",
        "/a%20?\u{fc}",
        "*",
    ] {
        assert_eq!(refused(target, &[]), Some(400), "{target}");
    }
    for target in [
        "/",
        "/a",
        "/a/",
        "/a/...",
        "/a/.b",
        "/a/b..",
        "/a/%20b",
        "/a?x=../y",
        "/a?x=%2f\\",
        "/a?",
        "/a%20b?x={[|^`]}&url=https://b.example/..//c??d",
        "/a;b",
        "/%C3%BC",
        "/w/wgt_demo/assets/app.0a1b.js",
    ] {
        assert_eq!(refused(target, &[]), None, "{target}");
    }
    for (target, place) in
        [("/a%2fb", 2), ("/a/@b%2Fc/d%2fe", 5), ("/a%2f%2fb", 2), ("/a%252fb", 99), ("/a?%2f", 99)]
    {
        let found = check(&request("GET", target, &[("host", "edge.example")]), ALL).unwrap();
        assert_eq!(found.slash.unwrap_or(99), place, "{target}");
    }
}

#[test]
fn connection_names_nothing_that_is_relied_on() {
    for fields in [
        &[("connection", "close, Origin")][..],
        &[("connection", "sec-fetch-dest")],
        &[("connection", "x-forwarded-for")],
        &[("connection", "keep-alive"), ("connection", "X-Widget-Id")],
        &[("connection", "a, b, c, d, e, f, g, h, i, j")],
    ] {
        assert_eq!(refused("/", fields), Some(400), "{fields:?}");
    }
    for fields in [
        &[("connection", "close")][..],
        &[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")],
        &[("connection", "x-hop")],
        &[("connection", "a, b, c, d, e, f, g, h, i")],
        // How long it lasts is said as often as one likes.
        &[("connection", "keep-alive"); 12],
    ] {
        assert_eq!(refused("/", fields), None, "{fields:?}");
    }
}

#[test]
fn authority_is_one_and_there() {
    assert_eq!(check(&request("GET", "/", &[]), ALL).unwrap_err().detail, "Host is missing");
    let mut old = request("GET", "/", &[]);
    old.version = Version::HTTP_10;
    check(&old, ALL).unwrap();
    let h2 = |host: Option<&str>| {
        let mut request = request("GET", "/", &[]);
        request.version = Version::HTTP_2;
        request.uri = "https://edge.example/".parse().unwrap();
        if let Some(host) = host {
            request.fields.append(header::HOST, host.parse().unwrap());
        }
        check(&request, ALL).is_ok()
    };
    let mut twice = request("POST", "/", &[("host", "a"), ("content-length", "5"), ("content-length", "5")]);
    twice.version = Version::HTTP_2;
    assert_eq!(check(&twice, ALL).unwrap_err().status, 400);
    for host in ["", "a b", "localhost/x", "localhost, evil", "a:b", "[zz]"] {
        assert_eq!(check(&request("GET", "/", &[("host", host)]), ALL).unwrap_err().status, 400, "{host:?}");
    }
    assert!(check(&request("GET", "/", &[("host", "a"), ("host", "a")]), ALL).is_err());
    let mut nameless = request("GET", "/", &[]);
    nameless.version = Version::HTTP_2;
    assert_eq!(check(&nameless, ALL).unwrap_err().detail, "Host is missing");
    assert!(h2(None));
    assert!(h2(Some("Edge.example")));
    assert!(!h2(Some("other.example")));
    let mut nowhere = request("GET", "/", &[]);
    for authority in ["a:b", "1.2.3", "a..b", "a:", "[::1]:99999", "u@a"] {
        // The library that reads HTTP/2 takes some of these, and some it does not.
        let Ok(uri) = format!("https://{authority}/").parse() else { continue };
        (nowhere.version, nowhere.uri) = (Version::HTTP_2, uri);
        assert_eq!(check(&nowhere, ALL).unwrap_err().status, 400, "{authority}");
    }
}

#[test]
fn one_thing_may_be_expected() {
    for (values, status) in [
        (&["100-continue"][..], None),
        (&["100-Continue"], None),
        (&["100-continue, 100-continue"], Some(417)),
        (&["100-continue", "100-continue"], Some(417)),
        (&["y 100-continue"], Some(417)),
        (&["100-continuee"], Some(417)),
        (&["200-ok"], Some(417)),
        (&[""], Some(417)),
    ] {
        let fields: Vec<_> = values.iter().map(|value| ("expect", *value)).collect();
        assert_eq!(refused("/", &fields), status, "{values:?}");
        let mut over_http2 = request("POST", "/", &[&[("host", "a")], &fields[..]].concat());
        over_http2.version = Version::HTTP_2;
        let refusal = check(&over_http2, Noted::default()).err();
        assert_eq!(refusal.map(|refusal| refusal.status.as_u16()), status, "{values:?}");
    }
}

#[test]
fn sizes_and_methods_have_limits() {
    assert_eq!(refused(&format!("/{}", "a".repeat(MAX_TARGET_BYTES)), &[]), Some(414));
    // In HTTP/1.1 it is the bytes that are measured, as they are read.
    let large = |length: usize| {
        let mut large = request("GET", "/", &[("host", "a"), ("x", &"a".repeat(length))]);
        large.version = Version::HTTP_2;
        check(&large, ALL).map_err(|refusal| refusal.detail)
    };
    // The target, and two names and values with four bytes each between and after them.
    let most = LIMITS.bytes - "/".len() - "hosta".len() - "x".len() - 8;
    assert!(large(most).is_ok());
    assert_eq!(large(most + 1), Err(HEAD_TOO_LONG.detail));
    let mut many = vec![("host", "a")];
    many.resize(LIMITS.fields, ("cookie", "a=b"));
    assert!(check(&request("GET", "/", &many), ALL).is_ok());
    many.push(("cookie", "c=d"));
    let refusal = check(&request("GET", "/", &many), ALL).unwrap_err();
    assert_eq!((refusal.status.as_u16(), refusal), (431, TOO_MANY_FIELDS));
    for method in ["TRACE", "CONNECT"] {
        let refusal = check(&request(method, "/", &[("host", "a")]), ALL).unwrap_err();
        assert_eq!(refusal.status, 405, "{method}");
    }
}

#[test]
fn upgrades_are_told_apart() {
    let of = |method: &str, fields: &[(&'static str, &str)]| upgrade(&request(method, "/", fields), ALL);
    let connection = ("connection", "keep-alive, Upgrade");
    assert_eq!(of("GET", &[connection]), Upgrade::None);
    assert_eq!(of("GET", &[connection, ("upgrade", "WebSocket")]), Upgrade::WebSocket);
    assert_eq!(of("GET", &[("upgrade", "websocket")]), Upgrade::Other);
    assert_eq!(of("POST", &[connection, ("upgrade", "websocket")]), Upgrade::Other);
    assert_eq!(of("GET", &[connection, ("upgrade", "h2c")]), Upgrade::Other);
    assert_eq!(of("GET", &[connection, ("upgrade", "websocket, h2c")]), Upgrade::Other);
    assert_eq!(of("GET", &[connection, ("upgrade", "websocket"), ("upgrade", "h2c")]), Upgrade::Other);
}
