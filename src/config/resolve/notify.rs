//! `[notify]`.

use std::path::PathBuf;

use url::Url;

use crate::config::scalar;
use crate::config::table::ConfigTable;

/// Settings of notifications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifySettings {
    /// Where they are sent; `None`: nowhere. Default: nowhere.
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
    let url = Url::parse(text).map_err(|error| format!("'{text}' is no URL: {error}"))?;
    Ok(Some(url))
}
