//! Notifications: webhooks to whoever runs the widgets, and the sessions that leave the edge, of which they tell.
//!
//! | part | does |
//! |---|---|
//! | `notice` | what there is to tell |
//! | `notifier` | takes notices from wherever they come, and never holds anybody up |
//! | `remembered` | sessions that an upstream has named, to be told of once the rules deny their embedder |

pub mod notice;
pub mod notifier;
pub mod remembered;
