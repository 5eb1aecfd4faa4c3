//! Open connections, counted in all and by address, and the bounds on both.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::RandomState;
use parking_lot::Mutex;

use crate::sockets::network;
use crate::telemetry::metrics::{ConnectionRefusal, OpenConnection};

/// Number of parts of the table of addresses, so that listeners on several threads rarely wait for each other.
const PARTS: usize = 16;

/// Room for addresses that a part keeps.
const KEPT_ROOM: usize = 64;

/// Census of open connections.
#[derive(Debug, Default)]
pub struct ConnectionCensus {
    all: AtomicUsize,
    by_address: [Mutex<HashMap<IpAddr, usize, RandomState>>; PARTS],
    hasher: RandomState,
}

/// Entry of one connection in the census, for as long as the connection is open.
#[derive(Debug)]
pub struct CensusEntry {
    census: Arc<ConnectionCensus>,
    /// The address that it is counted for.
    address: Option<IpAddr>,
    _of_listener: OpenConnection,
}

impl ConnectionCensus {
    /// Counts a connection, which is counted for its listener already.
    ///
    /// # Errors
    ///
    /// `most` connections are open.
    pub fn enter(
        self: &Arc<Self>,
        of_listener: OpenConnection,
        most: usize,
    ) -> Result<CensusEntry, ConnectionRefusal> {
        let entry = CensusEntry { census: Arc::clone(self), address: None, _of_listener: of_listener };
        // The entry takes it back if it is one too many.
        if self.all.fetch_add(1, Ordering::Relaxed) < most { Ok(entry) } else { Err(ConnectionRefusal::All) }
    }

    fn part(&self, address: IpAddr) -> &Mutex<HashMap<IpAddr, usize, RandomState>> {
        let place = self.hasher.hash_one(address) as usize % PARTS;
        #[expect(clippy::indexing_slicing, reason = "the place is a remainder of the number of parts")]
        &self.by_address[place]
    }
}

impl CensusEntry {
    /// Counts the connection for this address, too.
    ///
    /// # Errors
    ///
    /// `most` connections of the address are open.
    pub fn claim(&mut self, address: IpAddr, most: usize) -> Result<(), ConnectionRefusal> {
        let address = network(address);
        let mut part = self.census.part(address).lock();
        let open = part.entry(address).or_default();
        if *open >= most {
            return Err(ConnectionRefusal::Address);
        }
        *open += 1;
        self.address = Some(address);
        Ok(())
    }
}

impl Drop for CensusEntry {
    fn drop(&mut self) {
        self.census.all.fetch_sub(1, Ordering::Relaxed);
        let Some(address) = self.address else { return };
        let mut part = self.census.part(address).lock();
        if let Entry::Occupied(mut open) = part.entry(address) {
            *open.get_mut() -= 1;
            if *open.get() == 0 {
                open.remove();
            }
        }
        // Memory of many addresses is given back when they have gone.
        if part.capacity() > KEPT_ROOM && part.len() < part.capacity() / 8 {
            let room = part.len() * 2;
            part.shrink_to(room);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::telemetry::metrics::Metrics;

    fn enter(census: &Arc<ConnectionCensus>, most: usize) -> Result<CensusEntry, ConnectionRefusal> {
        let addr = "127.0.0.1:8080".parse().unwrap();
        census.enter(Metrics::new().unwrap().connections.of_listener(addr).opened(), most)
    }

    fn entered(
        census: &Arc<ConnectionCensus>,
        address: &str,
        most: usize,
    ) -> Result<CensusEntry, ConnectionRefusal> {
        let mut entry = enter(census, 10)?;
        entry.claim(address.parse().unwrap(), most)?;
        Ok(entry)
    }

    #[test]
    fn an_address_has_its_bound() {
        let census = Arc::default();
        let open: Vec<_> = (0..2).map(|_| entered(&census, "192.0.2.1", 2).unwrap()).collect();
        for same in ["192.0.2.1", "::ffff:192.0.2.1"] {
            assert_eq!(entered(&census, same, 2).unwrap_err(), ConnectionRefusal::Address, "{same}");
        }
        assert!(entered(&census, "192.0.2.2", 2).is_ok());
        drop(open);
        assert!(entered(&census, "192.0.2.1", 2).is_ok());
        let _one = entered(&census, "2001:db8::1", 1).unwrap();
        assert!(entered(&census, "2001:db8::ffff:1", 1).is_err(), "the same network of 64 bits");
        assert!(entered(&census, "2001:db8:0:1::1", 1).is_ok());
    }

    #[test]
    fn all_together_have_theirs() {
        let census = Arc::<ConnectionCensus>::default();
        let open: Vec<_> = (0..10).map(|_| enter(&census, 10).unwrap()).collect();
        assert_eq!(enter(&census, 10).unwrap_err(), ConnectionRefusal::All);
        assert!(enter(&census, 11).is_ok(), "a bound that was raised");
        drop(open);
        assert!(enter(&census, 1).is_ok());
    }

    proptest! {
        /// However connections come and go, what is left is what is open, and nothing is kept of addresses that are gone.
        #[test]
        fn what_goes_is_counted_off(steps in proptest::collection::vec((0_u8..6, any::<bool>()), 0..200)) {
            let census = Arc::<ConnectionCensus>::default();
            let mut open: Vec<(u8, CensusEntry)> = Vec::new();
            for (address, comes) in steps {
                if comes {
                    let most = open.iter().filter(|(of, _)| *of == address).count();
                    let mut entry = enter(&census, usize::MAX).unwrap();
                    let claimed = entry.claim(IpAddr::from([192, 0, 2, address]), 3);
                    prop_assert_eq!(claimed.is_ok(), most < 3);
                    if claimed.is_ok() {
                        open.push((address, entry));
                    }
                } else if let Some(place) = open.iter().position(|(of, _)| *of == address) {
                    open.swap_remove(place);
                }
                prop_assert_eq!(census.all.load(Ordering::Relaxed), open.len());
            }
            open.clear();
            prop_assert!(census.by_address.iter().all(|part| part.lock().capacity() <= 2 * KEPT_ROOM));
        }
    }
}
