//! The keys that tickets are signed with: one base64 key of at least 32 bytes a line, blank lines and `#` comments
//! aside. The first signs, all verify. To rotate: append the new key everywhere, then move it first, then remove the
//! old one.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ring::error::Unspecified;
use ring::{digest, hkdf, hmac};

use super::TicketError;

/// The bytes by which a ticket names its key.
pub(super) const KEY_ID: usize = 4;

/// Fewer bytes could be guessed; HMAC-SHA-256 gains nothing from many more (RFC 2104 §3).
const LEAST: usize = 32;

/// With padding or without, as the tools that make keys write it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// At least one key.
#[derive(Clone)]
pub struct TicketKeys {
    first: Key,
    others: Vec<Key>,
    fingerprint: [u8; 8],
}

#[derive(Clone)]
struct Key {
    id: [u8; KEY_ID],
    hmac: hmac::Key,
    /// What keys for other uses derive from (RFC 5869 §2.2), so that none of them says anything of this one.
    hkdf: hkdf::Prk,
}

impl Key {
    fn new(key: &[u8]) -> Self {
        Self {
            id: beginning(hashed("embedgate ticket key", [key])),
            hmac: hmac::Key::new(hmac::HMAC_SHA256, key),
            hkdf: hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(key),
        }
    }

    fn derive<const N: usize>(&self, info: &[&[u8]]) -> Result<[u8; N], Unspecified> {
        let mut derived = [0; N];
        self.hkdf.expand(info, Length(N))?.fill(&mut derived)?;
        Ok(derived)
    }
}

/// How many bytes are derived.
struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// Why a list of keys can't be taken. The line itself is not repeated: it may be a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketKeyError {
    /// A line is no base64.
    #[error("line {line}: not base64 (A-Z a-z 0-9 + /); make a key with: openssl rand -base64 32")]
    NotBase64 {
        /// The line, from 1.
        line: usize,
    },
    /// A line is too short a key.
    #[error("line {line}: {bytes} bytes are too short for a key; make one with: openssl rand -base64 32")]
    TooShort {
        /// The line, from 1.
        line: usize,
        /// How many bytes it is.
        bytes: usize,
    },
    /// A key stands there twice: one of the two was meant to be another.
    #[error("line {line}: the key of line {first} again")]
    Twice {
        /// The second of them, from 1.
        line: usize,
        /// The first.
        first: usize,
    },
    /// There is no key.
    #[error("there is no key in it; make one with: openssl rand -base64 32")]
    None,
}

impl TicketKeys {
    /// Reads the keys of a file.
    ///
    /// # Errors
    ///
    /// A line that is no key, or none that is.
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
        let mut keys = keys.into_iter().map(|(_, key)| Key::new(&key));
        let first = keys.next().ok_or(TicketKeyError::None)?;
        Ok(Self { first, others: keys.collect(), fingerprint })
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        1 + self.others.len()
    }

    /// Tells two sets of keys apart, and tells nothing of the keys: 16 hexadecimal digits.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.fingerprint.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Keys for another use: one from each of these, in their order (HKDF-SHA-256). `info` says what for, and begins
    /// with a label that no other use has.
    ///
    /// # Errors
    ///
    /// More is asked for than HKDF gives, 8160 bytes.
    pub fn derive<const N: usize>(
        &self,
        info: &[&[u8]],
    ) -> impl Iterator<Item = Result<[u8; N], Unspecified>> {
        std::iter::once(&self.first).chain(&self.others).map(move |key| key.derive(info))
    }

    /// The key that signs, as its tickets name it.
    pub(super) fn signing_id(&self) -> [u8; KEY_ID] {
        self.first.id
    }

    pub(super) fn sign(&self, statement: &[u8]) -> hmac::Tag {
        hmac::sign(&self.first.hmac, statement)
    }

    /// Compares in constant time.
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
