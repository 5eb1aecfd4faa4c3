//! Settings of notifications, changed while the edge runs.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use reqwest::Method;
use serde_json::{Value, json};

use super::{pending, spec, state, test};
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::webhooks::{Webhooks, secrets};
use crate::support::{eventually, ports};

/// Replaces a part of the configuration, and has it read again.
async fn reload(edge: &Edge, from: &str, to: &str) -> (u16, Value) {
    let path = edge.folder().join("conf/embedgate.toml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(&path, text.replacen(from, to, 1)).unwrap();
    let answer = edge.api(Method::POST, "/v1/reload").send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn the_url_is_set_moved_and_taken_away_by_reloads() {
    let (first, second) = (Webhooks::start().await, Webhooks::start().await);
    let spec = EdgeSpec { more: "[notify]\nurl = \"\"\n".to_owned(), ..EdgeSpec::default() };
    let edge = Edge::start(spec).await;
    let url = |receiver: &Webhooks| format!("url = \"http://{}/hook\"", receiver.addr);
    let (status, told) = reload(&edge, "url = \"\"", &url(&first)).await;
    assert_eq!(
        (status, &told["in_force"], &told["needs_upgrade"]),
        (200, &json!(["notify.url"]), &json!([]))
    );
    test(&edge).await;
    let [secret] = &secrets(edge.folder())[..] else { panic!() };
    assert!(first.wait_for(1).await[0].is_signed_by(secret));
    reload(&edge, &url(&first), &url(&second)).await;
    test(&edge).await;
    second.wait_for(1).await;
    first.no_more_than(1).await;
    // One that can't be used changes nothing.
    let (status, told) = reload(&edge, &url(&second), "url = \"http://hooks.example.com/\"").await;
    assert_eq!((status, &told["code"]), (422, &json!("invalid_configuration")));
    assert!(told["detail"].as_str().unwrap().contains("it must be https"), "{told}");
    test(&edge).await;
    second.wait_for(2).await;
    reload(&edge, "url = \"http://hooks.example.com/\"", "url = \"\"").await;
    assert_eq!(state(&edge).await["receiver"], Value::Null);
    let answer = edge.api(Method::POST, "/v1/notifications/test").send().await.unwrap();
    assert_eq!(answer.status(), 409);
}

#[tokio::test]
async fn secrets_are_read_again_when_they_change() {
    let receiver = Webhooks::start().await;
    let edge = Edge::start(spec(receiver.addr)).await;
    let path = edge.folder().join("data/notify.secret");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    let [old] = &secrets(edge.folder())[..] else { panic!() };
    let new = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    test(&edge).await;
    receiver.wait_for(1).await;
    fs::write(&path, format!("{old}\n{new}\n")).unwrap();
    test(&edge).await;
    let both = &receiver.wait_for(2).await[1];
    assert!(both.is_signed_by(old) && both.is_signed_by(new));
    fs::write(&path, "nonsense").unwrap();
    test(&edge).await;
    let kept = &receiver.wait_for(3).await[2];
    assert!(kept.is_signed_by(old) && kept.is_signed_by(new));
    fs::write(&path, new).unwrap();
    test(&edge).await;
    let last = &receiver.wait_for(4).await[3];
    assert!(!last.is_signed_by(old) && last.is_signed_by(new));
    let log = edge.log();
    assert!(log.contains("notify.secret:1: not a secret") && !log.contains("whsec_M"), "{log}");
}

#[tokio::test]
async fn a_file_of_secrets_that_others_can_read_keeps_the_edge_from_starting() {
    let prepared = Edge::prepare(spec(ports::free()));
    let edge = prepared.run_in(|command| {
        let path = command.get_current_dir().unwrap().join("data/notify.secret");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    });
    let (success, log) = edge.ended().await;
    assert!(!success && log.contains("notify.secret_file") && log.contains("chmod 600"), "{log}");
}

#[tokio::test]
async fn a_damaged_file_is_moved_aside() {
    let receiver = Webhooks::start().await;
    let prepared = Edge::prepare(spec(receiver.addr));
    let edge = prepared
        .start_in(|command| {
            let path = command.get_current_dir().unwrap().join("data/notify.redb");
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "no database").unwrap();
        })
        .await;
    test(&edge).await;
    receiver.wait_for(1).await;
    pending(&edge, 0).await;
    eventually("it is moved", async || edge.folder().join("data/notify.redb.damaged").exists()).await;
    assert!(edge.log().contains("notifications can't be read"), "{}", edge.log());
}
