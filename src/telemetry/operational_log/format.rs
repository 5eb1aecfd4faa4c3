//! Form of the operational log's lines: one event, one line, as text or as JSON.

use std::fmt;
use std::io::{self, Write};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_appender::non_blocking::NonBlocking;
use tracing_subscriber::fmt::format::{Format, FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{self as lines, FmtContext};
use tracing_subscriber::registry::LookupSpan;

/// Form of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineForm {
    /// Text for people.
    Text,
    /// A JSON object for programs.
    Json,
}

/// Formatter of events.
pub(super) enum LineFormat {
    Text(Format),
    Json,
}

impl LineFormat {
    pub(super) fn new(form: LineForm) -> Self {
        match form {
            LineForm::Text => Self::Text(lines::format().with_target(false)),
            LineForm::Json => Self::Json,
        }
    }
}

impl<S, N> FormatEvent<S, N> for LineFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        match self {
            Self::Text(text) => text.format_event(context, writer, event),
            Self::Json => write_json(writer, event),
        }
    }
}

/// Writes an event as an object: time, level, message, then its fields. The library's own JSON has other names than the
/// logs of decisions and requests.
fn write_json(mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
    let mut time = String::new();
    SystemTime.format_time(&mut Writer::new(&mut time))?;
    let mut object = Map::new();
    object.insert("time".to_owned(), time.into());
    object.insert("level".to_owned(), event.metadata().level().as_str().to_ascii_lowercase().into());
    object.insert("message".to_owned(), Value::Null);
    event.record(&mut JsonFields(&mut object));
    writeln!(writer, "{}", Value::Object(object))
}

/// Fields of an event, as values of an object.
struct JsonFields<'o>(&'o mut Map<String, Value>);

impl JsonFields<'_> {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        // Lines of the `log` crate have the place in its code, too.
        if !field.name().starts_with("log.") {
            self.0.insert(field.name().to_owned(), value.into());
        }
    }
}

impl Visit for JsonFields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

/// Writer that makes one line of each event, whatever is in it: some errors of libraries have several.
pub(super) struct OneLine(NonBlocking);

impl OneLine {
    pub(super) fn new(out: NonBlocking) -> Self {
        Self(out)
    }
}

impl Write for OneLine {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let lines = event.trim_ascii_end();
        if !lines.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
            return self.0.write(event);
        }
        self.0.write_all(&joined(lines))?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Lines as one, with its end.
fn joined(lines: &[u8]) -> Vec<u8> {
    let mut line = Vec::with_capacity(lines.len() + 1);
    for part in lines.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii) {
        if part.is_empty() {
            continue;
        }
        match line.last() {
            None => {}
            Some(b':' | b';' | b',') => line.push(b' '),
            Some(_) => line.extend_from_slice(b"; "),
        }
        line.extend_from_slice(part);
    }
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing::level_filters::LevelFilter;
    use tracing::subscriber::with_default;

    use super::*;
    use crate::telemetry::operational_log::prepare;
    use crate::telemetry::queue::LogQueue;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(form: LineForm, tell: impl FnOnce()) -> String {
        let lines = Lines::default();
        let (queue, flush) = LogQueue::start(lines.clone());
        let (log, _handle) = prepare(LevelFilter::INFO, form, queue.writer());
        with_default(log, tell);
        drop(flush);
        let bytes = lines.0.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn tell() {
        tracing::info!(target: "embedgate", upstream = "app", bytes = 7_u64, is_new = true, "server taken out");
        tracing::error!(target: "embedgate", error = %"first:\n  second\r\nthird", "refused:\nall");
    }

    #[test]
    fn each_event_is_one_object() {
        let text = written(LineForm::Json, tell);
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let [first, second] = lines.as_slice() else { panic!("{text}") };
        let names: Vec<&str> = first.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, ["time", "level", "message", "upstream", "bytes", "is_new"]);
        assert_eq!((&first["level"], &first["message"]), (&"info".into(), &"server taken out".into()));
        assert_eq!((&first["upstream"], &first["bytes"]), (&"app".into(), &7.into()));
        let time = first["time"].as_str().unwrap();
        assert_eq!(
            (time.len(), time.parse::<jiff::Timestamp>().is_ok()),
            ("2026-11-30T12:00:00.123456Z".len(), true)
        );
        assert_eq!((&second["level"], &second["message"]), (&"error".into(), &"refused:\nall".into()));
    }

    #[test]
    fn each_event_is_one_line_of_text() {
        let text = written(LineForm::Text, tell);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(
            lines[0].ends_with("Z  INFO server taken out upstream=\"app\" bytes=7 is_new=true"),
            "{text}"
        );
        assert!(lines[1].ends_with("Z ERROR refused: all error=first: second; third"), "{text}");
        assert_eq!(lines[0].find(' '), Some("2026-11-30T12:00:00.123456Z".len()), "{text}");
    }

    #[test]
    fn lines_are_joined_so_that_they_read_on() {
        for (lines, line) in
            [("a:\nb\nc", "a: b; c\n"), ("a\n\n  b\r\n", "a; b\n"), ("\na", "a\n"), ("", "\n")]
        {
            assert_eq!(String::from_utf8(joined(lines.as_bytes())).unwrap(), line, "{lines:?}");
        }
    }
}
