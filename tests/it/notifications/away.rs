//! A receiver that is away for a while.

use std::time::Duration;

use super::{pending, spec, state, test};
use crate::life::upgrade::upgrade;
use crate::support::edge::Edge;
use crate::support::webhooks::{Webhooks, secrets};
use crate::support::{LONG, in_time, ports, scale};

#[tokio::test]
async fn everything_arrives_in_order_with_its_first_id_although_the_edge_is_killed() {
    let addr = ports::free();
    let mut edge = Edge::start(spec(addr)).await;
    let mut ids = Vec::new();
    for kills in 0..3 {
        for _ in 0..scale(50) {
            ids.push(test(&edge).await);
        }
        // Some are killed in the middle of a try.
        tokio::time::sleep(Duration::from_millis(kills * 7)).await;
        edge.signal("KILL");
        edge.exit_code().await;
        edge.restart().await;
    }
    pending(&edge, ids.len()).await;
    let failing = &state(&edge).await["failing"][0];
    if !failing.is_null() {
        assert!(failing["error"].as_str().unwrap().contains("refused"), "{failing}");
    }
    let receiver = Webhooks::at(addr).await;
    in_time("they arrive", LONG, async || receiver.got().len() >= ids.len()).await;
    pending(&edge, 0).await;
    let got = receiver.got();
    let arrived: Vec<&str> = got.iter().map(|webhook| webhook.id()).collect();
    assert_eq!(arrived, ids);
    let [secret] = &secrets(edge.folder())[..] else { panic!() };
    assert!(got.iter().all(|webhook| webhook.is_signed_by(secret)));
    // What has arrived is not sent again. A kill in the moment before that is on the disk would send the last ones twice.
    edge.signal("TERM");
    assert_eq!(edge.exit_code().await, Some(0));
    edge.restart().await;
    receiver.no_more_than(ids.len()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_killed_before_it_has_noted_an_arrival_sends_it_again_with_the_same_id() {
    let receiver = Webhooks::answering(ports::free(), |_, _| {
        // The answer comes after the kill, which another thread goes on to.
        tokio::task::block_in_place(|| std::thread::park_timeout(Duration::from_millis(500)));
        axum::response::IntoResponse::into_response("ok")
    });
    let receiver = receiver.await;
    let mut edge = Edge::start(spec(receiver.addr)).await;
    let id = test(&edge).await;
    receiver.wait_for(1).await;
    edge.signal("KILL");
    edge.exit_code().await;
    edge.restart().await;
    let got = receiver.wait_for(2).await;
    assert!(got.iter().all(|webhook| webhook.id() == id));
    assert_eq!(got[0].text, got[1].text);
    pending(&edge, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_goes_over_an_upgrade() {
    let addr = ports::free();
    let edge = Edge::start(spec(addr)).await;
    let mut ids = vec![test(&edge).await, test(&edge).await];
    pending(&edge, 2).await;
    let _new = upgrade(&edge).await;
    pending(&edge, 2).await;
    ids.push(test(&edge).await);
    let receiver = Webhooks::at(addr).await;
    let got = {
        in_time("they arrive", LONG, async || receiver.got().len() >= 3).await;
        receiver.got()
    };
    assert_eq!(got.iter().map(|webhook| webhook.id().to_owned()).collect::<Vec<_>>(), ids);
    receiver.no_more_than(3).await;
}
