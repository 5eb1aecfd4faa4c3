//! Pacing: how long the other side of a connection may be waited for.
//!
//! | module | in | out |
//! |---|---|---|
//! | [`deadline`] | a time limit | a timer that costs nothing as long as it is not needed |
//! | [`pace`] | bytes and waits | the time at which a side has been too slow |

pub mod deadline;
pub mod pace;
