//! Faults of TOML syntax: of all that the library finds the one that is the cause, in words that a person can act on.

use toml::de::Error;

/// Where the fault of a text is that is no TOML, as a byte offset, and what would be right. A missing quote or bracket
/// makes the library misread everything after it, so only one of its errors is told.
pub(super) fn cause(text: &str, errors: &[Error]) -> Option<(usize, String)> {
    let offset = |error: &Error| error.span().map_or(0, |span| span.start.min(text.len()));
    let unclosed = |error: &&Error| is_unclosed_text(error.message());
    let first = errors.iter().filter(unclosed).min_by_key(|error| offset(error));
    let first = first.or_else(|| errors.iter().min_by_key(|error| offset(error)))?;
    let place = FaultPlace::at(text, offset(first));
    let (at, detail) = place.explain(first.message());
    Some((at, format!("not TOML: {detail}")))
}

fn is_unclosed_text(message: &str) -> bool {
    message.starts_with("invalid")
        && (message.ends_with("expected `\"`") || message.ends_with("expected `'`"))
}

/// Text around the place of a fault.
struct FaultPlace<'t> {
    text: &'t str,
    at: usize,
    /// Where the line of the place begins.
    start: usize,
    /// The line, up to its end.
    line: &'t str,
    /// From the place to the end of its line.
    rest: &'t str,
}

impl<'t> FaultPlace<'t> {
    fn at(text: &'t str, at: usize) -> Self {
        let (before, after) = text.split_at_checked(at).unwrap_or((text, ""));
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        let end = after.find('\n').map_or(text.len(), |end| at + end);
        let line = text.get(start..end).unwrap_or_default();
        Self { text, at, start, line, rest: text.get(at..end).unwrap_or_default() }
    }

    /// The place that is shown, and the sentence.
    fn explain(&self, message: &str) -> (usize, String) {
        let (what, expected) = message.split_once(", expected ").unwrap_or((message, ""));
        if is_unclosed_text(message) {
            let quote = if expected == "`'`" { '\'' } else { '"' };
            return self.unclosed_text(quote);
        }
        if let Some(mark) = self.mark() {
            return (self.at, mark);
        }
        let detail = match what {
            // Where a list is open, the next header is read as one of its elements.
            "string values must be quoted" if self.line.trim_start().starts_with('[') => {
                return Self::at(self.text, self.start).unclosed('[', ']', "list");
            }
            "string values must be quoted" | "invalid float" | "invalid boolean" | "invalid integer" => {
                return self.value();
            }
            "unexpected key or value" if self.is_word_in_value() => return self.value(),
            "unexpected key or value" => self.more_after_value(),
            "key with no value" => self.key_without_value(),
            "invalid unquoted key" => self.character_in_key(),
            "invalid key-value pair" => {
                "a configuration has [section] headers and lines of `key = value`".to_owned()
            }
            "unclosed table" => "no `]` at the end of this header; write it like [edge]".to_owned(),
            "unclosed array table" => "no `]]` at the end of this header; write it like [[routes]]".to_owned(),
            "duplicate key" => self.repeated(),
            "missing comma between array elements" | "unclosed array" if !self.is_in_list() => {
                return self.unclosed('[', ']', "list");
            }
            "missing comma between array elements" | "missing comma between key-value pairs"
                if self.is_in_list() =>
            {
                "no comma before this; write one after what comes before it".to_owned()
            }
            "missing comma between key-value pairs"
            | "missing key for inline table element"
            | "unclosed inline table" => return self.unclosed('{', '}', "table"),
            "extra comma in array" | "extra comma in inline table" => {
                "a comma with nothing before it; take it out, or write what is missing".to_owned()
            }
            "unexpected leading zero" => "a number does not begin with 0; leave it out".to_owned(),
            "unquoted keys cannot be empty" => {
                "a name is missing here; write it like [edge] or [upstreams.app]".to_owned()
            }
            "carriage return must be followed by newline" => {
                "a line that ends with CR alone; save the file with the line ends of Unix".to_owned()
            }
            _ if what.starts_with("missing escaped value") || what.contains("unicode value") => {
                "a `\\` with nothing that TOML knows behind it; write `\\\\`, or put the text in single quotes".to_owned()
            }
            _ if what.starts_with("cannot extend value") => {
                "more keys for a table that is already written as { … }; write them in there".to_owned()
            }
            _ if what.starts_with("invalid") && expected.contains("visible characters") => {
                "a control character in a text; take it out".to_owned()
            }
            _ => message.to_owned(),
        };
        (self.at, detail)
    }

