//! Configuration, a leaf: parsed → resolved → used.
//!
//! 1. *Parsed* (`document`, `environment`): TOML text becomes a tree whose values know their place; variables
//!    `EMBEDGATE__SECTION__KEY` are put into it and name themselves as their place.
//! 2. *Resolved* (`resolve`, over `table`, `scalar` and `address`): the tree becomes [`Settings`]. Every fault is
//!    collected, with file, line, column and what would be right; nothing is used unless there is none.
//! 3. *Used*: the other floors read [`Settings`] and never the file. [`compare`] says what a changed file can
//!    change in a running edge.

mod address;
mod document;
mod environment;
mod fault;
mod pattern;
mod reload;
mod resolve;
mod scalar;
mod settings;
mod table;
#[cfg(test)]
mod tests;
mod unavailable;

use std::path::Path;

use document::Document;
pub use environment::process_environment;
pub use fault::{ConfigError, Fault, Place};
pub use pattern::PathPattern;
pub use reload::{Changes, compare, in_force};
pub use settings::{
    AdminSettings, AdminTls, CacheSettings, CertificateFiles, DecisionLog, EdgeSettings, EmptyAllowlist,
    HeaderOverride, HealthCheck, LogLevel, LogSettings, NatsSettings, PolicySettings, Route, RouteUpstreams,
    RuleSource, RulesSettings, Server, Servers, Settings, StoreSettings, TicketSettings, TlsListener,
    Upstream, UpstreamTls, routeless_profile,
};
pub use unavailable::notices;

/// Reads a configuration file, with the variables that override it (see [`process_environment`]).
///
/// # Errors
///
/// The file can't be read, or every fault in it and in the variables.
pub fn load(
    file: &Path,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Settings, ConfigError> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| ConfigError::unreadable(&name, &error))?;
    parse(&name, &text, variables)
}

/// Reads a configuration from its text; `name` is what faults call the file.
///
/// # Errors
///
/// Every fault in the text and in the variables.
pub fn parse(
    name: &str,
    text: &str,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Settings, ConfigError> {
    let document = Document::new(name, text);
    let settings = document.parse().map(|mut entries| {
        environment::apply(&document, &mut entries, variables);
        resolve::resolve(&document, &entries)
    });
    let (faults, warnings) = document.finish();
    match settings {
        Some(settings) if faults.is_empty() => Ok(Settings { warnings, ..settings }),
        _ => Err(ConfigError::new(faults)),
    }
}
