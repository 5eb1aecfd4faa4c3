//! What the edge says about itself: metrics, the decision log, the operational log. A leaf: it knows the words of
//! the policy floor and nothing above it.

pub mod decision_log;
pub mod metrics;
pub mod operational_log;