    /// The fault of what TOML has nowhere.
    fn mark(&self) -> Option<String> {
        let line = self.line.trim_start();
        if ["<<<<<<<", "=======", ">>>>>>>"].iter().any(|mark| line.starts_with(mark)) {
            return Some("a mark of a merge conflict; resolve it, and take the marks out".to_owned());
        }
        if ["//", "/*", ";", "--"].iter().any(|mark| line.starts_with(mark)) {
            return Some("a comment begins with # in a configuration".to_owned());
        }
        if line.starts_with('{') && self.text.trim_start().starts_with('{') {
            let detail = "this is JSON; a configuration has [section] headers and lines of `key = value`";
            return Some(detail.to_owned());
        }
        let next = self.rest.chars().next()?;
        match next {
            '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{ab}' | '\u{bb}' | '\u{2018}' | '\u{2019}' => {
                Some("a typographic quote; write \" instead".to_owned())
            }
            other if !other.is_ascii() && (other.is_whitespace() || other == '\u{feff}') => {
                Some("a special white space, such as a no-break space; write a plain one".to_owned())
            }
            _ => None,
        }
    }

    /// A text without its end, which this quote would be: the place is where it begins.
    fn unclosed_text(&self, quote: char) -> (usize, String) {
        let before = self.text.get(..self.at).unwrap_or_default();
        let quotes = if quote == '"' { "\"\"\"" } else { "'''" };
        // An odd number of them: the last one opens.
        if before.matches(quotes).count() % 2 == 1
            && let Some(at) = before.rfind(quotes)
        {
            return (at, format!("the text that begins here has no closing {quotes}"));
        }
        let line = self.text.get(self.start..self.at).unwrap_or_default();
        let is_escaped =
            |at: usize| quote == '"' && line.get(..at).is_some_and(|before| before.ends_with('\\'));
        match line.rmatch_indices(quote).find(|(at, _)| !is_escaped(*at)) {
            Some((at, _)) => {
                (self.start + at, format!("the text that begins here has no closing {quote} on its line"))
            }
            None => (self.at, "a text has no closing quote".to_owned()),
        }
    }

    /// The value that is none: the place is where it begins.
    fn value(&self) -> (usize, String) {
        let (at, value) = self.bare_value();
        let detail = match value {
            "" => "no value after `=`; write one, or take the line out".to_owned(),
            "True" | "TRUE" => format!("`{value}` is no value; write true"),
            "False" | "FALSE" => format!("`{value}` is no value; write false"),
            "yes" | "no" | "on" | "off" => format!("`{value}` is no value; write true or false"),
            _ if value.starts_with('$') => {
                "variables are not replaced in the file; set EMBEDGATE__SECTION__KEY instead".to_owned()
            }
            _ => match value.strip_suffix(['"', '\'']) {
                Some(text) => format!("`{value}` has no opening quote; write \"{text}\""),
                None => format!("`{value}` has no quotes; write \"{value}\""),
            },
        };
        (at, detail)
    }

    /// Whether the place is within a value that has no quotes.
    fn is_word_in_value(&self) -> bool {
        let (at, value) = self.bare_value();
        at < self.at
            && !value.is_empty()
            && !value.starts_with(['"', '\'', '[', '{'])
            && self.at < at + value.len()
    }

