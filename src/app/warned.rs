//! Warnings that a start would write to its log, for commands, which have none.

use std::fmt::Debug;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::subscriber::with_default;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

/// Does something, and returns its warnings, too.
pub fn warned<T>(act: impl FnOnce() -> T) -> (T, Vec<String>) {
    let caught = Caught::default();
    let done = with_default(tracing_subscriber::registry().with(caught.clone()), act);
    let warnings = std::mem::take(&mut *caught.0.lock());
    (done, warnings)
}

/// Warnings so far.
#[derive(Clone, Default)]
struct Caught(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber> Layer<S> for Caught {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() == Level::WARN {
            let mut message = EventText(String::new());
            event.record(&mut message);
            self.0.lock().push(message.0);
        }
    }
}

/// Text of an event.
struct EventText(String);

impl Visit for EventText {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
