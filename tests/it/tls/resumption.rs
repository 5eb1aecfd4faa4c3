//! Visitors who come back: how many resume, at which edges and listeners, and what a change of the keys does to them.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{LISTED, Site, get};
use crate::support::certificates::HTTP11;
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::raw::Connection;
use crate::support::upstream::Upstream;
use crate::support::{eventually, ports};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

const A: &str = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=";
const B: &str = "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=";

/// A browser: it remembers sessions by the server's name, whatever the address.
#[derive(Clone)]
struct Visitor(Arc<ClientConfig>);

impl Visitor {
    fn new(site: &Site, version: &'static SupportedProtocolVersion) -> Self {
        Self(Arc::new(site.authority.client(&[version], &[HTTP11])))
    }

    /// Visits an address and tells whether it resumed there.
    async fn resumes(&self, addr: SocketAddr) -> bool {
        let stream = TcpStream::connect(addr).await.unwrap();
        let name = ServerName::try_from("chat.example").unwrap();
        let stream = TlsConnector::from(Arc::clone(&self.0)).connect(name, stream).await.unwrap();
        let mut connection = Connection::over(stream);
        // In TLS 1.3 tickets come after the handshake: they are there with the answer.
        assert_eq!(connection.ask(get("/nowhere", LISTED)).await.status, 404);
        let (stream, _) = connection.into_inner();
        match stream.get_ref().1.handshake_kind() {
            Some(HandshakeKind::Resumed) => true,
            Some(HandshakeKind::Full) => false,
            other => panic!("{other:?}"),
        }
    }
}

/// How many of them resume there.
async fn resumed(visitors: &[Visitor], addr: SocketAddr) -> usize {
    let visits = stream::iter(visitors.to_vec())
        .map(|visitor| async move { usize::from(visitor.resumes(addr).await) });
    visits.buffer_unordered(16).fold(0, async |sum, one| sum + one).await
}

/// An edge at an address of its own, with the certificates of the site.
fn beside(site: &Site, upstream: &Upstream, more: &str) -> (SocketAddr, EdgeSpec) {
    let addr = ports::free();
    let mut spec = site.spec_at(&[addr], upstream);
    spec.more += more;
    (addr, spec)
}

fn keys_in(path: &Path) -> String {
    format!("[tickets]\nkey_file = {path:?}\n")
}

fn write_keys(path: &Path, keys: &[&str]) {
    fs::write(path, keys.join("\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn each_of_many_visitors_resumes() {
    const VISITORS: usize = 600;
    let upstream = Upstream::start("app").await;
    let site = Site::new();
    let _edge = Edge::start(site.spec(&upstream)).await;
    for version in VERSIONS {
        let visitors: Vec<_> = (0..VISITORS).map(|_| Visitor::new(&site, version)).collect();
        assert_eq!(resumed(&visitors, site.addr).await, 0, "{version:?}");
        assert_eq!(resumed(&visitors, site.addr).await, VISITORS, "{version:?}");
    }
}

#[tokio::test]
async fn edges_with_the_same_keys_resume_each_others_sessions() {
    let upstream = Upstream::start("app").await;
    let site = Site::new();
    let keys = site.file("ticket.keys");
    write_keys(&keys, &[A]);
    let [(one, first), (two, second)] = [(); 2].map(|()| beside(&site, &upstream, &keys_in(&keys)));
    let (other, third) = beside(&site, &upstream, "");
    let _edges = [Edge::start(first).await, Edge::start(second).await, Edge::start(third).await];
    for version in VERSIONS {
        for (from, to) in [(one, two), (two, one)] {
            let visitor = Visitor::new(&site, version);
            assert!(!visitor.resumes(from).await);
            assert!(visitor.resumes(to).await, "{version:?}");
        }
        for (from, to) in [(one, other), (other, one)] {
            let visitor = Visitor::new(&site, version);
            assert!(!visitor.resumes(from).await);
            assert!(!visitor.resumes(to).await, "{version:?}: its keys are others");
            assert!(visitor.resumes(to).await, "{version:?}");
        }
    }
}

#[tokio::test]
async fn each_listener_resumes_its_own_sessions_alone() {
    let upstream = Upstream::start("app").await;
    let site = Site::new();
    let second = ports::free();
    let _edge = Edge::start(site.spec_at(&[site.addr, second], &upstream)).await;
    for version in VERSIONS {
        for (from, to) in [(site.addr, second), (second, site.addr)] {
            let visitor = Visitor::new(&site, version);
            assert!(!visitor.resumes(from).await);
            assert!(!visitor.resumes(to).await, "{version:?}");
            assert!(visitor.resumes(to).await, "{version:?}");
        }
    }
}

#[tokio::test]
async fn a_restart_keeps_sessions() {
    let upstream = Upstream::start("app").await;
    let site = Site::new();
    let mut edge = Edge::start(site.spec(&upstream)).await;
    let visitors = VERSIONS.map(|version| Visitor::new(&site, version));
    assert_eq!(resumed(&visitors, site.addr).await, 0);
    edge.signal("INT");
    assert_eq!(edge.exit_code().await, Some(0));
    edge.restart().await;
    assert_eq!(resumed(&visitors, site.addr).await, 2);
}

#[tokio::test]
async fn new_keys_are_taken_up_and_sessions_of_old_ones_last_as_long_as_these() {
    let upstream = Upstream::start("app").await;
    let site = Site::new();
    let keys = site.file("ticket.keys");
    write_keys(&keys, &[A]);
    let (addr, spec) = beside(&site, &upstream, &keys_in(&keys));
    let edge = Edge::start(spec).await;
    let loads = || edge.log().matches("new ticket keys in force").count();
    let visitors = || VERSIONS.map(|version| Visitor::new(&site, version));
    let (early, gone) = (visitors(), visitors());
    assert_eq!(resumed(&early, addr).await + resumed(&gone, addr).await, 0);

    write_keys(&keys, &[B, A]);
    eventually("the new key is taken up", async || loads() == 1).await;
    assert_eq!(resumed(&early, addr).await, 2, "sessions of the old key go on, with tickets of the new one");
    let late = visitors();
    assert_eq!(resumed(&late, addr).await, 0);

    write_keys(&keys, &[B]);
    eventually("the old key is gone", async || loads() == 2).await;
    assert_eq!(resumed(&early, addr).await, 2);
    assert_eq!(resumed(&late, addr).await, 2);
    assert_eq!(resumed(&gone, addr).await, 0);
}