    /// The value at the place as it is written, up to white space, a comma or the end of what it is in.
    fn bare_value(&self) -> (usize, &'t str) {
        let at = (self.at - self.start).min(self.line.len());
        let before = self.line.get(..at).unwrap_or_default();
        let start = before.rfind(['=', '[', ',', '{', ' ', '\t']).map_or(0, |at| at + 1);
        let value = self.line.get(start..).unwrap_or_default();
        let skipped = value.len() - value.trim_start().len();
        let value = value.trim_start();
        let end = value.find([' ', '\t', ',', ']', '#', '\r']).unwrap_or(value.len());
        (self.start + start + skipped, value.get(..end).unwrap_or_default())
    }

    fn more_after_value(&self) -> String {
        match self.rest.chars().next() {
            Some(mark @ (',' | ';')) => {
                format!("`{mark}` after the value; each key has a line of its own, without one")
            }
            _ if self.line.trim_start().starts_with('[') => {
                "more text after the header; write it on the next line".to_owned()
            }
            _ => "more text after the value; each key has a line of its own".to_owned(),
        }
    }

    fn key_without_value(&self) -> String {
        let key = self.text.get(self.start..self.at).unwrap_or_default().trim();
        match self.line.split_once('=') {
            Some((words, _)) if !words.trim().contains(['"', '\'']) && words.trim().contains(' ') => {
                let right = words.split_whitespace().collect::<Vec<_>>().join("_");
                format!("a key has no spaces; write {right} = …")
            }
            _ => format!("no `=` after the key `{key}`; write {key} = \"…\""),
        }
    }

    fn character_in_key(&self) -> String {
        match self.rest.chars().next() {
            Some(':') => "`:` after a key; a configuration has `=` there".to_owned(),
            Some(other) => format!("`{other}` in a key, which has letters, digits, `_` and `-`; take it out"),
            None => "a key ends here; write it like `key = value`".to_owned(),
        }
    }

    fn repeated(&self) -> String {
        let line = self.line.trim_start();
        let before = self.text.get(..self.start).unwrap_or_default();
        let named = |line: &str| line.split('#').next().unwrap_or_default().trim().to_owned();
        let earlier = |is: &dyn Fn(&str) -> bool| {
            before.lines().zip(1..).filter(|(line, _)| is(line)).map(|(_, number): (_, usize)| number).last()
        };
        if line.starts_with('[') {
            let header = named(line);
            let name = header.trim_matches(['[', ']']);
            return match earlier(&|line| named(line) == header) {
                Some(line) => format!("{header} is already in line {line}; put these keys there"),
                None if header.starts_with("[[") => {
                    format!("{name} is already a table; write [[{name}]] each time")
                }
                None => format!("{name} is already there; keep one of them"),
            };
        }
        let key = line.split('=').next().unwrap_or_default().trim();
        let is_same = |line: &str| line.split_once('=').is_some_and(|(name, _)| name.trim() == key);
        match earlier(&is_same) {
            Some(line) => format!("the key `{key}` is already in line {line}; keep one of them"),
            None => format!("the key `{key}` is already there; keep one of them"),
        }
    }

    /// Whether what stands at the place can be the next one of a list or of a table in braces, and is not the next key
    /// or header of the file.
    fn is_in_list(&self) -> bool {
        let begins_line = self.text.get(self.start..self.at).unwrap_or_default().trim().is_empty();
        let is_header = self.rest.starts_with('[') && !self.rest.contains(',');
        let key = self.rest.split_once('=').map(|(key, _)| key.trim()).unwrap_or_default();
        let is_key =
            !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        !(self.rest.trim().is_empty() || begins_line && (is_header || is_key))
    }

    /// A list or table without its end: the place is where it begins.
    fn unclosed(&self, open: char, close: char, what: &str) -> (usize, String) {
        let before = self.text.get(..self.at).unwrap_or_default();
        let mut depth = 0_usize;
        for (at, character) in before.char_indices().rev() {
            if character == close {
                depth += 1;
            } else if character == open && depth > 0 {
                depth -= 1;
            } else if character == open {
                return (
                    at,
                    format!("the {what} that begins here is not closed; write `{close}` at its end"),
                );
            }
        }
        (self.at, format!("a {what} is not closed; write `{close}` at its end"))
    }
}
