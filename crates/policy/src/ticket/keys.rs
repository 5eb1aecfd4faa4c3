//! Ticket keys: one base64 key of at least 32 bytes per line, with blank lines and `#` comments. The first
//! key signs, all of them verify. To rotate: append the new key everywhere, then move it first, then remove
//! the old one.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ring::error::Unspecified;
use ring::{digest, hkdf, hmac};

use super::TicketError;

/// Number of bytes by which a ticket names its key.
pub(super) const KEY_ID: usize = 4;

/// Minimum length of a key, in bytes. Shorter keys could be guessed; much longer ones don't help (RFC 2104
/// §3).
const LEAST: usize = 32;

/// Base64 with or without padding, because tools that make keys write both.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Ticket keys in force, at least one.
#[derive(Clone)]
pub struct TicketKeys {
    first: TicketKey,
    others: Vec<TicketKey>,
    fingerprint: [u8; 8],
}

#[derive(Clone)]
struct TicketKey {
    id: [u8; KEY_ID],
    hmac: hmac::Key,
    /// Source of keys for other uses (RFC 5869 §2.2), which reveal nothing about this key.
    hkdf: hkdf::Prk,
}

impl TicketKey {
    fn new(key: &[u8]) -> Self {
        Self {
            id: beginning(hashed("embedgate ticket key", [key])),
            hmac: hmac::Key::new(hmac::HMAC_SHA256, key),
            hkdf: hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(key),
        }
    }

    fn derive<const N: usize>(&self, info: &[&[u8]]) -> Result<[u8; N], Unspecified> {
        let mut derived = [0; N];
        self.hkdf.expand(info, DerivedLength(N))?.fill(&mut derived)?;
        Ok(derived)
    }
}

/// Number of derived bytes.
struct DerivedLength(usize);

impl hkdf::KeyType for DerivedLength {
    fn len(&self) -> usize {
        self.0
    }
}

/// Error of a list of keys. It does not repeat the line, because that may be a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketKeyError {
    /// A line is not base64.
    #[error("line {line}: not base64 (A-Z a-z 0-9 + /); make a key with: openssl rand -base64 32")]
    NotBase64 {
        /// The line, from 1.
        line: usize,
    },
    /// A key is too short.
    #[error("line {line}: a key of {bytes} bytes is too short; make one with: openssl rand -base64 32")]
    TooShort {
        /// The line, from 1.
        line: usize,
        /// The length of the key.
        bytes: usize,
    },
    /// A key is there twice: one of them was probably meant to be another.
    #[error("line {line} repeats the key of line {first}")]
    Twice {
        /// The second line, from 1.
        line: usize,
        /// The first line.
        first: usize,
    },
    /// There is no key.
    #[error("the file has no key; make one with: openssl rand -base64 32")]
    None,
}

impl TicketKeys {
    /// Reads the keys of a file.
    ///
    /// # Errors
    ///
    /// A line is not a key, or there is no key.
    pub fn parse(text: &str) -> Result<Self, TicketKeyError> {
        let mut keys: Vec<(usize, Vec<u8>)> = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.trim_ascii();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let key = BASE64.decode(text).map_err(|_| TicketKeyError::NotBase64 { line })?;
            if key.len() < LEAST {
                return Err(TicketKeyError::TooShort { line, bytes: key.len() });
            }
            if let Some((first, _)) = keys.iter().find(|(_, known)| *known == key) {
                return Err(TicketKeyError::Twice { line, first: *first });
            }
            keys.push((line, key));
        }
        let all = keys.iter().map(|(_, key)| key.as_slice());
        let fingerprint = beginning(hashed("embedgate ticket keys", all));
        let mut keys = keys.into_iter().map(|(_, key)| TicketKey::new(&key));
        let first = keys.next().ok_or(TicketKeyError::None)?;
        Ok(Self { first, others: keys.collect(), fingerprint })
    }

    /// The number of keys.
    #[must_use]
    pub fn count(&self) -> usize {
        1 + self.others.len()
    }

    /// Fingerprint of the set of keys: 16 hexadecimal digits that reveal nothing about the keys.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.fingerprint.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Derives keys for another use, one from each key, in order (HKDF-SHA-256). `info` names the use, and
    /// starts with a label that no other use has.
    ///
    /// # Errors
    ///
    /// `N` is more than HKDF can give, 8160 bytes.
    pub fn derive<const N: usize>(
        &self,
        info: &[&[u8]],
    ) -> impl Iterator<Item = Result<[u8; N], Unspecified>> {
        std::iter::once(&self.first).chain(&self.others).map(move |key| key.derive(info))
    }

    /// The id of the key that signs.
    pub(super) fn signing_id(&self) -> [u8; KEY_ID] {
        self.first.id
    }

    pub(super) fn sign(&self, statement: &[u8]) -> hmac::Tag {
        hmac::sign(&self.first.hmac, statement)
    }

    /// Verifies a signature, in constant time.
    pub(super) fn verify(
        &self,
        id: [u8; KEY_ID],
        statement: &[u8],
        signature: &[u8],
    ) -> Result<(), TicketError> {
        let mut named =
            std::iter::once(&self.first).chain(&self.others).filter(|key| key.id == id).peekable();
        if named.peek().is_none() {
            return Err(TicketError::UnknownKey);
        }
        let signed = named.any(|key| hmac::verify(&key.hmac, statement, signature).is_ok());
        signed.then_some(()).ok_or(TicketError::Altered)
    }
}

