//! Session tickets of the TLS listeners (RFC 5077, RFC 8446 §4.6.1). What it takes to resume a session is with the
//! client, encrypted: any number of visitors resume, after a restart too, and at every edge that has the same ticket
//! keys.
//!
//! ```text
//! ticket     = name:16 nonce:12 AES-256-GCM(session) tag:16         (SP 800-38D; the name is authenticated, too)
//! key name   = HKDF-SHA-256("embed-resumption" listener:u32 epoch:u64)   (RFC 5869; of a ticket key; big-endian)
//! ```
//!
//! A key encrypts for an epoch of six hours and decrypts for one more, so that a ticket is good for six to twelve. That
//! of the next epoch decrypts already: the clock of another edge may be ahead. What is resumed is what the listener
//! itself began, for the name that was asked for then.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::error::Unspecified;
use rustls::server::ProducesTickets;

use crate::edge::tickets::key_file::KeyFile;
use crate::files::private;
use crate::policy::ticket::TicketKeys;

/// The label of these keys; those of other uses have others.
const LABEL: &[u8] = b"embed-resumption";

/// How long a key encrypts, in seconds. With random nonces that may be 2^32 tickets (SP 800-38D §8.3): 198,000 a second
/// from all edges together.
const EPOCH: u64 = 6 * 60 * 60;

const KEY: usize = 32;
const NAME: usize = 16;
const HEAD: usize = NAME + NONCE_LEN;

/// The session tickets of one listener.
pub struct Resumption {
    key_file: Arc<KeyFile>,
    listener: u32,
    /// Derived with the first ticket of an epoch, and of a change of the file.
    keys: ArcSwapOption<Keys>,
}

impl Resumption {
    /// Tickets by the keys of this file. Edges know the listener by its place among the TLS listeners, since addresses
    /// differ from edge to edge.
    pub fn new(key_file: Arc<KeyFile>, listener: u32) -> Self {
        Self { key_file, listener, keys: ArcSwapOption::empty() }
    }

    fn keys(&self, now: u64) -> Result<Arc<Keys>, Unspecified> {
        let (source, epoch) = (self.key_file.load(), now / EPOCH);
        let known = self.keys.load_full();
        if let Some(keys) = known.filter(|keys| keys.epoch == epoch && Arc::ptr_eq(&keys.source, &source)) {
            return Ok(keys);
        }
        let keys = Arc::new(Keys::derive(Arc::clone(&source), self.listener, epoch)?);
        self.keys.store(Some(Arc::clone(&keys)));
        Ok(keys)
    }

    fn seal(&self, now: u64, session: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let keys = self.keys(now)?;
        let key = keys.all.first().ok_or(Unspecified)?;
        let nonce = private::random::<NONCE_LEN>().map_err(|_| Unspecified)?;
        let mut ticket = Vec::with_capacity(HEAD + session.len() + AES_256_GCM.tag_len());
        ticket.extend_from_slice(&key.name);
        ticket.extend_from_slice(&nonce);
        ticket.extend_from_slice(session);
        let (_, session) = ticket.split_at_mut(HEAD);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = key.aead.seal_in_place_separate_tag(nonce, Aad::from(key.name), session)?;
        ticket.extend_from_slice(tag.as_ref());
        Ok(ticket)
    }

    fn open(&self, now: u64, ticket: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let (name, rest) = ticket.split_first_chunk::<NAME>().ok_or(Unspecified)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>().ok_or(Unspecified)?;
        let keys = self.keys(now)?;
        let key = keys.all.iter().find(|key| key.name == *name).ok_or(Unspecified)?;
        let mut session = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = key.aead.open_in_place(nonce, Aad::from(key.name), &mut session)?.len();
        session.truncate(length);
        Ok(session)
    }
}

impl fmt::Debug for Resumption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resumption").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl ProducesTickets for Resumption {
    fn enabled(&self) -> bool {
        true
    }

    /// To the end of the next epoch.
    fn lifetime(&self) -> u32 {
        u32::try_from(2 * EPOCH - now() % EPOCH).unwrap_or_default()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(now(), plain).ok()
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.open(now(), cipher).ok()
    }
}

fn now() -> u64 {
    u64::try_from(Timestamp::now().as_second()).unwrap_or_default()
}

/// The keys of an epoch and of its neighbours. The first encrypts, all decrypt.
struct Keys {
    source: Arc<TicketKeys>,
    epoch: u64,
    all: Vec<Key>,
}

impl Keys {
    fn derive(source: Arc<TicketKeys>, listener: u32, epoch: u64) -> Result<Self, Unspecified> {
        let mut all = Vec::with_capacity(3 * source.count());
        for epoch in [epoch, epoch.saturating_sub(1), epoch.saturating_add(1)] {
            let info: &[&[u8]] = &[LABEL, &listener.to_be_bytes(), &epoch.to_be_bytes()];
            for derived in source.derive(info) {
                all.push(Key::new(&derived?)?);
            }
        }
        Ok(Self { source, epoch, all })
    }
}

/// A key, and the name by which its tickets tell it.
struct Key {
    name: [u8; NAME],
    aead: LessSafeKey,
}

impl Key {
    fn new(derived: &[u8; KEY + NAME]) -> Result<Self, Unspecified> {
        let (key, name) = derived.split_first_chunk::<KEY>().ok_or(Unspecified)?;
        let name = name.first_chunk().copied().ok_or(Unspecified)?;
        Ok(Self { name, aead: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key)?) })
    }
}

#[cfg(test)]
mod tests;
