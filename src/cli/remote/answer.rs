//! Answer of the admin API: what is shown of it, and the whole for `--json`.

use std::fmt;

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// Answer of the admin API, whole, and what is shown of it.
#[derive(Debug)]
pub(in crate::cli) struct ApiAnswer<T> {
    whole: Value,
    pub(in crate::cli) shown: T,
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for ApiAnswer<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let whole = Value::deserialize(deserializer)?;
        let shown = T::deserialize(&whole).map_err(D::Error::custom)?;
        Ok(Self { whole, shown })
    }
}

impl<T> Serialize for ApiAnswer<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.whole.serialize(serializer)
    }
}

impl<T: fmt::Display> fmt::Display for ApiAnswer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shown.fmt(f)
    }
}
