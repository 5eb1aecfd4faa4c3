//! What is wrong with certificates and keys without keeping an edge from starting: browsers refuse them, or will
//! soon, or others can read them.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::Validity;

use super::names;
use crate::certificates::{mode_for_others, read_chain};
use crate::config::CertificateFiles;
use embedgate_policy::origin::{OwnOrigin, OwnOrigins};

/// Time before its expiry from which a certificate is reported.
const NOTICE: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Concerns about the certificates of all listeners, and about public origins that none of them covers. Files that
/// can't be used at all are another error.
pub fn concerns<'f>(
    pairs: impl IntoIterator<Item = &'f CertificateFiles>,
    origins: &OwnOrigins,
    now: Timestamp,
) -> Vec<String> {
    let hosts: Vec<String> = origins.iter().filter_map(|origin| name_of(&origin)).collect();
    let (mut found, mut covered, mut has_some) = (Vec::new(), Vec::new(), false);
    for CertificateFiles { cert, key } in pairs {
        let Ok(chain) = read_chain(cert) else { continue };
        let Some(leaf) = chain.first() else { continue };
        has_some = true;
        found.extend(
            of_validity(leaf, "browsers refuse it", now)
                .map(|concern| format!("{}: {concern}", cert.display())),
        );
        found.extend(of_mode(key));
        let names = names(leaf).unwrap_or_default();
        if !hosts.is_empty() && !hosts.iter().any(|host| names.iter().any(|name| covers(name, host))) {
            found.push(format!("{}: is for none of edge.public_origins", cert.display()));
        }
        covered.extend(names);
    }
    // Without certificates of its own, a proxy in front has them.
    for origin in origins.iter().filter(|_| has_some) {
        if name_of(&origin).is_some_and(|host| !covered.iter().any(|name| covers(name, &host))) {
            found.push(format!(
                "edge.public_origins: no certificate in [[edge.tls]] is for {origin}, so browsers refuse it"
            ));
        }
    }
    found
}

/// Concerns about a connection with mutual TLS: the edge's own pair, which these peers refuse, and the authorities that
/// theirs are from.
pub fn mutual_concerns(
    pair: Option<&CertificateFiles>,
    peers: &str,
    authorities: Option<&Path>,
    now: Timestamp,
) -> Vec<String> {
    let of_file = |path: &Path, most: usize, so: &str| -> Vec<String> {
        let chain = read_chain(path).unwrap_or_default();
        let concerns = chain.iter().take(most).filter_map(|certificate| of_validity(certificate, so, now));
        concerns.map(|concern| format!("{}: {concern}", path.display())).collect()
    };
    let mut found = Vec::new();
    if let Some(CertificateFiles { cert, key }) = pair {
        // After its own, the file has certificates of authorities, which peers may know by newer ones.
        found.extend(of_file(cert, 1, &format!("{peers} refuse it")));
        found.extend(of_mode(key));
    }
    if let Some(authorities) = authorities {
        found.extend(of_file(authorities, usize::MAX, "the certificates that it issued are refused"));
    }
    found
}

/// The host name of an https origin, with some id in the place of the widget's; `None` for addresses.
fn name_of(origin: &OwnOrigin) -> Option<String> {
    let text = origin.of("w");
    let host = text.strip_prefix("https://")?;
    let host = host.split_once(':').map_or(host, |(host, _)| host);
    let is_name = host.parse::<std::net::Ipv4Addr>().is_err() && !host.starts_with('[');
    is_name.then(|| host.to_owned())
}

/// Whether a name of a certificate is for a host; a wildcard matches one label (RFC 6125 §6.4.3).
fn covers(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(parent) => host.split_once('.').is_some_and(|(_, rest)| rest == parent),
        None => name == host,
    }
}

/// What is wrong with the time of a certificate's validity. `so`: what follows where it isn't valid.
fn of_validity(certificate: &CertificateDer<'_>, so: &str, now: Timestamp) -> Option<String> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let Validity { not_before, not_after } = certificate.validity();
    let [from, until] = [not_before, not_after].map(|time| Timestamp::from_second(time.timestamp()));
    let (from, until) = (from.ok()?, until.ok()?);
    if until < now {
        Some(format!("expired at {until}, so {so}"))
    } else if from > now {
        Some(format!("not valid before {from}, so {so} until then"))
    } else if until.duration_since(now) < NOTICE {
        Some(format!("expires at {until}; renew it"))
    } else {
        None
    }
}

