//! Line of a log, a JSON object. It is written by hand because requests wait for it, and nearly every value needs no
//! escaping.

use std::fmt::Write as _;

use jiff::Timestamp;

/// Buffer size that is enough for most lines, in bytes.
const LINE_BYTES: usize = 512;

/// Line of a log.
#[derive(Debug)]
pub(super) struct JsonLine(String);

impl JsonLine {
    /// A line of this log, at this time.
    pub(super) fn new(log: &str, time: Timestamp) -> Self {
        let mut line = String::with_capacity(LINE_BYTES);
        line.push_str("{\"log\":\"");
        line.push_str(log);
        // Microseconds, as in the operational log. Writing to a string can't fail.
        let _ = write!(line, "\",\"time\":\"{time:.6}\"");
        Self(line)
    }

    /// A line that says how many were left out by the bound of this name.
    pub(super) fn left_out(log: &str, time: Timestamp, count: u64, bound: &str) -> String {
        let mut line = Self::new(log, time);
        line.number("left_out", count);
        line.text("bound", bound);
        line.into_text()
    }

    /// Adds a text.
    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        // No early exit, so that the compiler can check many bytes at once.
        let is_special = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
        if !value.bytes().fold(false, |special, byte| special | is_special(byte)) {
            self.0.push('"');
            self.0.push_str(value);
            self.0.push('"');
        } else {
            self.0.push_str(&serde_json::Value::from(value).to_string());
        }
    }

    /// Adds a text, if there is one.
    pub(super) fn optional(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// Adds a number.
    pub(super) fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        let _ = write!(self.0, "{value}");
    }

    /// The line, without its line end.
    pub(super) fn into_text(mut self) -> String {
        self.0.push('}');
        self.0
    }

    fn name(&mut self, name: &str) {
        self.0.push_str(",\"");
        self.0.push_str(name);
        self.0.push_str("\":");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_was_left_out_is_a_line() {
        let line = JsonLine::left_out("requests", Timestamp::UNIX_EPOCH, 7, "log.requests_per_second");
        let expected = json!({
            "log": "requests", "time": "1970-01-01T00:00:00.000000Z", "left_out": 7, "bound": "log.requests_per_second",
        });
        assert_eq!(line, expected.to_string());
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in ".*", number: u64) {
            let mut line = JsonLine::new("l", Timestamp::UNIX_EPOCH);
            line.optional("none", None);
            line.text("text", &text);
            line.number("number", number);
            let line = line.into_text();
            prop_assert!(!line.contains('\n'));
            let read: Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(read["text"].as_str(), Some(text.as_str()));
            prop_assert_eq!(&read["number"], &json!(number));
            prop_assert_eq!(read.as_object().unwrap().len(), 4);
        }
    }
}
