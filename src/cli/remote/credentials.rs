//! Credentials of a command for a running edge: a token, and certificates for mutual TLS.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, TlsProvider, parse_pem};

use super::unusable;
use crate::cli::CliError;

/// TLS with these authorities, and a client's certificate with its key.
pub(super) fn tls(ca: &Path, client: Option<(&Path, &Path)>) -> Result<TlsConfig, CliError> {
    let mut config = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(RootCerts::new_with_certs(&certificates(ca)?))
        .unversioned_rustls_crypto_provider(Arc::new(default_provider()));
    if let Some((cert, key)) = client {
        let chain = certificates(cert)?;
        let key = PrivateKey::from_pem(&read(key)?).map_err(|error| unusable(key, &error))?;
        config = config.client_cert(Some(ClientCert::new_with_certs(&chain, key)));
    }
    Ok(config.build())
}

/// The certificates of authorities in a file.
pub(in crate::cli) fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, CliError> {
    let certificates = certificates(path)?;
    Ok(certificates.iter().map(|certificate| CertificateDer::from(certificate.der().to_vec())).collect())
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, CliError> {
    let pem = read(path)?;
    let items = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(Ok(certificate)),
        Ok(_) => None,
        Err(error) => Some(Err(unusable(path, &error))),
    });
    let found: Vec<_> = items.collect::<Result<_, _>>()?;
    match found.is_empty() {
        true => Err(unusable(path, &"no certificate; the file must have PEM certificates")),
        false => Ok(found),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(path).map_err(|error| unusable(path, &error))
}

/// The first token of a token file that may change something, or else the first, or the only word of a file with just a
/// token.
pub(super) fn token(path: &Path) -> Result<String, CliError> {
    let bytes = std::fs::read(path).map_err(|error| {
        unusable(path, &format_args!("{error}; name a file with a token of the edge with --token-file"))
    })?;
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut tokens = lines.filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        match (words.next()?, words.next()) {
            ("write", Some(token)) => Some((false, token)),
            (_, Some(token)) | (token, None) => Some((true, token)),
        }
    });
    let first = tokens.next();
    let writer = first.into_iter().chain(tokens).find(|(only_reads, _)| !only_reads);
    let token = writer.or(first).map(|(_, token)| token);
    let token = token.ok_or_else(|| unusable(path, &"the file has no token"))?;
    match token.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(token.to_owned()),
        false => Err(unusable(path, &"the token has characters that no token has")),
    }
}
