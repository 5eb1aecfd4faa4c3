//! `embedgate activity` and `embedgate widgets propose`: the questions of `docs/operations.md`, asked as it has them.

use std::process::Command;

use serde_json::{Value, json};

use super::{Ran, at, done, finished, refused};
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::eventually;

const PAGE: &str = "docs/operations.md";

const OLD: &str = "https://old.preview.example.com";
const SHOP: &str = "https://shop.example.com";

/// The commands of the page's section, question by question.
fn questions() -> Vec<String> {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (_, section) = page.split_once("\n## Asking who embeds\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let blocks = section.split("```sh\n").skip(1);
    blocks.map(|block| block.split_once("```").unwrap().0.trim().to_owned()).collect()
}

/// Runs a line of the page in the folder of an edge.
fn ask(edge: &Edge, line: &str) -> Ran {
    let script = format!("embedgate() {{ {} \"$@\"; }}\n{line}", env!("CARGO_BIN_EXE_embedgate"));
    let mut shell = Command::new("bash");
    finished(
        shell.args(["-euo", "pipefail", "-c", &script]).current_dir(edge.folder()).env_remove("EMBEDGATE"),
    )
}

async fn visit(edge: &Edge, widget: &str, origin: &str) -> u16 {
    let request = reqwest::Client::new().get(edge.url(&format!("/w/{widget}/loader.js")));
    request.header("origin", origin).send().await.unwrap().status().as_u16()
}

/// An edge on which the sites of the page were seen.
async fn visited() -> Edge {
    let edge = Edge::start(EdgeSpec::stored(&json!([
        { "id": "wgt_forum", "allowed_domains": ["forum.example.com"] },
        { "id": "wgt_help", "allowed_domains": ["shop.example.com"] },
        { "id": "wgt_shop", "access": "monitor", "allowed_domains": ["*.preview.example.com"] },
    ])))
    .await;
    for (widget, origin, status) in [
        ("wgt_shop", OLD, 200),
        ("wgt_shop", OLD, 200),
        ("wgt_shop", SHOP, 200),
        ("wgt_forum", "https://forum.preview.example.com", 403),
        ("wgt_forum", "https://forum.example.com", 200),
        ("wgt_help", "https://www.shop.example.com", 403),
    ] {
        assert_eq!(visit(&edge, widget, origin).await, status, "{widget} {origin}");
    }
    eventually("the last sighting is kept", async || {
        let told = edge.admin("/v1/widgets/wgt_help/activity").await.json::<Value>().await.unwrap();
        told["refused"]["sites"] != json!([])
    })
    .await;
    edge
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_question_of_the_page_is_one_command() {
    let questions = questions();
    let [still_loads, is_gone, may_enforce] = questions.as_slice() else { panic!("{questions:?}") };
    assert!(questions.iter().all(|line| line.lines().count() == 1), "{questions:?}");
    let edge = visited().await;

    let ran = ask(&edge, still_loads);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), 4, "{ran:?}");
    assert!(lines[0].starts_with("WIDGET     SITE "), "{}", lines[0]);
    assert!(lines[1].starts_with("wgt_forum  https://forum.preview.example.com "), "{}", lines[1]);
    assert!(
        lines[1].ends_with("  refused (not_listed); to admit it, add `forum.preview.example.com`"),
        "{}",
        lines[1]
    );
    assert!(lines[2].starts_with(&format!("wgt_shop   {OLD} ")), "{}", lines[2]);
    assert!(
        lines[2].contains("  2  ") && lines[2].ends_with("  let in by `*.preview.example.com`"),
        "{}",
        lines[2]
    );
    assert_eq!(lines[3], "1 widget let *.preview.example.com in within 30 days, 1 did not");

    let ran = ask(&edge, is_gone);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    assert!(ran.out.contains("wgt_help  https://www.shop.example.com "), "{ran:?}");
    assert!(ran.out.contains("refused (not_listed); to admit it, add `www.shop.example.com`\n"), "{ran:?}");
    assert!(
        ran.out.ends_with("0 widgets let www.shop.example.com in within 30 days, 1 did not\n"),
        "{ran:?}"
    );

    let ran = ask(&edge, may_enforce);
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{ran:?}");
    assert!(ran.err.starts_with(&format!("embedgate: added: {SHOP} (1 request, last ")), "{ran:?}");
    assert!(
        ran.err.contains(
            "embedgate: Not as the list is: 1 site admitted by the list, 1 site let in without an entry, which the draft \
             adds.\n"
        ),
        "{ran:?}"
    );
    // The draft is saved as the page says, and then it is what it said.
    done(&edge, &["widgets", "put", "wgt_shop.json"]);
    for (origin, status) in [(SHOP, 200), (OLD, 200), ("https://stranger.example", 403)] {
        assert_eq!(visit(&edge, "wgt_shop", origin).await, status, "{origin}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_widgets_and_one_are_told_as_text_and_as_json() {
    let edge = visited().await;
    let ran = done(&edge, &["activity"]);
    for says in [
        "WIDGET     ACCESS   REFUSED             ENFORCE WOULD REFUSE  STALE ENTRIES\n",
        "wgt_shop   monitor  1 site (1 request)  1 site (1 request)\n",
        "most refused:\n",
        "3 widgets: 0 open to any site, 1 monitored; watched since ",
    ] {
        assert!(ran.out.contains(says), "{says}: {}", ran.out);
    }
    let told = done(&edge, &["activity", "--json"]).json();
    assert_eq!((&told["looked_at"], &told["next"]), (&json!(3), &Value::Null));
    let widgets: Vec<_> = told["widgets"].as_array().unwrap().iter().map(|told| &told["widget"]).collect();
    assert_eq!(widgets, ["wgt_forum", "wgt_help", "wgt_shop"]);

    let ran = done(&edge, &["activity", "--widget", "wgt_shop", "--stale-days", "90"]);
    let words = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for says in [
        "wgt_shop (monitor), watched since ",
        "entries: ENTRY REQUESTS LAST *.preview.example.com 2 20",
        "Z old.preview.example.com 2 20",
        "Z refused, or let through by monitor: SITE REQUESTS LAST https://shop.example.com 1 20",
        "Z let through by monitor (not_listed); to admit it, add `shop.example.com` ",
        " enforce would refuse of what was let in: 1 site (1 request)",
    ] {
        assert!(words.contains(says), "{says}: {}", ran.out);
    }
    let answered = edge.admin("/v1/widgets/wgt_shop/activity").await.json::<Value>().await.unwrap();
    assert_eq!(done(&edge, &["activity", "--widget", "wgt_shop", "--json"]).json(), answered);

    let told = done(&edge, &["widgets", "propose", "wgt_shop", "--json"]).json();
    let draft = json!(["*.preview.example.com", "shop.example.com"]);
    assert_eq!((&told["draft"]["allowed_domains"], &told["draft"]["access"]), (&draft, &json!("enforce")));
    refused(&edge, 1, &["activity", "--widget", "none"], &["unknown_widget: ", "`embedgate widgets list`"]);
    refused(&edge, 1, &["activity", "--host", "https://a.example/b"], &["did you mean `https://a.example`?"]);
    let nobody = at(&edge, &["activity", "--host", "nobody.example"]);
    assert_eq!((nobody.code, nobody.out.as_str()), (0, "0 widgets let nobody.example in within 30 days\n"));
}
