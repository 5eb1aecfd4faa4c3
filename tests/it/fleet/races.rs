//! Changes of one widget through several edges at once.

use std::collections::BTreeSet;

use futures_util::future::{join, join_all};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Fleet, alike, call, get, save_everywhere, widget};
use crate::support::edge::Edge;
use crate::support::scale;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_saves_of_one_revision_one_is_refused() {
    let (_fleet, edges): (_, [Edge; 2]) = Fleet::new_edges().await;
    save_everywhere(&edges[0], &widget("w", &["start.example"])).await;
    for round in 0..scale(200) {
        let revision = get(&edges[0], "/v1/widgets/w").await.1["revision"].as_u64().unwrap();
        let save = async |n: usize| {
            let document = widget("w", &[&format!("r{round}e{n}.example")]);
            let request = edges[n].api(Method::PUT, "/v1/widgets/w?wait=fleet&timeout=20s");
            let answer =
                request.header("if-match", format!("\"{revision}\"")).json(&document).send().await.unwrap();
            (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
        };
        let (one, two) = join(save(0), save(1)).await;
        let mut statuses = [one.0, two.0];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 412], "round {round}: {one:?} {two:?}");
        let won = if one.0 == 200 { one.1 } else { two.1 };
        for edge in &edges {
            assert_eq!(get(edge, "/v1/widgets/w").await.1, won["widget"]);
        }
    }
    alike(&edges).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make prove"]
async fn no_edit_of_one_widget_is_lost() {
    let (_fleet, edges): (_, [Edge; 3]) = Fleet::new_edges().await;
    save_everywhere(&edges[0], &widget("w", &["start.example"])).await;
    let rounds = scale(200);
    let edit = async |n: usize| {
        for round in 0..rounds {
            let body = json!({ "add": [format!("r{round}e{n}.example")] });
            let (status, answer) = call(&edges[n], Method::POST, "/v1/widgets/w/domains", Some(&body)).await;
            assert_eq!(status, 200, "{answer}");
        }
    };
    join_all((0..edges.len()).map(edit)).await;
    alike(&edges).await;
    let all = |widget: Value| -> BTreeSet<String> {
        let domains = widget["allowed_domains"].as_array().unwrap().clone();
        domains.iter().map(|domain| domain.as_str().unwrap().to_owned()).collect()
    };
    for edge in &edges {
        let (_, saved) = get(edge, "/v1/widgets/w").await;
        assert_eq!(saved["revision"], 1 + 3 * rounds, "each is one revision");
        let mut wanted: BTreeSet<String> =
            (0..rounds).flat_map(|round| (0..3).map(move |n| format!("r{round}e{n}.example"))).collect();
        wanted.insert("start.example".to_owned());
        assert_eq!(all(saved), wanted);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make prove"]
async fn a_late_push_through_another_edge_brings_nothing_back() {
    let (_fleet, edges): (_, [Edge; 2]) = Fleet::new_edges().await;
    save_everywhere(&edges[0], &widget("w", &["site.example"])).await;
    let (status, answer) =
        call(&edges[0], Method::DELETE, "/v1/widgets/w?revision=5&wait=fleet&timeout=20s", None).await;
    assert_eq!((status, answer.get("behind")), (200, None), "{answer}");
    let mut late = widget("w", &["site.example"]);
    late["revision"] = json!(4);
    for edge in &edges {
        let (status, answer) = call(edge, Method::PUT, "/v1/widgets/w", Some(&late)).await;
        assert_eq!((status, &answer["code"]), (409, &json!("stale_revision")), "{answer}");
    }
    alike(&edges).await;
}
