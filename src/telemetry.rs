//! Telemetry: metrics, the decision log, live events, the operational log. It depends only on the policy's vocabulary.

pub mod decision_log;
pub mod events;
pub mod metrics;
pub mod operational_log;
pub mod queue;
pub mod tally;
pub mod upstream_servers;
