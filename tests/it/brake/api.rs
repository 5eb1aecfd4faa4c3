//! Batches of the control plane, and single saves beside them.

use super::*;

async fn batch(edge: &Edge, query: &str, body: String) -> (u16, Value) {
    let call = edge.api(Method::POST, &format!("/v1/batch{query}"));
    let answer = call.header("content-type", "application/x-ndjson").body(body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// Turns the first widgets; by a batch that names them, or by one that replaces everything.
async fn turn(edge: &Edge, replace: bool, (kind, count): (&str, usize), confirm: &str) -> (u16, Value) {
    match replace {
        false => batch(edge, &format!("?{confirm}"), lines(kind, count)).await,
        // Documents by themselves, as an export has them.
        true => {
            let body = book(kind, count).iter().map(|document| format!("{document}\n")).collect();
            batch(edge, &format!("?replace=true&{confirm}"), body).await
        }
    }
}

async fn reset(edge: &Edge) {
    let body = (0..ALL).map(|number| format!("{}\n", base(number))).collect();
    let (status, answer) = batch(edge, "?confirm=1000", body).await;
    assert_eq!(status, 200, "{answer}");
}

async fn passes_and_is_held(road: usize, replace: bool) {
    let edge = Edge::start(EdgeSpec::stored(&Value::Array(book("deleted", 0)))).await;
    let mut held = 0.0;
    for kind in kinds(road) {
        let before = generation(&edge).await;
        let (status, answer) = turn(&edge, replace, (kind, 90), "").await;
        assert_eq!((status, count(&edge, kind).await), (200, 90), "{kind}: {answer}");
        reset(&edge).await;
        let before = before + 2;
        assert_eq!(generation(&edge).await, before, "{kind}");

        for touched in [110, ALL] {
            for confirm in [String::new(), format!("confirm={}", touched - 1)] {
                let (status, problem) = turn(&edge, replace, (kind, touched), &confirm).await;
                held += 1.0;
                assert_eq!((status, &problem["code"]), (422, &json!("wide_change")), "{kind}: {problem}");
                assert_eq!(problem["wide_change"], counts(kind, touched), "{problem}");
                let told = problem["detail"].as_str().unwrap();
                assert!(told.contains(&format!("?confirm={touched}")), "{told}");
            }
            assert_eq!((generation(&edge).await, count(&edge, kind).await), (before, 0), "nothing half");
        }
        let (status, answer) = turn(&edge, replace, (kind, ALL), "confirm=1000").await;
        assert_eq!(status, 200, "{kind}: {answer}");
        assert_eq!((generation(&edge).await, count(&edge, kind).await), (before + 1, ALL), "{kind}");
        if replace || kind != "deleted" {
            let (status, answer) = turn(&edge, replace, (kind, ALL), "").await;
            assert_eq!((status, generation(&edge).await), (200, before + 1), "once: {answer}");
        }
        reset(&edge).await;
    }
    assert_eq!(edge.metric("embedgate_brake_refusals_total{road=\"batch\"}").await, held);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_many_is_held_until_it_is_confirmed() {
    passes_and_is_held(0, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_replaces_many_is_held_until_it_is_confirmed() {
    passes_and_is_held(1, true).await;
}

/// A script that saves one by one means each of them.
#[tokio::test(flavor = "multi_thread")]
async fn single_saves_pass_always() {
    let edge = Edge::start(EdgeSpec::stored(&Value::Array(book("deleted", 0)))).await;
    // Some are left for the calls at once.
    let each = scale(ALL).clamp(120, ALL - 60);
    for number in 0..each {
        let document = turned(KINDS[1 + number % 4], number).unwrap();
        assert_eq!(edge.put(&document).await.0, 200);
    }
    for number in 0..each {
        let answer = edge.api(Method::DELETE, &format!("/v1/widgets/{}", id(number))).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    assert_eq!(count(&edge, "deleted").await, each);
    // Many calls at once share a commit, and are judged each for itself.
    let mut calls = tokio::task::JoinSet::new();
    for number in each..each + 60 {
        let call = edge.api(Method::PUT, &format!("/v1/widgets/{}", id(number)));
        let call = call.json(&turned("disabled", number)).send();
        calls.spawn(async { call.await.unwrap().status().as_u16() });
    }
    assert!(calls.join_all().await.iter().all(|status| *status == 200));
    assert_eq!(edge.metric("embedgate_brake_refusals_total{road=\"batch\"}").await, 0.0);
}

/// The share is what the configuration says, from the reload on.
#[tokio::test]
async fn another_share_is_in_force_on_reload() {
    let more = "[policy]\nbrake = \"100%\"\n".to_owned();
    let edge = Edge::start(EdgeSpec { more, ..EdgeSpec::stored(&Value::Array(book("deleted", 0))) }).await;
    let status = async |touched| turn(&edge, false, ("disabled", touched), "").await.0;
    assert_eq!((status(500).await, generation(&edge).await), (200, 2));
    reset(&edge).await;
    // The half is no matter of the share.
    assert_eq!(status(501).await, 422);
    let config = edge.folder().join("conf/embedgate.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("\"100%\"", "\"1.5%\"")).unwrap();
    let reloaded: Value = edge.api(Method::POST, "/v1/reload").send().await.unwrap().json().await.unwrap();
    assert_eq!(reloaded["in_force"], json!(["policy.brake"]), "{reloaded}");
    assert_eq!((status(16).await, status(15).await), (422, 200));
    std::fs::write(&config, text.replace("\"100%\"", "\"a lot\"")).unwrap();
    assert_eq!(edge.api(Method::POST, "/v1/reload").send().await.unwrap().status(), 422);
    assert_eq!(status(31).await, 422, "as it was");
}
