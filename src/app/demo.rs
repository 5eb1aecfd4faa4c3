//! Demo widget: a built-in upstream, and the two sites that embed it. A binary without the feature `demo` has
//! neither.

use crate::config::{Settings, UpstreamSettings};

#[cfg(feature = "demo")]
mod built_in;
#[cfg(not(feature = "demo"))]
mod left_out;

#[cfg(feature = "demo")]
pub(super) use built_in::Demo;
#[cfg(not(feature = "demo"))]
pub(super) use left_out::Demo;

/// Id of the widget that the demo's sites embed, in the shipped rules.
pub(super) const WIDGET: &str = "wgt_demo";

/// Host names of the sites: one that the shipped rules list, and one that they don't.
pub(super) const HOSTS: [&str; 2] = ["site.localhost", "stranger.localhost"];

/// The edge's main public origin, as the demo's widget has it.
pub(super) fn public_origin(settings: &Settings) -> String {
    // The configuration refuses an empty list.
    settings.edge.public_origins.iter().next().map(|origin| origin.of(WIDGET)).unwrap_or_default()
}

/// Whether an upstream is the demo.
fn is_wanted(settings: &Settings) -> bool {
    settings.upstreams.values().any(|upstream| *upstream == UpstreamSettings::Builtin)
}
