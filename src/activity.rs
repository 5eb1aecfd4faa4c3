//! Activity: which origins embed each widget, how often and when, in bounded memory. Origins only, nothing about visitors.
//!
//! | part | does |
//! |---|---|
//! | `sighting` | what one verdict, or one report of a browser, tells of an embedder |
//! | `recorder` | takes sightings on the way of requests: no lock, no allocation, nothing waited for |
//! | `tally` | what was seen since the last write, added up |
//! | `frequent`, `sketch` | the most frequent of any number of embedders, in bounded memory |
//! | `firsts` | embedders that were never seen before, told as notices |
//! | `kept`, `most_refused` | what is kept of each widget, and of all of them |
//! | `store` | the file |
//! | `keeper` | takes sightings from the recorder, adds them up, and keeps them |
//! | `seen` | what was seen of a widget |
//! | `reader` | what was seen, for people and other edges |
//! | `peers` | questions of other edges of a fleet, and what this one answers |
//! | `gathered` | what was seen on all edges of a fleet |

mod firsts;
mod frequent;
pub mod gathered;
pub mod keeper;
mod kept;
mod most_refused;
pub mod peers;
pub mod reader;
pub mod recorder;
pub mod seen;
pub mod sighting;
mod sketch;
mod store;
mod tally;