impl std::fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TicketKeys").field("count", &self.count()).finish_non_exhaustive()
    }
}

fn hashed<'k>(what: &str, keys: impl IntoIterator<Item = &'k [u8]>) -> digest::Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(what.as_bytes());
    for key in keys {
        context.update(digest::digest(&digest::SHA256, key).as_ref());
    }
    context.finish()
}

fn beginning<const N: usize>(digest: digest::Digest) -> [u8; N] {
    digest.as_ref().first_chunk().copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const A: &str = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=";
    const B: &str = "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=";

    #[test]
    fn the_first_signs_and_all_verify() {
        let both = TicketKeys::parse(&format!("# keys\n\n {A}\r\n{}\n", B.trim_end_matches('='))).unwrap();
        let (a, b) = (TicketKeys::parse(A).unwrap(), TicketKeys::parse(B).unwrap());
        assert_eq!(both.count(), 2);
        let tag = both.sign(b"statement");
        let id = both.signing_id();
        assert_eq!(id, a.signing_id());
        assert_eq!(a.verify(id, b"statement", tag.as_ref()), Ok(()));
        assert_eq!(b.verify(id, b"statement", tag.as_ref()), Err(TicketError::UnknownKey));
        assert_eq!(both.verify(b.signing_id(), b"statement", b.sign(b"statement").as_ref()), Ok(()));
        assert_eq!(both.verify(b.signing_id(), b"statement", tag.as_ref()), Err(TicketError::Altered));
        assert_eq!(both.verify(id, b"another", tag.as_ref()), Err(TicketError::Altered));
        assert_ne!(both.fingerprint(), a.fingerprint());
        assert_eq!(a.fingerprint(), TicketKeys::parse(&format!("\n{A}")).unwrap().fingerprint());
        assert!(!format!("{both:?}").contains("QUFB"));
    }

    #[test]
    fn each_key_gives_others_for_each_use() {
        let both = TicketKeys::parse(&format!("{A}\n{B}")).unwrap();
        let derive = |keys: &TicketKeys, info: &[&[u8]]| -> Vec<[u8; 48]> {
            keys.derive(info).map(Result::unwrap).collect()
        };
        let (a, b) = (TicketKeys::parse(A).unwrap(), TicketKeys::parse(B).unwrap());
        let info: &[&[u8]] = &[b"use", b"1"];
        assert_eq!(derive(&both, info), [derive(&a, info), derive(&b, info)].concat());
        let all = [derive(&both, info), derive(&both, &[b"use", b"2"]), derive(&both, &[b"other", b"1"])];
        let mut all = all.concat();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 6);
        assert!(both.derive::<8161>(info).all(|key| key.is_err()));
        // OpenSSL 3: openssl kdf -keylen 16 -kdfopt digest:SHA256 -kdfopt hexkey:4141…41 -kdfopt info:use1 HKDF
        let known = a.derive::<16>(info).next().unwrap().unwrap();
        assert_eq!(known.map(|byte| format!("{byte:02x}")).concat(), "3a515f3b6dd5afc716896167578bb6c3");
    }

    #[test]
    fn faults_name_their_line() {
        let parse = |text: &str| TicketKeys::parse(text).unwrap_err();
        assert_eq!(parse(&format!("{A}\n\nno key!\n")), TicketKeyError::NotBase64 { line: 3 });
        assert_eq!(parse("QUFB"), TicketKeyError::TooShort { line: 1, bytes: 3 });
        assert_eq!(parse(&format!("{A}\n{B}\n{A}")), TicketKeyError::Twice { line: 3, first: 1 });
        assert_eq!(parse("# nothing\n"), TicketKeyError::None);
    }
}
