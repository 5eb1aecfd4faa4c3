//! Notifications: webhooks to whoever runs the widgets, and the sessions that leave the edge, of which they tell.
//!
//! | part | does |
//! |---|---|
//! | `notice` | what there is to tell |
//! | `fact` | what a notice is about: its kind, its widget and the id that every edge gives it |
//! | `notifier` | takes notices from wherever they come, and never holds anybody up |
//! | `outbox` | keeps notifications until they have arrived, and sends them |
//! | `receiver` | where they are sent, and one try to send one |
//! | `secret_file` | the secrets that sign them |
//! | `remembered` | sessions that an upstream has named, to be told of once the rules deny their embedder |

pub mod fact;
pub mod notice;
pub mod notifier;
pub mod outbox;
pub mod receiver;
pub mod remembered;
pub mod secret_file;
