//! Resolved settings, as the rest of the edge reads them.
//!
//! All types are plain and checked once: durations are [`Duration`](std::time::Duration), sizes are bytes, addresses
//! are socket addresses, origins are canonical. No part of a [`Settings`] contradicts another.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fault::{ConfigFault, ConfigPlace};
use super::resolve::activity::ActivitySettings;
use super::resolve::admin::AdminSettings;
use super::resolve::cache::CacheSettings;
use super::resolve::edge::EdgeSettings;
use super::resolve::limits::LimitSettings;
use super::resolve::log::LogSettings;
use super::resolve::notify::NotifySettings;
use super::resolve::policy::PolicySettings;
use super::resolve::reports::ReportSettings;
use super::resolve::route::RouteSettings;
use super::resolve::rules::RulesSettings;
use super::resolve::tickets::TicketSettings;
use super::resolve::upstream::UpstreamSettings;

/// Settings of one edge, with defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `[edge]` and `[[edge.tls]]`: the data listeners.
    pub edge: EdgeSettings,
    /// `[admin]`: the admin listener.
    pub admin: AdminSettings,
    /// `[rules]`: where rules come from.
    pub rules: RulesSettings,
    /// `[policy]`: the edge's policy for all widgets.
    pub policy: PolicySettings,
    /// `[tickets]`: signed statements for iframe sessions.
    pub tickets: TicketSettings,
    /// `[reports]`: what browsers report of the pages around a frame.
    pub reports: ReportSettings,
    /// `[activity]`: who embeds.
    pub activity: ActivitySettings,
    /// `[limits]`: what is kept of widgets' limits.
    pub limits: LimitSettings,
    /// `[notify]`: webhooks.
    pub notify: NotifySettings,
    /// `[log]`: operational log, decision log and audit log.
    pub log: LogSettings,
    /// `[cache]`: asset answers kept in memory.
    pub cache: CacheSettings,
    /// `[upstreams.NAME]`, by name. Every name that a route uses is here.
    pub upstreams: BTreeMap<Arc<str>, UpstreamSettings>,
    /// `[[routes]]`, in the order of the file; at least one, no two with the same path.
    pub routes: Vec<RouteSettings>,
    /// Warnings about settings that are probably unintended, each with its place.
    pub warnings: Vec<ConfigFault>,
    /// Places of the keys in the file or the environment, by dotted name (`"cache.bytes"`); the others have defaults.
    pub stated: BTreeMap<String, ConfigPlace>,
}
