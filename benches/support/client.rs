//! Clients: one connection each, on which every answer is read whole.

mod answer;
mod blocking;
mod http1;
pub mod tls;
pub mod websocket;

pub use answer::Head;
pub use blocking::{Connection, once};
pub use http1::{connect, exchange};
