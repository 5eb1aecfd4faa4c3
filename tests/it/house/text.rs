//! Rust source as text: just enough reading to know code from comments and literals, and where items end.

use std::ops::Range;

/// Where a path or a name stands as a whole.
pub fn words<'t>(code: &'t str, name: &'t str) -> impl Iterator<Item = usize> + 't {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    code.match_indices(name)
        .map(|(at, _)| at)
        .filter(move |at| !code[..*at].ends_with(is_word) && !code[*at + name.len()..].starts_with(is_word))
}

/// The first names of a path or of the group that it begins with: `{a::b, c}` names `a` and `c`.
pub fn first_names(path: &str) -> Vec<&str> {
    let name = |text: &'_ str| -> usize {
        text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len())
    };
    let Some(group) = path.strip_prefix('{') else { return vec![&path[..name(path)]] };
    let (mut names, mut depth, mut is_start) = (Vec::new(), 0, true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => is_start = true,
            c if is_start && !c.is_whitespace() => {
                names.push(&group[at..at + name(&group[at..])]);
                is_start = false;
            }
            _ => {}
        }
    }
    names
}

/// Every path that begins here, groups taken apart: `a::{b, c::d}` is `a::b` and `a::c::d`.
pub fn paths(code: &str) -> Vec<Vec<&str>> {
    fn read<'c>(code: &'c str, before: &[&'c str], paths: &mut Vec<Vec<&'c str>>) -> usize {
        let trimmed = code.trim_start();
        let start = code.len() - trimmed.len();
        if trimmed.starts_with('{') {
            let mut at = start + 1;
            loop {
                at += read(&code[at..], before, paths);
                at += code[at..].len() - code[at..].trim_start().len();
                match code[at..].chars().next() {
                    Some(',') => at += 1,
                    Some('}') => return at + 1,
                    _ => return at,
                }
            }
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = start + trimmed.find(|c: char| !is_name(c)).unwrap_or(trimmed.len());
        let path: Vec<&str> =
            before.iter().copied().chain([&code[start..end]]).filter(|name| !name.is_empty()).collect();
        match code[end..].strip_prefix("::") {
            Some(rest) if rest.starts_with(|c: char| is_name(c) || c == '{') => {
                end + 2 + read(rest, &path, paths)
            }
            rest => {
                let all = rest.is_some_and(|rest| rest.starts_with('*'));
                paths.push(path);
                let alias = code[end..]
                    .strip_prefix(" as ")
                    .map_or(0, |rest| 4 + rest.find(|c: char| !is_name(c)).unwrap_or(rest.len()));
                end + if all { 3 } else { alias }
            }
        }
    }
    let mut found = Vec::new();
    read(code, &[], &mut found);
    found.retain(|path| !path.is_empty());
    found
}

/// How many `mod x { … }` are open at the end of this code.
pub fn inline_modules(code: &str) -> usize {
    let mut open = Vec::new();
    for (at, c) in code.char_indices() {
        match c {
            '{' => {
                let mut before = code[..at].split_whitespace().rev();
                open.push(before.nth(1) == Some("mod"));
            }
            '}' => drop(open.pop()),
            _ => {}
        }
    }
    open.into_iter().filter(|is_module| *is_module).count()
}

/// The items that follow an attribute: from it to the closing brace or the semicolon.
pub fn items_after(code: &str, attribute: &str) -> Vec<Range<usize>> {
    let end = |from: usize| {
        let mut depth = 0usize;
        let body = from + code[from..].find(']').unwrap_or(0);
        for (at, c) in code[body..].char_indices() {
            match c {
                '{' | '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                '}' if depth <= 1 => return body + at + 1,
                '}' => depth -= 1,
                ';' if depth == 0 => return body + at + 1,
                _ => {}
            }
        }
        code.len()
    };
    code.match_indices(attribute).map(|(at, _)| at..end(at)).collect()
}

/// What is made blank.
#[derive(Clone, Copy, PartialEq)]
pub enum Blank {
    Comments,
    /// The insides of string and character literals, too.
    TextToo,
}

/// The same text with spaces where nothing is code.
pub fn blank(text: &str, what: Blank) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (length, is_comment) = token(rest, out.chars().next_back());
        let (token, after) = rest.split_at(length.max(first.len_utf8()));
        let is_text = !is_comment && length > 1;
        for (at, c) in token.char_indices() {
            let inside = at > 0 && at + c.len_utf8() < token.len();
            let gone = is_comment || is_text && inside && what == Blank::TextToo;
            match !gone || c == '\n' {
                true => out.push(c),
                false => out.extend(std::iter::repeat_n(' ', c.len_utf8())),
            }
        }
        rest = after;
    }
    out
}

/// The length of the comment or literal that begins here, 0 for anything else, and whether it is a comment.
fn token(text: &str, before: Option<char>) -> (usize, bool) {
    let is_name = before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    let bytes = text.as_bytes();
    let closed = |from: usize, quote: u8| {
        let mut at = from;
        while at < bytes.len() && bytes[at] != quote {
            at += if bytes[at] == b'\\' { 2 } else { 1 };
        }
        (at + 1).min(bytes.len())
    };
    if text.starts_with("//") {
        return (text.find('\n').unwrap_or(text.len()), true);
    }
    if text.starts_with("/*") {
        return (text.find("*/").map_or(text.len(), |at| at + 2), true);
    }
    if text.starts_with('"') {
        return (closed(1, b'"'), false);
    }
    if let Some(raw) = text.strip_prefix('r').filter(|_| !is_name) {
        let hashes = raw.bytes().take_while(|byte| *byte == b'#').count();
        if raw[hashes..].starts_with('"') {
            let (open, end) = (hashes + 2, format!("\"{}", "#".repeat(hashes)));
            return (text[open..].find(&end).map_or(text.len(), |at| open + at + end.len()), false);
        }
    }
    if let Some(character) = text.strip_prefix('\'') {
        // A lifetime has no second quote right after its first character.
        let is_literal = character.starts_with('\\') || character.chars().nth(1) == Some('\'');
        return (if is_literal { closed(1, b'\'') } else { 0 }, false);
    }
    (0, false)
}
