//! TLS session tickets of the listeners (RFC 5077, RFC 8446 §4.6.1). The client keeps the encrypted session.
//! So any number of visitors can resume, also after a restart, and at every edge with the same ticket keys.
//!
//! ```text
//! ticket     = name:16 nonce:12 AES-256-GCM(session) tag:16         (SP 800-38D; the name is authenticated, too)
//! key name   = HKDF-SHA-256("embed-resumption" listener:u32 epoch:u64)   (RFC 5869; of a ticket key; big-endian)
//! ```
//!
//! A key encrypts for an epoch of six hours and decrypts for one more, so a ticket is valid for six to twelve
//! hours. The key of the next epoch already decrypts, because the clock of another edge may be ahead. A
//! session can be resumed only at the listener that began it, and for the same name.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::error::Unspecified;
use rustls::server::ProducesTickets;

use crate::edge::admission::tickets::key_file::KeyFile;
use crate::files::private;
use embedgate_policy::ticket::TicketKeys;

/// Label of these keys in the derivation; other uses have other labels.
const LABEL: &[u8] = b"embed-resumption";

/// Epoch: how long a key encrypts, in seconds. Random nonces allow 2^32 tickets (SP 800-38D §8.3), which is
/// 198,000 per second from all edges together.
const EPOCH: u64 = 6 * 60 * 60;

const KEY: usize = 32;
const NAME: usize = 16;
const HEAD: usize = NAME + NONCE_LEN;

/// Session tickets of one listener.
pub struct Resumption {
    key_file: Arc<KeyFile>,
    listener: u32,
    /// The keys, derived at the first ticket of an epoch or after a change of the file.
    keys: ArcSwapOption<ResumptionKeys>,
}

impl Resumption {
    /// Session tickets with keys derived from this file. `listener` is the index among the TLS listeners,
    /// because addresses differ between edges.
    pub fn new(key_file: Arc<KeyFile>, listener: u32) -> Self {
        Self { key_file, listener, keys: ArcSwapOption::empty() }
    }

    fn keys(&self, now: u64) -> Result<Arc<ResumptionKeys>, Unspecified> {
        let (source, epoch) = (self.key_file.load(), now / EPOCH);
        let known = self.keys.load_full();
        if let Some(keys) = known.filter(|keys| keys.epoch == epoch && Arc::ptr_eq(&keys.source, &source)) {
            return Ok(keys);
        }
        let keys = Arc::new(ResumptionKeys::derive(Arc::clone(&source), self.listener, epoch)?);
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

    /// Until the end of the next epoch.
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

/// Keys of an epoch and its neighbours. The first encrypts, all decrypt.
struct ResumptionKeys {
    source: Arc<TicketKeys>,
    epoch: u64,
    all: Vec<ResumptionKey>,
}

impl ResumptionKeys {
    fn derive(source: Arc<TicketKeys>, listener: u32, epoch: u64) -> Result<Self, Unspecified> {
        let mut all = Vec::with_capacity(3 * source.count());
        for epoch in [epoch, epoch.saturating_sub(1), epoch.saturating_add(1)] {
            let info: &[&[u8]] = &[LABEL, &listener.to_be_bytes(), &epoch.to_be_bytes()];
            for derived in source.derive(info) {
                all.push(ResumptionKey::new(&derived?)?);
            }
        }
        Ok(Self { source, epoch, all })
    }
}

/// Key, with its name in tickets.
struct ResumptionKey {
    name: [u8; NAME],
    aead: LessSafeKey,
}

impl ResumptionKey {
    fn new(derived: &[u8; KEY + NAME]) -> Result<Self, Unspecified> {
        let (key, name) = derived.split_first_chunk::<KEY>().ok_or(Unspecified)?;
        let name = name.first_chunk().copied().ok_or(Unspecified)?;
        Ok(Self { name, aead: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key)?) })
    }
}

#[cfg(test)]
mod tests;
