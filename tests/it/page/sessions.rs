//! Sessions: what begins one, what one may do, and what ends it.

use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tokio::time::timeout;

use super::{SOON, address, client, form, kept, session};
use crate::life::upgrade::upgrade;
use crate::support::edge::{Edge, EdgeSpec, READ_TOKEN, WRITE_TOKEN, write_tokens};

fn spec() -> EdgeSpec {
    EdgeSpec::stored(&json!([{ "id": "w", "access": "enforce", "allowed_domains": ["example.com"] }]))
}

/// A call with the cookie of a session, from the page itself.
fn call(edge: &Edge, cookie: &str, method: Method, path: &str) -> RequestBuilder {
    let call = client().request(method.clone(), format!("{}{path}", address(edge))).header("cookie", cookie);
    let call = call.header("sec-fetch-site", "same-origin");
    if method.is_safe() { call } else { call.header("origin", address(edge)) }
}

async fn status(call: RequestBuilder) -> u16 {
    call.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_token_is_exchanged_for_one_and_guesses_are_slow() {
    let edge = Edge::start(spec()).await;
    let answer = form(&edge, WRITE_TOKEN).send().await.unwrap();
    let set = answer.headers()["set-cookie"].to_str().unwrap();
    let id = set.strip_prefix("embedgate_admin=").unwrap().split(';').next().unwrap();
    assert!(id.len() == 64 && set.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"), "{set}");

    for (token, counted) in [("guessed", "unknown"), ("", "missing")] {
        let counted = format!("embedgate_admin_unauthorized_total{{token=\"{counted}\"}}");
        let (before, since) = (edge.metric(&counted).await, Instant::now());
        let answer = form(&edge, token).send().await.unwrap();
        assert!(since.elapsed() >= Duration::from_millis(100));
        assert_eq!((answer.status().as_u16(), answer.headers().get("set-cookie")), (401, None));
        assert_eq!(&answer.headers()["cache-control"], "no-store");
        let told = answer.text().await.unwrap();
        assert!(told.contains("role=\"alert\"") && told.contains("This token is not known here."), "{told}");
        assert_eq!(edge.metric(&counted).await, before + 1.0);
    }
    // Nobody is signed in by another page, as somebody else.
    let own = address(&edge);
    for origin in [None, Some("null".to_owned()), Some(own.replace("http:", "https:")), Some(edge.url(""))] {
        let form = client().post(format!("{own}/sign-in")).body(format!("token={WRITE_TOKEN}"));
        let form = form.header("content-type", "application/x-www-form-urlencoded");
        let form = origin.iter().fold(form, |form, origin| form.header("origin", origin));
        let answer = form.send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers().get("set-cookie")), (403, None), "{origin:?}");
    }
    // A second sign-in of the same browser leaves no session behind.
    let first = session(&edge, READ_TOKEN).await;
    let second = form(&edge, READ_TOKEN).header("cookie", &first).send().await.unwrap();
    assert_eq!(status(call(&edge, &first, Method::GET, "/v1/status")).await, 401);
    assert_eq!(status(call(&edge, &kept(&second), Method::GET, "/v1/status")).await, 200);
    assert!(!edge.log().contains(WRITE_TOKEN) && !edge.log().contains(id), "{}", edge.log());
}