fn of_mode(key: &Path) -> Option<String> {
    let mode = mode_for_others(key)?;
    Some(format!("{}: others can read this key (mode {mode:04o}); set mode 0600", key.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;
    use embedgate_policy::origin::{OriginBuf, WidgetOrigins};

    const DAY: SignedDuration = SignedDuration::from_hours(24);

    fn at(time: Timestamp) -> rcgen::CertificateParams {
        let mut params =
            rcgen::CertificateParams::new(["chat.example.net".to_owned(), "*.chat.example.net".to_owned()])
                .unwrap();
        let date = |time: Timestamp| {
            let date = time.to_zoned(jiff::tz::TimeZone::UTC).date();
            rcgen::date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
        };
        params.not_before = date(time - DAY * 10);
        params.not_after = date(time);
        params
    }

    fn write(folder: &Path, params: rcgen::CertificateParams, mode: u32) -> CertificateFiles {
        let signing = rcgen::KeyPair::generate().unwrap();
        let (cert, key): (PathBuf, PathBuf) = (folder.join("site.pem"), folder.join("site.key"));
        fs::write(&cert, params.self_signed(&signing).unwrap().pem()).unwrap();
        fs::write(&key, signing.serialize_pem()).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        CertificateFiles { cert, key }
    }

    fn own(text: &str) -> OwnOrigins {
        match WidgetOrigins::parse(text) {
            Ok(origins) => OwnOrigins::from_iter([OwnOrigin::ByWidget(origins)]),
            Err(_) => OriginBuf::parse(text).into_iter().collect(),
        }
    }

    #[test]
    fn what_browsers_refuse_or_will_refuse_is_told() {
        let (folder, now) = (tempfile::tempdir().unwrap(), Timestamp::now());
        for (until, mode, origin, expected) in [
            (DAY * 60, 0o600, "https://chat.example.net", None),
            (DAY * 60, 0o600, "https://{widget}.chat.example.net:8443", None),
            (DAY * 60, 0o600, "http://other.example", None),
            (DAY * 60, 0o600, "https://192.0.2.1", None),
            (-DAY * 2, 0o600, "https://chat.example.net", Some("expired at ")),
            (DAY * 12, 0o600, "https://chat.example.net", Some("not valid before ")),
            (DAY * 5, 0o600, "https://chat.example.net", Some("expires at ")),
            (DAY * 60, 0o644, "https://chat.example.net", Some("others can read this key (mode 0644)")),
            (DAY * 60, 0o600, "https://example.net", Some("is for https://example.net,")),
            (DAY * 60, 0o600, "https://a.b.chat.example.net", Some("is for https://a.b.chat.example.net,")),
            (DAY * 60, 0o600, "https://{widget}.example.net", Some("is for https://{widget}.example.net,")),
        ] {
            let mut params = at(now + until);
            if until == DAY * 60 {
                params.not_before = at(now).not_before;
            }
            let files = write(folder.path(), params, mode);
            let found = concerns([&files], &own(origin), now);
            match expected {
                None => assert!(found.is_empty(), "{origin}: {found:?}"),
                Some(text) => {
                    // A certificate for no origin leaves that origin without one.
                    let of_pair = found.iter().filter(|concern| concern.contains("is for none of")).count();
                    assert_eq!(
                        (found.len(), of_pair == 1),
                        (1 + of_pair, text.starts_with("is for")),
                        "{text}: {found:?}"
                    );
                    assert!(found.iter().any(|concern| concern.contains(text)), "{found:?}");
                }
            }
        }
        assert!(concerns([], &own("https://chat.example.net"), now).is_empty(), "a proxy in front has it");
    }

    #[test]
    fn mutual_tls_has_concerns_of_its_own() {
        let (folder, now) = (tempfile::tempdir().unwrap(), Timestamp::now());
        let clients = folder.path().join("clients.pem");
        let authority = |until: SignedDuration| {
            let signing = rcgen::KeyPair::generate().unwrap();
            at(now + until).self_signed(&signing).unwrap().pem()
        };
        let mut fine = at(now + DAY * 60);
        fine.not_before = at(now).not_before;
        let files = write(folder.path(), fine, 0o600);
        fs::write(&clients, authority(DAY * 5)).unwrap();
        let found = mutual_concerns(Some(&files), "clients", Some(&clients), now);
        assert!(found.len() == 1 && found[0].contains("clients.pem: expires at "), "{found:?}");
        fs::write(&clients, authority(DAY * 5) + &authority(-DAY * 2)).unwrap();
        let found = mutual_concerns(Some(&files), "clients", Some(&clients), now);
        assert!(
            found.len() == 2 && found[1].ends_with("so the certificates that it issued are refused"),
            "{found:?}"
        );
        let files = write(folder.path(), at(now - DAY * 2), 0o640);
        let found = mutual_concerns(Some(&files), "clients", Some(&clients), now);
        assert!(found.len() == 4 && found[0].ends_with("so clients refuse it"), "{found:?}");
        assert!(found[1].contains("others can read this key"), "{found:?}");
    }
}
