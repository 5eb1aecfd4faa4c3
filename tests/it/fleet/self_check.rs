//! The servers and the network between do what tests of the fleet believe that they do.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::support::nats::{NatsCluster, NatsServer};
use crate::support::ports;
use crate::support::relay::Relay;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_has_what_it_acknowledged_however_it_ends() {
    let mut nats = NatsServer::start().await;
    nats.bucket("b").await.make().await;
    for round in 1..=3 {
        let sequence = nats.bucket("b").await.put("key", &format!("{{\"n\":{round}}}")).await;
        assert_eq!(sequence, round);
        if round % 2 == 0 {
            nats.stop().await
        } else {
            nats.kill().await
        }
        nats.run().await;
        let bucket = nats.bucket("b").await;
        assert_eq!(
            (bucket.last("key").await["n"].as_u64(), bucket.last_sequence().await),
            (Some(round), round)
        );
    }
    let bucket = nats.bucket("b").await;
    bucket.purge("key").await;
    assert!(bucket.last("key").await.is_null());
    bucket.remove().await;
    bucket.make().await;
    assert_eq!(bucket.last_sequence().await, 0);
    bucket.is_followed_by(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_is_cut_silenced_and_healed() {
    let to = ports::free();
    let listener = TcpListener::bind(to).await.unwrap();
    let echo = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    let relay = Relay::start(to);
    let mut byte = [0];
    let mut stream = TcpStream::connect(relay.addr).await.unwrap();
    stream.write_all(b"1").await.unwrap();
    assert_eq!(stream.read(&mut byte).await.unwrap(), 1);

    relay.silence();
    stream.write_all(b"2").await.unwrap();
    assert!(timeout(Duration::from_millis(200), stream.read(&mut byte)).await.is_err());
    let mut late = TcpStream::connect(relay.addr).await.unwrap();
    late.write_all(b"3").await.unwrap();
    assert!(timeout(Duration::from_millis(200), late.read(&mut byte)).await.is_err());
    relay.heal();
    assert_eq!((stream.read(&mut byte).await.unwrap(), byte), (1, *b"2"), "as if it had been late");
    assert_eq!((late.read(&mut byte).await.unwrap(), byte), (1, *b"3"));

    // Healed at once, it has ended what was open all the same.
    relay.cut();
    relay.heal();
    assert!(matches!(stream.read(&mut byte).await, Ok(0) | Err(_)));
    relay.cut();
    let mut refused = TcpStream::connect(relay.addr).await.unwrap();
    assert!(matches!(refused.read(&mut byte).await, Ok(0) | Err(_)));
    echo.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make prove"]
async fn a_cluster_goes_on_without_its_leader() {
    let mut cluster = NatsCluster::start().await;
    let bucket = cluster.servers[0].bucket("b").await;
    bucket.make_of(3).await;
    bucket.put("key", "{\"n\":1}").await;
    let leader = bucket.leader_after("").await;
    let bucket = cluster.other_than(&leader).bucket("b").await;
    cluster.named(&leader).kill().await;
    bucket.leader_after(&leader).await;
    bucket.put("key", "{\"n\":2}").await;
    cluster.named(&leader).run().await;
    cluster.is_whole().await;
    assert_eq!(bucket.last("key").await["n"], 2);
}
