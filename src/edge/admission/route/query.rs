//! Widget ids in the query, as `?NAME=ID`.

use percent_encoding::percent_decode;

use crate::edge::admission::request::RequestRefusal;

/// Refusal of a request whose query does not name the widget.
pub const NO_ID: RequestRefusal = RequestRefusal::bad("the query parameter that names the widget is missing");

/// Refusal of a request whose query could name two widgets: the edge must not guess which one the upstream takes.
pub const SEVERAL_IDS: RequestRefusal = RequestRefusal::bad(
    "the query parameter that names the widget is there twice, or written in a way that servers read differently",
);

/// Finds the only value of a parameter, as written.
///
/// # Errors
/// The parameter is missing, or some server could find two.
pub fn id<'r>(query: Option<&'r str>, name: &str) -> Result<&'r str, RequestRefusal> {
    let mut found = None;
    // Some servers also split at `;`.
    for parameter in query.unwrap_or_default().split(['&', ';']) {
        let (stated, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match (stated == name, found) {
            (true, None) => found = Some(value),
            (true, Some(_)) => return Err(SEVERAL_IDS),
            (false, _) if could_be(stated, name) => return Err(SEVERAL_IDS),
            (false, _) => {}
        }
    }
    found.ok_or(NO_ID)
}

/// Whether a server could take a name for another: decoded (RFC 3986 §2.1), in other letters, with what PHP makes of
/// `a.b`, `a b` and `a[0]`, and Rack of `[a]`, or padded.
fn could_be(stated: &str, name: &str) -> bool {
    let is_bracket = |byte: &u8| matches!(byte, b'[' | b']');
    let decoded = percent_decode(stated.as_bytes()).map(|byte| match byte {
        b'+' | b' ' | b'.' => b'_',
        other => other.to_ascii_lowercase(),
    });
    let decoded: Vec<u8> =
        decoded.skip_while(is_bracket).take_while(|byte| *byte != 0 && !is_bracket(byte)).collect();
    let wanted = name.to_ascii_lowercase();
    let trimmed = |text: &[u8]| {
        let start = text.iter().position(|byte| *byte != b'_').unwrap_or(text.len());
        let end = text.iter().rposition(|byte| *byte != b'_').map_or(start, |last| last + 1);
        text.get(start..end).unwrap_or_default().to_vec()
    };
    trimmed(&decoded) == trimmed(wanted.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_found() {
        for (query, value) in [
            ("website_token=a", "a"),
            ("x=1&website_token=a-B_9&y", "a-B_9"),
            ("website_token=", ""),
            ("website_token", ""),
            ("website_token=a%62", "a%62"),
            ("website_token=a=b", "a=b"),
            ("website_tokens=b&token=c&website_token=a", "a"),
        ] {
            assert_eq!(id(Some(query), "website_token"), Ok(value), "{query}");
        }
    }

    #[test]
    fn none_and_more_than_one_are_refused() {
        for query in [None, Some(""), Some("x=1"), Some("website_tokens=a")] {
            assert_eq!(id(query, "website_token"), Err(NO_ID), "{query:?}");
        }
        for other in [
            "website_token=b",
            "website_token",
            "website%5Ftoken=b",
            "Website_Token=b",
            "website.token=b",
            "website+token=b",
            "website%20token=b",
            "website_token[]=b",
            "website_token%5B0%5D=b",
            "+website_token=b",
            "website_token+=b",
            "website_token%00x=b",
            "[website_token]=b",
            "]website_token=b",
            "website_token]=b",
            "%5B[website_token=b",
            "x=1;website_token=b",
        ] {
            for query in [format!("website_token=a&{other}"), format!("{other}&website_token=a")] {
                assert_eq!(id(Some(&query), "website_token"), Err(SEVERAL_IDS), "{query}");
            }
        }
        assert_eq!(id(Some("WEBSITE_TOKEN=a"), "website_token"), Err(SEVERAL_IDS), "alone, but not literal");
    }
}
