//! Faults of JSON syntax, in words that a person can act on. The library says what it expected; what was probably
//! meant is in the text around that place.

use crate::json_position::Position;

/// Words that other languages have for values of JSON.
const FOREIGN: [(&str, &str); 6] = [
    ("True", "true"),
    ("TRUE", "true"),
    ("False", "false"),
    ("FALSE", "false"),
    ("None", "null"),
    ("undefined", "null"),
];

/// What is wrong with a text that is no JSON, and what would be right, without the place. `error` is the library's
/// error of this very text.
pub fn syntax_detail(text: &str, error: &serde_json::Error) -> String {
    let offset = offset_of(text, error);
    let message = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let message = message.strip_suffix(place.as_str()).unwrap_or(&message);
    if text.trim().is_empty() {
        return "there is no JSON in it: it is empty".to_owned();
    }
    if error.is_eof() {
        return ended_early(text);
    }
    if message.starts_with("control character") {
        return control_character(text, offset);
    }
    if message == "invalid escape" {
        // What is behind the `\` is no mark of its own.
        return "a `\\` with nothing that JSON knows behind it; write `\\\\` for a backslash".to_owned();
    }
    let around = Surroundings::at(text, offset);
    around.mark().or_else(|| around.explain(message)).unwrap_or_else(|| message.to_owned())
}

/// The byte that an error of the library is about. Its columns count bytes from 1; column 0 is the end of the line
/// before.
pub fn offset_of(text: &str, error: &serde_json::Error) -> usize {
    let before = error.line().saturating_sub(1);
    let start = match before.checked_sub(1) {
        None => 0,
        Some(index) => text.match_indices('\n').nth(index).map_or(text.len(), |(at, _)| at + 1),
    };
    let mut offset = (start + error.column()).saturating_sub(1).min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// Text around the place of an error.
struct Surroundings<'t> {
    text: &'t str,
    offset: usize,
    /// From the place on.
    rest: &'t str,
    next: Option<char>,
    /// The last character before the place that is no white space.
    before: Option<char>,
}

impl<'t> Surroundings<'t> {
    fn at(text: &'t str, offset: usize) -> Self {
        let (before, rest) = text.split_at_checked(offset).unwrap_or((text, ""));
        let before = before.chars().rev().find(|character| !character.is_whitespace());
        Self { text, offset, rest, next: rest.chars().next(), before }
    }

    /// The fault of a character that JSON has nowhere outside strings.
    fn mark(&self) -> Option<String> {
        let conflict = ["<<<<<<<", "=======", ">>>>>>>"];
        if conflict.iter().any(|mark| self.rest.starts_with(mark)) {
            return Some("a mark of a merge conflict; resolve it, and take the marks out".to_owned());
        }
        let says = match self.next? {
            '/' | '#' => "a comment, and JSON has none; take it out".to_owned(),
            '\'' => "a single quote; JSON has its texts in double quotes".to_owned(),
            '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{ab}' | '\u{bb}' | '\u{2018}' | '\u{2019}' => {
                "a typographic quote; write \" instead".to_owned()
            }
            '\u{feff}' => "a byte order mark; save the text without one".to_owned(),
            other if !other.is_ascii() && other.is_whitespace() => {
                "a special white space, such as a no-break space; write a plain one".to_owned()
            }
            _ => return None,
        };
        Some(says)
    }

    fn explain(&self, message: &str) -> Option<String> {
        let next = self.next?;
        if matches!(next, '}' | ']') && self.before == Some(',') {
            return Some(format!(
                "a comma before `{next}`; JSON has none after the last one, so take it out"
            ));
        }
        if next == ',' && matches!(self.before, Some(',' | '[' | '{' | ':')) {
            return Some("a comma with nothing before it; take it out, or write what is missing".to_owned());
        }
        match message {
            "expected `,` or `}`" => Some(self.unfinished('{', '}')),
            "expected `,` or `]`" => Some(self.unfinished('[', ']')),
            "expected `:`" if next == '=' => Some("`=` after a key; JSON has `:` there".to_owned()),
            "expected `:`" => Some("no `:` after the key; an object is `{\"key\": value}`".to_owned()),
            "key must be a string" => Some(match self.word() {
                "" => format!("`{next}` where a key must be; keys are in double quotes"),
                word => format!("the key `{word}` has no quotes; write \"{word}\""),
            }),
            "expected value" => Some(self.no_value(next)),
            "expected ident" => Some(format!(
                "`{}` is no value; texts are in double quotes, and the words are true, false and null",
                self.whole_word()
            )),
            "trailing characters" => Some(match next {
                '}' | ']' => format!("one `{next}` too many; take it out"),
                _ => "more text after the end; there is one value, so several go into one array".to_owned(),
            }),
            "invalid number" => {
                Some("not a number of JSON; it begins with a digit, and with 0 only before a dot".to_owned())
            }
            _ => None,
        }
    }

