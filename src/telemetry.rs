//! Telemetry: metrics, live events, and the logs of decisions, of requests and for operators. It depends only on the
//! policy's vocabulary.

pub mod decision_log;
pub mod events;
mod json_line;
mod line_bound;
pub mod metrics;
pub mod minutes;
pub mod operational_log;
pub mod queue;
pub mod request_log;
pub mod shown_decisions;
pub mod tally;
pub mod upstream_servers;
