//! HTTP/2 (RFC 9113) as bytes, for clients that do what no library lets them do.

mod frame;
mod head;
mod heard;

pub use frame::{PREFACE, flags, frame, kind, settings, settings_of};
pub use head::{Head, REFERENCE, field};
pub use heard::{Event, Heard, name};
