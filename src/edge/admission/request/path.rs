//! Checks on the target of a request.

use super::{PathEscapes, RequestRefusal, UNENCODED};

/// Checks the target, and returns the escapes of its path. Servers read some paths differently, so a
/// path that is judged as one route could be another one at the upstream.
pub(super) fn check(target: &[u8]) -> Result<PathEscapes, RequestRefusal> {
    if is_simple(target) {
        return Ok(PathEscapes::default());
    }
    let (path, query) = target.split_at(memchr::memchr(b'?', target).unwrap_or(target.len()));
    let Some((b'/', origin_form)) = path.split_first() else {
        return Err(RequestRefusal::bad("the request target must be a path"));
    };
    // Parsers and proxies replace or drop these bytes, each in its own way.
    for &byte in path {
        match byte {
            b'\\' => return Err(RequestRefusal::bad("the path has a backslash")),
            b'#' => return Err(RequestRefusal::bad("the request target has a fragment")),
            0..=0x20 | 0x7f.. => return Err(UNENCODED),
            _ => {}
        }
    }
    if !is_query(query) {
        return Err(UNENCODED);
    }
    let mut segments = origin_form.split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        // Some servers merge `//`. An empty last segment is only a trailing slash.
        if segment.is_empty() && segments.peek().is_some() {
            return Err(RequestRefusal::bad("the path has an empty segment"));
        }
        check_segment(segment)?;
    }
    let slash = path.windows(ENCODED.len()).position(|window| window.eq_ignore_ascii_case(ENCODED));
    Ok(PathEscapes { any: path.contains(&b'%'), slash })
}

const ENCODED: &[u8] = b"%2f";

/// Fast path: whether a target is a path with only one reading, as nearly every one is. It has no `.` after a
/// `/`, and nothing encoded.
fn is_simple(target: &[u8]) -> bool {
    let mut before = b'/';
    let Some((b'/', rest)) = target.split_first() else { return false };
    for (at, &byte) in rest.iter().enumerate() {
        let is_plain = match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'A'..=b'Z' | b'-' | b'_' => true,
            b'.' | b'/' => before != b'/',
            b'?' => return is_query(rest.get(at..).unwrap_or_default()),
            _ => false,
        };
        if !is_plain {
            return false;
        }
        before = byte;
    }
    true
}

/// Whether these bytes can be in an address as they are. What they mean is nobody's matter but the upstream's.
fn is_query(query: &[u8]) -> bool {
    query.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#')
}

fn check_segment(segment: &[u8]) -> Result<(), RequestRefusal> {
    // Servers that read an encoded slash as a separator must find no dot segment either.
    let (mut dots, mut others) = (0, false);
    let mut rest = segment;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let byte = if byte == b'%' {
            let Some((escape, after)) = rest.split_at_checked(2) else {
                return Err(RequestRefusal::bad("the path has a broken percent-encoding"));
            };
            rest = after;
            match percent_decoded(escape) {
                None => return Err(RequestRefusal::bad("the path has a broken percent-encoding")),
                Some(b'/') if is_dot_segment(dots, others) => return Err(DOT_SEGMENT),
                Some(b'/') => {
                    (dots, others) = (0, false);
                    continue;
                }
                Some(b'\\') => return Err(RequestRefusal::bad("the path has an encoded backslash")),
                Some(0) => return Err(RequestRefusal::bad("the path has an encoded NUL")),
                Some(byte) => byte,
            }
        } else {
            byte
        };
        // Counted after decoding, because many servers read `%2e` as a dot.
        if byte == b'.' { dots += 1 } else { others = true }
    }
    if is_dot_segment(dots, others) { Err(DOT_SEGMENT) } else { Ok(()) }
}

const DOT_SEGMENT: RequestRefusal = RequestRefusal::bad("the path has a dot segment");

fn is_dot_segment(dots: usize, others: bool) -> bool {
    !others && (dots == 1 || dots == 2)
}

fn percent_decoded(escape: &[u8]) -> Option<u8> {
    let [high, low] = escape else { return None };
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}