#[tokio::test]
async fn one_may_do_what_its_token_may_and_ends_with_it() {
    let edge = Edge::start(spec()).await;
    let (reader, writer) = (session(&edge, READ_TOKEN).await, session(&edge, WRITE_TOKEN).await);
    let disable = |cookie: &str| call(&edge, cookie, Method::POST, "/v1/widgets/w/disable");
    for path in ["/", "/v1/widgets", "/v1/status"] {
        assert_eq!(status(call(&edge, &reader, Method::GET, path)).await, 200, "{path}");
    }
    // A stolen one of a reader changes nothing, wherever it says that it comes from.
    let put = call(&edge, &reader, Method::PUT, "/v1/widgets/w").json(&json!({ "id": "w" }));
    for change in [put, disable(&reader)] {
        assert_eq!(status(change).await, 403);
    }
    // One of a writer changes what is asked for by the page itself, and by nobody else.
    let own = address(&edge);
    let elsewhere = [
        ("origin", own.replace("http:", "https:")),
        ("origin", format!("http://{}", edge.admin)),
        ("origin", edge.url("")),
        ("origin", "null".to_owned()),
        ("sec-fetch-site", "same-site".to_owned()),
        ("sec-fetch-site", "cross-site".to_owned()),
        ("host", "rebound.example".to_owned()),
        ("cookie", format!("{writer}; {writer}")),
    ];
    for (name, value) in &elsewhere {
        let mut call = disable(&writer).build().unwrap();
        call.headers_mut().insert(*name, value.parse().unwrap());
        let answer = client().execute(call).await.unwrap();
        assert!([401, 403].contains(&answer.status().as_u16()), "{name}: {value}");
    }
    let mut silent = disable(&writer).build().unwrap();
    silent.headers_mut().remove("origin");
    assert_eq!(client().execute(silent).await.unwrap().status(), 403);
    for site in ["same-site", "cross-site"] {
        let mut call = call(&edge, &writer, Method::GET, "/v1/widgets").build().unwrap();
        call.headers_mut().insert("sec-fetch-site", site.parse().unwrap());
        assert_eq!(client().execute(call).await.unwrap().status(), 403, "{site}");
    }
    assert_eq!(edge.metric("embedgate_rules_generation").await, 1.0, "nothing has changed");
    assert_eq!(status(disable(&writer)).await, 200);

    // What goes on ends with it, and so does a session whose token has gone, for ever.
    let mut events = call(&edge, &writer, Method::GET, "/v1/events").send().await.unwrap();
    let mut others = call(&edge, &reader, Method::GET, "/v1/events").send().await.unwrap();
    assert!(events.chunk().await.unwrap().is_some() && others.chunk().await.unwrap().is_some());
    let out = call(&edge, &writer, Method::POST, "/sign-out").send().await.unwrap();
    assert_eq!((out.status().as_u16(), &out.headers()["location"]), (303, &"/sign-in".parse().unwrap()));
    assert!(out.headers()["set-cookie"].to_str().unwrap().contains("embedgate_admin=; Path=/; Max-Age=0"));
    assert_eq!(status(call(&edge, &writer, Method::GET, "/v1/status")).await, 401);
    write_tokens(&edge.tokens(), &format!("write {WRITE_TOKEN}\n"));
    assert_eq!(status(call(&edge, &reader, Method::GET, "/v1/status")).await, 401);
    for stream in [&mut events, &mut others] {
        let end = timeout(SOON, async { while let Ok(Some(_)) = stream.chunk().await {} });
        end.await.expect("a stream that ends");
    }
    write_tokens(&edge.tokens(), &format!("write {WRITE_TOKEN}\nread {READ_TOKEN}\n"));
    assert_eq!(status(call(&edge, &reader, Method::GET, "/v1/status")).await, 401);
    // Another page signs nobody out.
    let writer = session(&edge, WRITE_TOKEN).await;
    let out = client().post(format!("{own}/sign-out")).header("cookie", &writer).send().await.unwrap();
    assert_eq!(out.status(), 403);
    assert_eq!(status(call(&edge, &writer, Method::GET, "/v1/status")).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_ends_none() {
    let edge = Edge::start(spec()).await;
    let (kept, ended) = (session(&edge, WRITE_TOKEN).await, session(&edge, WRITE_TOKEN).await);
    assert_eq!(status(call(&edge, &ended, Method::POST, "/sign-out")).await, 303);
    let _new = upgrade(&edge).await;
    assert_eq!(status(call(&edge, &kept, Method::POST, "/v1/widgets/w/disable")).await, 200);
    assert_eq!(status(call(&edge, &ended, Method::GET, "/v1/status")).await, 401);
}
