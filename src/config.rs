//! Configuration: parsed → resolved → used.
//!
//! 1. *Parsed* (`document`, `environment`): TOML text becomes a tree whose values know their place. Variables
//!    `EMBEDGATE__SECTION__KEY` override values in the tree; the place of such a value is the variable's
//!    name.
//! 2. *Resolved* (`resolve`, over `table`, `scalar` and `address`): the tree becomes [`Settings`]. All errors
//!    are collected, with file, line, column and what would be right. Settings exist only if there are none.
//! 3. *Used*: the rest of the edge reads [`Settings`] and never the file. [`compare`] lists what a changed
//!    file can change in a running edge.

mod address;
mod document;
mod environment;
mod fault;
mod idle;
mod pattern;
mod reload;
mod resolve;
mod scalar;
mod settings;
mod syntax;
mod table;
#[cfg(test)]
mod tests;

use std::path::Path;

use document::ConfigDocument;
pub use environment::process_environment;
pub use fault::{ConfigError, ConfigFault, ConfigPlace};
pub use idle::notices;
pub use pattern::{PathPattern, RewritePattern, RouteHost};
pub use reload::{Changes, compare, in_force};
pub use resolve::activity::ActivitySettings;
pub use resolve::admin::{AdminSettings, AdminTls};
pub use resolve::bounds::BoundsSettings;
pub use resolve::cache::CacheSettings;
pub use resolve::edge::{CertificateFiles, EdgeSettings, TlsListenerSettings, TlsVersion};
pub use resolve::limits::LimitSettings;
pub use resolve::log::{LogFormat, LogLevel, LogSettings, LoggedAddress, LoggedDecisions, LoggedRequests};
pub use resolve::notify::NotifySettings;
pub use resolve::policy::{EmptyAllowlist, PolicySettings};
pub use resolve::reports::ReportSettings;
pub use resolve::route::{HeaderOverride, RouteSettings, RouteUpstreams, WidgetPlace, routeless_profile};
pub use resolve::rules::nats::{NatsSettings, NatsTlsSettings, edge_name_of_host};
pub use resolve::rules::{NamedFile, RulesSettings, SourceSetting, StoreSettings};
pub use resolve::tickets::{TicketCookie, TicketSettings};
pub use resolve::upstream::{HealthCheck, ServerAddress, Servers, UpstreamSettings, UpstreamTls};
pub use scalar::Percentage;
pub use settings::Settings;

/// Reads a configuration file, with the variables that override it (see [`process_environment`]).
///
/// # Errors
///
/// The file can't be read, or it or the variables have errors; all of them are in the error.
pub fn load(
    file: &Path,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Settings, ConfigError> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| ConfigError::unreadable(&name, &error))?;
    parse(&name, &text, variables)
}

/// Reads a configuration from its text; `name` is the file's name in errors.
///
/// # Errors
///
/// The text or the variables have errors; all of them are in the error.
pub fn parse(
    name: &str,
    text: &str,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Settings, ConfigError> {
    let document = ConfigDocument::new(name, text);
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
