//! What servers that are less strict would read from the bytes that an upstream got.

/// How a server reads: by whatever says where a body ends, in which order, and with every leniency that is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reading {
    /// `Content-Length` first.
    Length,
    /// `Transfer-Encoding` first.
    Chunks,
}

/// What a server would take for a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Method and target.
    pub asked: String,
    /// The values of `X-Decision-Id`.
    pub decisions: Vec<String>,
}

/// All that a server would take for requests in the bytes of one connection.
pub fn read(mut bytes: &[u8], reading: Reading) -> Vec<Seen> {
    let mut all = Vec::new();
    loop {
        let blank = bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        bytes = &bytes[blank..];
        if bytes.is_empty() {
            return all;
        }
        let mut lines = Vec::new();
        while let Some(line) = line(&mut bytes) {
            if line.is_empty() {
                break;
            }
            lines.push(String::from_utf8_lossy(line).into_owned());
        }
        // What is no head is told, too: nobody judged it.
        let first = lines.first().map_or_else(|| String::from_utf8_lossy(bytes).into_owned(), Clone::clone);
        let parts: Vec<&str> = first.splitn(3, ' ').collect();
        let asked = parts[..parts.len().min(2)].join(" ");
        let fields: Vec<(String, String)> = lines.iter().skip(1).map(|line| field(line)).collect();
        let values = |name: &str| -> Vec<String> {
            fields.iter().filter(|(known, _)| known == name).map(|(_, value)| value.clone()).collect()
        };
        let decisions =
            fields.iter().filter(|(name, _)| name == "x-decision-id").map(|(_, value)| value.clone());
        all.push(Seen { asked, decisions: decisions.collect() });
        if lines.is_empty() {
            return all;
        }
        let chunked =
            values("transfer-encoding").iter().any(|value| value.to_lowercase().contains("chunked"));
        let length = values("content-length").last().map(|value| number(value, 10));
        match (length, chunked, reading) {
            (Some(length), false, _) | (Some(length), true, Reading::Length) => {
                bytes = &bytes[length.min(bytes.len())..];
            }
            (None, true, _) | (Some(_), true, Reading::Chunks) => skip_chunks(&mut bytes),
            (None, false, _) => {}
        }
    }
}

/// A line, whatever ends it; `None` at the end of the bytes.
fn line<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'))?;
    let line = &bytes[..end];
    let is_both = bytes[end..].starts_with(b"\r\n");
    *bytes = &bytes[end + 1 + usize::from(is_both)..];
    Some(line)
}

/// A field with the name that CGI makes of it, and what white space there may be taken away.
fn field(line: &str) -> (String, String) {
    let (name, value) = line.split_once([':', ' ']).unwrap_or((line, ""));
    let name = name.trim_matches(|letter: char| !letter.is_ascii_graphic()).to_lowercase();
    (name.replace(['_', '.'], "-"), value.trim_matches(|letter: char| !letter.is_ascii_graphic()).to_owned())
}

/// The number that a text begins with, after a sign and a prefix; 0 where there is none.
fn number(text: &str, radix: u32) -> usize {
    let text = text.trim_start().trim_start_matches(['+', '-', '"']);
    let text = text.strip_prefix("0x").unwrap_or(text);
    text.chars()
        .map_while(|digit| digit.to_digit(radix))
        .fold(0_usize, |number, digit| number.wrapping_mul(radix as usize).wrapping_add(digit as usize))
}

fn skip_chunks(bytes: &mut &[u8]) {
    while let Some(size) = line(bytes) {
        let size = number(&String::from_utf8_lossy(size), 16);
        if size == 0 {
            while line(bytes).is_some_and(|line| !line.is_empty()) {}
            return;
        }
        *bytes = &bytes[size.min(bytes.len())..];
        // The end of the line behind it.
        let _ = line(bytes);
    }
    *bytes = &[];
}

#[test]
fn lenient_servers_see_what_strict_ones_do_not() {
    const BOTH: &[u8] =
        b"POST /a HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nX-Decision-Id: 1\r\n\r\n\
        0\r\n\r\nGET /b HTTP/1.1\r\nX: y\r\n\r\n";
    const LONG: &[u8] =
        b"POST /a HTTP/1.1\r\nContent-Length: 32\r\nTransfer-Encoding: ,chunked\r\nX-Decision-Id: 1\r\n\r\n\
        0\r\n\r\nGET /b HTTP/1.1\r\nX: yyy\r\n\r\n";
    const SPELT: &[u8] =
        b"POST /a HTTP/1.1\r\nContent_Length: 0\r\nTransfer-Encoding : chunked\r\nX_Decision_Id: 1\r\n\r\n\
        1;a\nb\n0x0\n\nGET /b HTTP/1.1\r\nX: y\r\n\r\n";
    const IN_VALUE: &[u8] = b"GET /a HTTP/1.1\r\nX: y\n\nGET /b HTTP/1.1\r\nX-Decision-Id: 1\r\n\r\n";
    const GOOD: &[u8] = b"POST /a HTTP/1.1\r\nContent-Length: 5\r\nX-Decision-Id: 1\r\n\r\n0\r\n\r\n\
        POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\nX-Decision-Id: 2\r\n\r\n5;a\r\nGET /\r\n0\r\nX: y\r\n\r\n";
    let asked = |bytes, reading| -> Vec<(String, usize)> {
        read(bytes, reading).into_iter().map(|seen| (seen.asked, seen.decisions.len())).collect()
    };
    let (a, b) = (("POST /a".to_owned(), 1), ("GET /b".to_owned(), 0));
    for bytes in [BOTH, SPELT] {
        assert_eq!(asked(bytes, Reading::Chunks), [a.clone(), b.clone()], "{bytes:?}");
    }
    assert_eq!(asked(BOTH, Reading::Length), [a.clone(), b.clone()]);
    assert_eq!(asked(LONG, Reading::Chunks), [a.clone(), b]);
    assert_eq!(asked(LONG, Reading::Length)[0], a);
    assert_eq!(asked(LONG, Reading::Length).len(), 1);
    for reading in [Reading::Length, Reading::Chunks] {
        let get = |target: &str, count| (format!("GET {target}"), count);
        assert_eq!(asked(IN_VALUE, reading), [get("/a", 0), get("/b", 1)]);
        assert_eq!(asked(GOOD, reading), [a.clone(), ("POST /b".to_owned(), 1)]);
        assert_eq!(asked(b"nothing at all", reading), [("nothing at".to_owned(), 0)]);
        assert_eq!(asked(b"\r\n\r\n", reading), []);
    }
}
