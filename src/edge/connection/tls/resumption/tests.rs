#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::files::Reload;

const A: &str = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=";
const B: &str = "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=";
const C: &str = "Q0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0M=";

/// The begin of an epoch.
const NOW: u64 = 80_000 * EPOCH;

const SESSION: &[u8] = b"what there is to resume";

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, keys: &[&str]) -> PathBuf {
        let path = self.0.path().join(name);
        let _ = fs::remove_file(&path);
        private::make(&path, &keys.join("\n")).unwrap();
        path
    }

    /// The tickets of an edge of its own.
    fn edge(&self, keys: &[&str], listener: u32) -> Resumption {
        let path = self.write(&format!("{listener}-{}", keys.concat().replace(['/', '='], "")), keys);
        Resumption::new(key_file(&path), listener)
    }
}

fn key_file(path: &Path) -> Arc<KeyFile> {
    Arc::new(KeyFile::open(path.to_owned()).unwrap())
}

fn is_resumed(at: &Resumption, now: u64, ticket: &[u8]) -> bool {
    at.open(now, ticket).is_ok_and(|session| session == SESSION)
}

#[test]
fn edges_with_the_same_keys_take_each_others_tickets() {
    let files = Files::new();
    let (one, two) = (files.edge(&[A], 0), files.edge(&[A], 0));
    let ticket = one.seal(NOW, SESSION).unwrap();
    assert_eq!(ticket.len(), HEAD + SESSION.len() + 16);
    assert!(is_resumed(&one, NOW, &ticket) && is_resumed(&two, NOW, &ticket));
    assert!(!ticket.windows(4).any(|part| SESSION.windows(4).any(|clear| clear == part)));
    assert_ne!(one.seal(NOW, SESSION).unwrap()[NAME..HEAD], ticket[NAME..HEAD], "no nonce twice");
    assert_eq!(one.open(NOW, &one.seal(NOW, b"").unwrap()).unwrap(), b"");
}

#[test]
fn other_keys_and_other_listeners_take_none() {
    let files = Files::new();
    let ticket = files.edge(&[A], 0).seal(NOW, SESSION).unwrap();
    for (keys, listener, taken) in [
        (&[A][..], 0, true),
        (&[B], 0, false),
        (&[A], 1, false),
        (&[B, A], 0, true),
        (&[B, C, A], 0, true),
        (&[B, C, A], 1, false),
    ] {
        assert_eq!(is_resumed(&files.edge(keys, listener), NOW, &ticket), taken, "{keys:?} {listener}");
    }
}

#[test]
fn a_ticket_lasts_to_the_end_of_the_next_epoch() {
    let files = Files::new();
    for made in [NOW, NOW + 1, NOW + EPOCH / 2, NOW + EPOCH - 1] {
        let ticket = files.edge(&[A, B], 0).seal(made, SESSION).unwrap();
        for (at, taken) in [
            (made, true),
            (NOW + EPOCH - 1, true),
            (NOW + EPOCH, true),
            (NOW + 2 * EPOCH - 1, true),
            (NOW + 2 * EPOCH, false),
            (NOW + 100 * EPOCH, false),
            // By clocks that are behind.
            (NOW - 1, true),
            (NOW - EPOCH, true),
            (NOW - EPOCH - 1, false),
            (0, false),
        ] {
            assert_eq!(is_resumed(&files.edge(&[A, B], 0), at, &ticket), taken, "{made} {at}");
        }
    }
}

#[test]
fn one_that_runs_goes_on_from_epoch_to_epoch() {
    let files = Files::new();
    let edge = files.edge(&[A], 0);
    let mut before: Option<Vec<u8>> = None;
    for epoch in 0..5 {
        let now = NOW + epoch * EPOCH;
        let ticket = edge.seal(now, SESSION).unwrap();
        if let Some(before) = before {
            assert_ne!(before[..NAME], ticket[..NAME]);
            assert!(is_resumed(&edge, now, &before));
            assert!(!is_resumed(&edge, now + EPOCH, &before));
        }
        before = Some(ticket);
    }
}

#[test]
fn a_changed_ticket_is_not_taken() {
    let files = Files::new();
    let edge = files.edge(&[A, B], 0);
    let ticket = edge.seal(NOW, SESSION).unwrap();
    for at in 0..ticket.len() * 8 {
        let mut changed = ticket.clone();
        changed[at / 8] ^= 1 << (at % 8);
        assert!(edge.open(NOW, &changed).is_err(), "bit {at}");
    }
    for length in 0..ticket.len() {
        assert!(edge.open(NOW, &ticket[..length]).is_err(), "{length} bytes");
        assert!(edge.open(NOW, &ticket[ticket.len() - length..]).is_err(), "{length} bytes");
    }
    assert!(edge.open(NOW, &[&ticket[..], &[0]].concat()).is_err());
    // Of a neighbouring epoch, under its name.
    let mut renamed = edge.seal(NOW + EPOCH, SESSION).unwrap();
    renamed[..NAME].copy_from_slice(&ticket[..NAME]);
    assert!(edge.open(NOW, &renamed).is_err());
}

#[test]
fn a_change_of_the_file_is_followed() {
    let files = Files::new();
    let path = files.write("keys", &[A]);
    let key_file = key_file(&path);
    let edge = Resumption::new(Arc::clone(&key_file), 0);
    let of_a = edge.seal(NOW, SESSION).unwrap();
    for (keys, encrypts, a_taken) in
        [(&[A, B][..], A, true), (&[B, A], B, true), (&[B], B, false), (&[C, A], C, true)]
    {
        files.write("keys", keys);
        assert!(key_file.reload_if_changed().unwrap());
        assert_eq!(is_resumed(&edge, NOW, &of_a), a_taken, "{keys:?}");
        let ticket = edge.seal(NOW, SESSION).unwrap();
        assert!(is_resumed(&files.edge(&[encrypts], 0), NOW, &ticket), "{keys:?}");
    }
}

#[test]
fn what_a_client_is_told_is_how_long_it_lasts() {
    let files = Files::new();
    let edge = files.edge(&[A], 0);
    assert!(edge.enabled());
    let (lifetime, now) = (u64::from(edge.lifetime()), now());
    assert!(lifetime > EPOCH && lifetime <= 2 * EPOCH, "{lifetime}");
    let ticket = edge.encrypt(SESSION).unwrap();
    assert_eq!(edge.decrypt(&ticket).unwrap(), SESSION);
    assert!(is_resumed(&edge, now + lifetime - 2, &ticket));
    assert!(!is_resumed(&edge, now + lifetime + 2, &ticket));
    assert!(!format!("{edge:?}").contains("QUFB"));
}
