#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;

use super::*;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a fresh self-signed pair and says which certificate it is.
    fn pair(&self, name: &str, hosts: &[&str]) -> (CertificateFiles, Vec<u8>) {
        let made =
            rcgen::generate_simple_self_signed(hosts.iter().map(|h| (*h).to_owned()).collect::<Vec<_>>());
        let made = made.unwrap();
        let files = CertificateFiles {
            cert: self.path(&format!("{name}.pem")),
            key: self.path(&format!("{name}.key")),
        };
        fs::write(&files.cert, made.cert.pem()).unwrap();
        fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        (files, made.cert.der().to_vec())
    }
}

fn picked(certificates: &Certificates, name: Option<&str>) -> Vec<u8> {
    certificates.table.load().pick(name).unwrap().cert[0].to_vec()
}

#[test]
fn the_name_asked_for_picks_the_pair() {
    let folder = Folder::new();
    let (first, a) = folder.pair("a", &["a.example", "*.wild.example"]);
    let (second, b) = folder.pair("b", &["b.example", "in.wild.example"]);
    let certificates = Certificates::load(vec![first, second]).unwrap();
    for (name, expected) in [
        (Some("a.example"), &a),
        (Some("B.example"), &b),
        (Some("x.wild.example"), &a),
        (Some("in.wild.example"), &b),
        (Some("deep.x.wild.example"), &a),
        (Some("unknown.example"), &a),
        (None, &a),
    ] {
        assert_eq!(&picked(&certificates, name), expected, "{name:?}");
    }
}

#[test]
fn new_files_replace_old_ones_and_broken_ones_do_not() {
    let folder = Folder::new();
    let (files, before) = folder.pair("site", &["a.example"]);
    let certificates = Certificates::load(vec![files.clone()]).unwrap();
    fs::write(&files.cert, "-----BEGIN CERTIFICATE-----\ntorn").unwrap();
    certificates.reload_if_changed().unwrap_err();
    assert!(!certificates.reload_if_changed().unwrap(), "the same fault is no news");
    assert_eq!(picked(&certificates, None), before);
    let (_, after) = folder.pair("site", &["a.example"]);
    assert!(certificates.reload_if_changed().unwrap());
    assert_ne!(before, after);
    assert_eq!(picked(&certificates, None), after);
}

#[test]
fn a_bad_pair_names_its_file() {
    let folder = Folder::new();
    let (a, _) = folder.pair("a", &["a.example"]);
    let (b, _) = folder.pair("b", &["b.example"]);
    let message = |cert: &PathBuf, key: &PathBuf| {
        Certificates::load(vec![CertificateFiles { cert: cert.clone(), key: key.clone() }])
            .unwrap_err()
            .to_string()
    };
    let mixed = message(&a.cert, &b.key);
    assert!(mixed.contains("b.key: does not belong to the certificate in"), "{mixed}");
    let absent = message(&folder.path("absent.pem"), &a.key);
    assert!(absent.contains("absent.pem: not a certificate chain"), "{absent}");
    let swapped = message(&a.key, &a.key);
    assert!(swapped.contains("a.key: no certificate;"), "{swapped}");
    let keyless = message(&a.cert, &a.cert);
    assert!(keyless.contains("a.pem: not a private key"), "{keyless}");
}