    /// The fault of an object or array in which something else comes than the next member or its end.
    fn unfinished(&self, open: char, close: char) -> String {
        let next = self.next.unwrap_or_default();
        let last = self.text.get(..self.offset).and_then(|before| before.chars().next_back());
        match next {
            '}' | ']' => format!("`{next}`, but the last `{open}` is not closed; write `{close}` before it"),
            '"' | '{' | '[' | '-' => "no comma before this; write one after what comes before it".to_owned(),
            _ if next.is_ascii_alphanumeric() && last.is_some_and(|last| last.is_ascii_alphanumeric()) => {
                "neither a number nor true, false or null; put a text in double quotes".to_owned()
            }
            _ if next.is_ascii_alphanumeric() => {
                "no comma before this; write one after what comes before it".to_owned()
            }
            _ => format!("`{next}` here; write a comma and the next one, or `{close}`"),
        }
    }

    fn no_value(&self, next: char) -> String {
        let word = self.word();
        if let Some((_, right)) = FOREIGN.iter().find(|(foreign, _)| *foreign == word) {
            return format!("`{word}` is no value of JSON; write {right}");
        }
        let is_begin = self.before.is_none();
        match next {
            _ if is_begin => format!("`{next}` is no JSON, which begins with {{ here"),
            '+' | '.' => "not a number of JSON; it begins with a digit, or with `-`".to_owned(),
            '}' | ']' => format!("no value before `{next}`; write one"),
            _ if !word.is_empty() => format!("`{word}` has no quotes; write \"{word}\""),
            _ => format!("`{next}` where a value must be; texts are in double quotes"),
        }
    }

    /// The word at the place.
    fn word(&self) -> &'t str {
        let is_part = |character: char| character.is_alphanumeric() || "_-.$*:".contains(character);
        let end = self.rest.find(|character| !is_part(character)).unwrap_or(self.rest.len());
        let word = self.rest.get(..end.min(40)).unwrap_or_default().trim_end_matches(':');
        if word.starts_with(|first: char| first.is_alphabetic() || first == '_') { word } else { "" }
    }

    /// The word that the place is in.
    fn whole_word(&self) -> &'t str {
        let before = self.text.get(..self.offset).unwrap_or_default();
        let start = before.rfind(|character: char| !character.is_alphanumeric()).map_or(0, |at| {
            at + before.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8)
        });
        let rest = self.text.get(start..).unwrap_or_default();
        let end = rest.find(|character: char| !character.is_alphanumeric()).unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    }
}

/// The fault of a text that ends although something is open.
fn ended_early(text: &str) -> String {
    let mut open: Vec<(char, usize)> = Vec::new();
    let mut string = None;
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match (string, character) {
            (Some(_), '\\') => drop(characters.next()),
            (Some(_), '"') => string = None,
            (Some(_), _) => {}
            (None, '"') => string = Some(at),
            (None, '{') => open.push(('}', at)),
            (None, '[') => open.push((']', at)),
            (None, '}' | ']') => drop(open.pop()),
            (None, _) => {}
        }
    }
    if let Some(start) = string {
        let place = Position::of_offset(text, start);
        return format!("the text that begins at {place} has no closing \"");
    }
    match open.last() {
        Some((close, start)) => {
            let place = Position::of_offset(text, *start);
            format!("it ends before the `{close}` of what begins at {place}; write that")
        }
        None => "it ends before the value does".to_owned(),
    }
}

