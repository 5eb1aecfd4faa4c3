//! `[notify]`.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Serialize, Serializer};
use url::{Host, Url};

use crate::config::scalar;
use crate::config::table::ConfigTable;

/// Settings of notifications.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotifySettings {
    /// Where they are sent; `None`: nowhere. Default: nowhere.
    #[serde(serialize_with = "as_text")]
    pub url: Option<Url>,
    /// The file with the secrets that sign them. Default: `data/notify.secret`.
    pub secret_file: PathBuf,
    /// The file that they are kept in until they have arrived. Default: `data/notify.redb`.
    pub path: PathBuf,
}

pub(super) fn read(table: &ConfigTable<'_>) -> NotifySettings {
    NotifySettings {
        url: table.or("url", |item| item.text(url), None),
        secret_file: table.or("secret_file", |item| item.text(scalar::path), "data/notify.secret".into()),
        path: table.or("path", |item| item.text(scalar::path), "data/notify.redb".into()),
    }
}

fn url(text: &str) -> Result<Option<Url>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let right = "write it like \"https://hooks.example.com/embedgate\"";
    let url = Url::parse(text).map_err(|error| match text.contains('@') {
        // It may have a password in it.
        true => format!("it is not a URL ({error}); {right}"),
        false => format!("'{text}' is not a URL ({error}); {right}"),
    })?;
    let refuse = |why: &str| Err(format!("{why}; {right}"));
    match (url.scheme(), url.host()) {
        _ if !url.username().is_empty() || url.password().is_some() => {
            // The error must not show it.
            refuse(
                "a name or password in the URL is not sent; notifications are signed instead, see notify.secret_file",
            )
        }
        _ if url.fragment().is_some() => refuse("what stands behind `#` is never sent"),
        ("https", Some(_)) => Ok(Some(url)),
        ("http", Some(host)) if is_loopback(&host) => Ok(Some(url)),
        ("http", _) => refuse(
            "http is only for this machine (localhost, 127.0.0.1, [::1]); anywhere else it must be https",
        ),
        _ => refuse("the scheme must be https"),
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => IpAddr::from(*address).is_loopback(),
        Host::Ipv6(address) => IpAddr::from(*address).is_loopback(),
    }
}

fn as_text<S: Serializer>(url: &Option<Url>, serializer: S) -> Result<S::Ok, S::Error> {
    url.as_ref().map(Url::as_str).serialize(serializer)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::tests::refuse;

    #[test]
    fn notifications_go_over_https_or_stay_on_the_machine() {
        assert_eq!(url(""), Ok(None));
        for text in [
            "https://hooks.example.com/a?key=1",
            "https://192.0.2.1:8443/",
            "http://localhost:4000/hook",
            "http://127.0.0.2:4000/hook",
            "http://[::1]:4000/",
        ] {
            assert_eq!(url(text).unwrap().unwrap().as_str(), text);
        }
        refuse(
            url,
            &[
                ("http://hooks.example.com/", "it must be https"),
                ("http://localhost.example.com/", "it must be https"),
                ("http://192.0.2.1/", "it must be https"),
                ("http://[::2]/", "it must be https"),
                ("http://0.0.0.0/", "it must be https"),
                ("ftp://localhost/", "the scheme must be https"),
                ("mailto:a@example.com", "the scheme must be https"),
                ("hooks.example.com", "is not a URL"),
                ("https://", "is not a URL"),
                ("https://me:secret@hooks.example.com/", "name or password"),
                ("https://me@hooks.example.com/", "name or password"),
                ("https://hooks.example.com/#part", "never sent"),
            ],
        );
        for text in ["https://me:secret@hooks.example.com/", "https://me:secret@hooks.example.com:x/"] {
            let told = url(text).unwrap_err();
            assert!(!told.contains("secret@"), "{told}");
        }
    }
}
