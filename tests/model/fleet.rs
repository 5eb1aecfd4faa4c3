//! Model of a fleet of edges, and what a checker finds of it: every order of steps is tried, within bounds.
//!
//! One bucket, one widget, three edges. Two follow at the start, the third is new. Edges crash, stop, come back from what
//! they have kept, and are cut off from the bucket, one way or both; the bucket loses its end, a key, or everything;
//! operators restore and accept it. An edge that is paused is one that takes no steps, so pauses are in every run.
//! Clocks know durations only, and may be slow, by a bound.
//!
//! What always holds: [`properties`]. That each rule of the fleet is needed: [`rules::Broken`] takes one out at a time, and the
//! checker finds how that goes wrong.
//!
//! What the model takes for granted:
//! - The bucket takes a save if and only if the widget's last message has the expected sequence.
//! - A bucket that is damaged breaks every edge's connection before that edge saves anything else.
//! - A bucket that an operator has accepted is not damaged again before the edges have followed it.
//! - What somebody removes from the bucket by hand, every edge has read before.
//! - An edge that nobody hears, and whose announcement the bucket has lost, can't be waited for. So an edge that follows a
//!   damaged bucket, while all that know better are silent, is left out.

mod bucket;
mod edge;
mod model;
mod properties;
mod rules;
mod steps;

#[cfg(test)]
mod tests;

/// Number of edges.
const EDGES: usize = 3;