/// The fault of a control character in a string. The library names its place, or the one before it.
fn control_character(text: &str, offset: usize) -> String {
    let near = text.bytes().enumerate().skip(offset.saturating_sub(1)).take(3);
    let found = near.map(|(_, byte)| byte).find(|byte| *byte < 0x20);
    match found {
        Some(b'\t') => "a tab in a text; write it as `\\t`".to_owned(),
        Some(b'\n' | b'\r') | None => {
            "a text that does not end on its line; write its closing \", or `\\n` for a line break".to_owned()
        }
        Some(byte) => format!("a control character in a text; write it as `\\u{byte:04x}`"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::Value;
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn every_mistake_is_told_in_words_to_act_on() {
        let rows = [
            (r#"{"a": 1,}"#, "a comma before `}`", 8),
            ("{\"a\": 1,\n}", "a comma before `}`", 9),
            (r#"{"a": [1,]}"#, "a comma before `]`", 9),
            (r#"{"a": 1 "b": 2}"#, "no comma before this", 8),
            ("{\"a\": 1\n \"b\": 2}", "no comma before this", 9),
            (r#"{"a": ["x" "y"]}"#, "no comma before this", 11),
            (r#"{"a": [1 2]}"#, "no comma before this", 9),
            ("{'a': 1}", "in double quotes", 1),
            (r#"{"a": 'x'}"#, "in double quotes", 6),
            ("{ // c\n\"a\": 1}", "a comment", 2),
            (r#"{"a": /* c */ 1}"#, "a comment", 6),
            ("{\"a\": 1, # c\n\"b\": 2}", "a comment", 9),
            ("{a: 1}", "the key `a` has no quotes; write \"a\"", 1),
            (r#"{"a": abc}"#, "`abc` has no quotes; write \"abc\"", 6),
            (r#"{"a": example.com}"#, "`example.com` has no quotes", 6),
            ("{\"a\": \"x\n}", "does not end on its line", 8),
            (r#"{"a": "x"#, "begins at 1:7 has no closing", 8),
            ("{\"a\": \"x\ty\"}", "write it as `\\t`", 8),
            ("{\"a\": \"x\u{1}y\"}", "write it as `\\u0001`", 8),
            (r#"{"a" 1}"#, "no `:` after the key", 5),
            (r#"{"a" = 1}"#, "JSON has `:` there", 5),
            (r#"{"a": True}"#, "write true", 6),
            (r#"{"a": None}"#, "write null", 6),
            (r#"{"a": }"#, "no value before `}`", 6),
            (r#"{"a": [{"b": 1]}"#, "write `}` before it", 14),
            (r#"{"a": [1}"#, "write `]` before it", 8),
            (r#"{"a": [1]"#, "before the `}` of what begins at 1:1", 9),
            (r#"{"a": 1}}"#, "one `}` too many", 8),
            ("{\"a\": 1}\n{\"b\": 2}", "several go into one array", 9),
            ("", "it is empty", 0),
            ("a: 1", "`a` is no JSON", 0),
            ("<html>", "`<` is no JSON", 0),
            ("<<<<<<< HEAD\n{}", "a merge conflict", 0),
            ("\u{feff}{}", "a byte order mark", 0),
            ("{\u{a0}\"a\": 1}", "a no-break space", 1),
            ("{\u{201c}a\u{201d}: 1}", "a typographic quote", 1),
            (r#"{"a": 07}"#, "not a number", 7),
            (r#"{"a": +7}"#, "not a number", 6),
            (r#"{"a": 0x7}"#, "neither a number", 7),
            (r#"{"a": "C:\data"}"#, "write `\\\\` for a backslash", 10),
            (r#"{"a": "don\'t"}"#, "write `\\\\` for a backslash", 11),
            ("{\"a\": \"\\#x\"}", "write `\\\\` for a backslash", 8),
            (r#"{"a": "\/\ x"}"#, "write `\\\\` for a backslash", 10),
            (r#"{"a": [1,, 2]}"#, "a comma with nothing before it", 9),
            (r#"{"a": trve}"#, "`trve` is no value", 7),
        ];
        for (text, says, offset) in rows {
            let error = serde_json::from_str::<Value>(text).unwrap_err();
            let detail = syntax_detail(text, &error);
            assert!(detail.contains(says), "{text}: {detail}");
            // Where the library skips a value, it has other words for some mistakes.
            let skipped = serde_json::from_str::<&RawValue>(text).unwrap_err();
            let detail = syntax_detail(text, &skipped);
            assert!(detail.contains(says), "{text}, skipped: {detail}");
            let found = offset_of(text, &skipped);
            assert!(found.abs_diff(offset) <= 1, "{text}: {found}");
        }
    }
}
