//! The configuration as an operator meets it: what is assumed, what is refused and where, what overrides it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use super::{ConfigError, Settings};

mod environment;
mod faults;
mod reference;
mod reload;
mod resolved;
mod routes;
mod shipped;
mod syntax;

/// The least that can be used.
const ROUTE: &str = "upstreams.demo.builtin = true\n\
    routes = [{ path = \"/w/{widget}/frame\", class = \"frame\", upstream = \"demo\" }]\n";

fn read(text: &str, variables: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    super::parse("edge.toml", text, variables)
}

/// Settings of a text that begins with the least one.
fn settings(more: &str) -> Settings {
    read(&format!("{ROUTE}{more}"), &[]).unwrap_or_else(|error| panic!("{error}"))
}

/// The faults of a text that begins with the least one, which takes the first two lines.
fn faults(more: &str) -> Vec<String> {
    let error = read(&format!("{ROUTE}{more}"), &[]).expect_err(more);
    error.faults().iter().map(ToString::to_string).collect()
}

/// Each refused text and what its error must say.
pub(super) fn refuse<T: std::fmt::Debug>(
    parse: impl Fn(&str) -> Result<T, String>,
    refused: &[(&str, &str)],
) {
    for (text, right) in refused {
        let detail = parse(text).unwrap_err();
        assert!(detail.contains(right), "{text}: {detail}");
    }
}
