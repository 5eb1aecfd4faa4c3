//! Lookup of server names. Addresses are used as they are.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use crate::config::ServerAddress;

/// Least time between two lookups, however many connections fail.
const LEAST_PAUSE: Duration = Duration::from_secs(1);

/// Addresses of servers, each with the name that it was found by.
pub type FoundServers = BTreeMap<SocketAddr, Option<Arc<str>>>;

/// Resolver of a name and port to addresses.
type Resolve = Box<dyn Fn(Arc<str>, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// Lookup of the servers of one upstream.
pub struct NameLookup {
    servers: Vec<ServerAddress>,
    interval: Duration,
    /// The last results, which stay in use while a name server is unreachable.
    last: Mutex<HashMap<ServerAddress, LastLookup>>,
    /// Asks for another lookup, because a server can't be reached.
    again: Notify,
    resolve: Resolve,
}

/// Result of the last lookup of one name.
#[derive(Default)]
struct LastLookup {
    addresses: Vec<SocketAddr>,
    has_failed: bool,
}

impl NameLookup {
    /// Lookup of these servers by the system, and again after each interval.
    pub fn new(servers: Vec<ServerAddress>, interval: Duration) -> Self {
        let resolve: Resolve = Box::new(|host, port| {
            Box::pin(async move { Ok(tokio::net::lookup_host((&*host, port)).await?.collect()) })
        });
        Self { servers, interval, last: Mutex::default(), again: Notify::new(), resolve }
    }

    /// Looks up all names once.
    pub async fn find(&self) -> FoundServers {
        let each = join_all(self.servers.iter().map(|server| self.find_one(server))).await;
        let mut found = FoundServers::new();
        for (addresses, name) in each {
            for addr in addresses {
                found.entry(addr).or_insert_with(|| name.clone());
            }
        }
        found
    }

    /// Looks up all names again and again, and gives each result to `found`. Ends at once if there are none.
    pub async fn follow(&self, mut found: impl FnMut(FoundServers)) {
        if self.servers.iter().all(|server| server.name().is_none()) {
            return;
        }
        loop {
            let next = Instant::now() + LEAST_PAUSE;
            // It ends early if a connection fails.
            let _ = timeout(self.interval, self.again.notified()).await;
            sleep_until(next).await;
            // What has failed until now is answered by this lookup.
            let _ = self.again.notified().now_or_never();
            found(self.find().await);
        }
    }

    /// Looks up the names soon, because a server can't be reached: its name may have moved to another address.
    pub fn hurry(&self) {
        self.again.notify_one();
    }

    async fn find_one(&self, server: &ServerAddress) -> (Vec<SocketAddr>, Option<Arc<str>>) {
        let (host, port) = match server {
            ServerAddress::Ip(addr) => return (vec![*addr], None),
            ServerAddress::Name { host, port } => (Arc::<str>::from(&**host), *port),
        };
        let looked_up = (self.resolve)(Arc::clone(&host), port).await;
        let mut last = self.last.lock();
        let last = last.entry(server.clone()).or_default();
        match looked_up {
            Ok(addresses) => {
                if last.has_failed {
                    tracing::info!(host = &*host, "the name of an upstream can be looked up again");
                }
                *last = LastLookup { addresses, has_failed: false };
            }
            Err(error) if !last.has_failed => {
                last.has_failed = true;
                let in_use: Vec<String> = last.addresses.iter().map(ToString::to_string).collect();
                let in_use = in_use.join(", ");
                tracing::warn!(host = &*host, %error, in_use, "can't look up the name of an upstream");
            }
            Err(_) => {}
        }
        (last.addresses.clone(), Some(host))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::ErrorKind;

    use tokio::sync::mpsc;

    use super::*;

    type Zone = Arc<Mutex<Option<Vec<&'static str>>>>;

    /// A lookup of one name and one address, with the addresses of the name; `None` while the name server is gone.
    fn lookup(zone: &Zone, interval: Duration) -> NameLookup {
        let name = |host: &str| ServerAddress::Name { host: host.into(), port: 80 };
        let ip = ServerAddress::Ip("10.0.0.9:80".parse().unwrap());
        let zone = Arc::clone(zone);
        let resolve: Resolve = Box::new(move |_, port| {
            let answer = zone.lock().clone().ok_or(io::Error::from(ErrorKind::TimedOut));
            let addresses =
                answer.map(|all| all.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), port)).collect());
            Box::pin(async move { addresses })
        });
        NameLookup { resolve, ..NameLookup::new(vec![name("app.internal"), ip], interval) }
    }

    fn told(found: &FoundServers) -> String {
        let one = |(addr, name): (&SocketAddr, &Option<Arc<str>>)| {
            format!("{addr} {}", name.as_deref().unwrap_or_default())
        };
        found.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    #[tokio::test]
    async fn what_was_found_last_stays_in_use() {
        let zone = Zone::default();
        let lookup = lookup(&zone, Duration::from_secs(30));
        assert_eq!(told(&lookup.find().await), "10.0.0.9:80 ");
        *zone.lock() = Some(vec!["10.0.0.2", "10.0.0.1", "10.0.0.9"]);
        let all = "10.0.0.1:80 app.internal, 10.0.0.2:80 app.internal, 10.0.0.9:80 app.internal";
        assert_eq!(told(&lookup.find().await), all);
        *zone.lock() = None;
        assert_eq!(told(&lookup.find().await), all);
        *zone.lock() = Some(vec!["10.0.0.3"]);
        assert_eq!(told(&lookup.find().await), "10.0.0.3:80 app.internal, 10.0.0.9:80 ");
    }

    #[tokio::test(start_paused = true)]
    async fn names_are_looked_up_in_time_and_at_once_if_a_server_is_gone() {
        let zone = Zone::new(Mutex::new(Some(vec!["10.0.0.1"])));
        let lookup = Arc::new(lookup(&zone, Duration::from_secs(30)));
        let (tell, mut told) = mpsc::unbounded_channel();
        let following = Arc::clone(&lookup);
        let follows = tokio::spawn(async move { following.follow(|found| tell.send(found).unwrap()).await });
        let started = Instant::now();
        let mut next = async || (told.recv().await.unwrap().len(), started.elapsed().as_secs());
        assert_eq!((next().await, next().await), ((2, 30), (2, 60)));
        *zone.lock() = Some(vec!["10.0.0.2", "10.0.0.3"]);
        tokio::time::sleep(Duration::from_secs(5)).await;
        lookup.hurry();
        assert_eq!(next().await, (3, 65), "at once");
        for _ in 0..100 {
            lookup.hurry();
        }
        assert_eq!((next().await, next().await), ((3, 66), (3, 96)), "at most once a second");
        follows.abort();
    }

    #[tokio::test]
    async fn addresses_are_not_looked_up_again() {
        let ip = ServerAddress::Ip("10.0.0.9:80".parse().unwrap());
        NameLookup::new(vec![ip], LEAST_PAUSE).follow(|_| {}).await;
    }
}
