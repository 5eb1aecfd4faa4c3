//! Activity: which origins embed each widget, how often and when, in bounded memory. Origins only, nothing about visitors.
//!
//! | part | does |
//! |---|---|
//! | `sighting` | what one verdict, or one report of a browser, tells of an embedder |
//! | `recorder` | takes sightings on the way of requests: no lock, no allocation, nothing waited for |
//! | `keeper` | takes them from the recorder, adds them up, and keeps them |
//! | `seen` | what is kept of a widget |
//! | `reader` | what was seen, for people and other edges |

pub mod keeper;
pub mod reader;
pub mod recorder;
pub mod seen;
pub mod sighting;
