//! Damage that comes while the edge runs: what is whole goes on.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;

use futures_util::future::join_all;
use memchr::memmem;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::edge::{Edge, EdgeSpec};

const WIDGETS: usize = 48;

/// So large that most documents are not in memory, and each has its pages for itself.
fn document(n: usize) -> Value {
    let filler = "x".repeat(150_000);
    json!({ "id": format!("w{n:02}"), "allowed_domains": [format!("site{n}.example")],
        "labels": { "marker": format!("here-is-{n:02}"), "filler": filler } })
}

#[tokio::test]
async fn one_damaged_document_is_told_and_everything_else_goes_on() {
    let mut edge =
        Edge::start(EdgeSpec::stored(&json!((0..WIDGETS).map(document).collect::<Vec<_>>()))).await;
    // A start from the store itself.
    edge.signal("TERM");
    assert_eq!(edge.exit_code().await, Some(0));
    edge.restart().await;
    let path = edge.folder().join("data/rules.redb");
    let (whole, file) = (fs::read(&path).unwrap(), OpenOptions::new().write(true).open(&path).unwrap());
    let damaged: Vec<usize> = (0..WIDGETS).step_by(4).collect();
    for n in &damaged {
        let marker = format!("here-is-{n:02}");
        for place in memmem::find_iter(&whole, marker.as_bytes()) {
            file.write_all_at(&[0; 4096], place as u64 / 4096 * 4096).unwrap();
        }
    }

    let get = async |n: usize| {
        let answer = edge.api(Method::GET, &format!("/v1/widgets/w{n:02}")).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let mut lost = Vec::new();
    for n in 0..WIDGETS {
        let (status, answer) = get(n).await;
        match status {
            200 => assert_eq!(answer["labels"]["marker"], format!("here-is-{n:02}")),
            _ => {
                assert_eq!((status, &answer["code"]), (500, &json!("storage_failed")), "{answer}");
                let detail = answer["detail"].as_str().unwrap();
                assert!(detail.contains(&format!("the document of 'w{n:02}'")), "{detail}");
                assert!(detail.contains("embedgate restore FILE"), "{detail}");
                assert!(damaged.contains(&n), "{n}: {detail}");
                lost.push(n);
            }
        }
    }
    assert!(lost.len() > 5, "most documents should have been read from the disk: {lost:?}");

    // Whatever is whole is saved and stays saved; what is not is told, or written anew.
    let small =
        |n: usize| json!({ "id": format!("w{n:02}"), "allowed_domains": [format!("new{n}.example")] });
    // At once, so that they share commits.
    let documents: Vec<Value> = (0..WIDGETS).map(small).collect();
    let saved = join_all(documents.iter().map(|document| edge.put(document))).await;
    for (n, (status, answer)) in saved.into_iter().enumerate() {
        match status {
            200 => assert_eq!(get(n).await.1["allowed_domains"][0], format!("new{n}.example")),
            _ => {
                assert_eq!((status, &answer["code"]), (500, &json!("storage_failed")), "{answer}");
                assert!(answer["detail"].as_str().unwrap().contains(&format!("'w{n:02}'")), "{answer}");
                assert!(lost.contains(&n), "{n}: {answer}");
            }
        }
    }
    // The rules in force are in memory.
    for n in 0..WIDGETS {
        let question =
            json!({ "widget": format!("w{n:02}"), "origin": "https://stranger.example", "class": "session" });
        let told = edge.api(Method::POST, "/v1/explain").json(&question).send().await.unwrap();
        assert_eq!(told.json::<Value>().await.unwrap()["verdict"], "deny");
    }
    let log = edge.log();
    assert!(
        log.contains("rules.redb: a part of this store is damaged") && !log.contains("panicked"),
        "{log}"
    );
    edge.signal("TERM");
    assert_eq!(edge.exit_code().await, Some(0));
}
