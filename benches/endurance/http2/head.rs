//! Heads of requests, and the status of an answer, in HPACK (RFC 7541).

use bench_support::ground::HOST;

use super::{flags, frame, kind};

/// The newest entry of the dynamic table, in one byte.
pub const REFERENCE: u8 = 0x80 | 62;

/// The head of a request, all of it written out: nothing is added to the dynamic table.
pub struct Head(pub Vec<u8>);

impl Head {
    pub fn new(method: &str, path: &str, site: &str) -> Self {
        let mut block = match method {
            "GET" => vec![0x82],
            _ => vec![0x83],
        };
        block.push(0x87);
        text(&mut block, 0x04, path);
        text(&mut block, 0x01, HOST);
        let this = Self(block);
        this.with("origin", &format!("https://{site}"))
    }

    /// The same with one more field.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.extend(field(0x00, name, value));
        self
    }

    /// The HEADERS frame of this stream.
    pub fn frame(&self, stream: u32, is_end: bool) -> Vec<u8> {
        let end = if is_end { flags::END_STREAM } else { flags::NONE };
        frame(kind::HEADERS, flags::END_HEADERS | end, stream, &self.0)
    }
}

/// A field with a name of its own. `form`: 0x00 as it is, 0x40 to be remembered.
pub fn field(form: u8, name: &str, value: &str) -> Vec<u8> {
    let mut block = Vec::new();
    text(&mut block, form, name);
    length(&mut block, value.len());
    block.extend_from_slice(value.as_bytes());
    block
}

/// One byte, then a text.
fn text(block: &mut Vec<u8>, first: u8, text: &str) {
    block.push(first);
    length(block, text.len());
    block.extend_from_slice(text.as_bytes());
}

/// A length of a text that is not compressed: seven bits, and more if they are not enough.
fn length(block: &mut Vec<u8>, length: usize) {
    let Some(mut rest) = length.checked_sub(0x7f) else {
        return block.extend(u8::try_from(length));
    };
    block.push(0x7f);
    while rest >= 0x80 {
        block.extend(u8::try_from((rest % 0x80) | 0x80));
        rest /= 0x80;
    }
    block.extend(u8::try_from(rest));
}

/// The status that a block begins with, where it can be told.
pub fn status(block: &[u8]) -> Option<u16> {
    // A change of the table's size may stand before it.
    let block = block.iter().position(|byte| byte & 0xe0 != 0x20).and_then(|at| block.get(at..))?;
    match *block {
        [first @ 0x88..=0x8e, ..] => indexed(first),
        [0x08 | 0x18 | 0x48, 3, a, b, c, ..] => std::str::from_utf8(&[a, b, c]).ok()?.parse().ok(),
        [0x08 | 0x18 | 0x48, length @ 0x82..=0x83, ref rest @ ..] => {
            digits(rest.get(..usize::from(length & 0x7f))?)
        }
        _ => None,
    }
}

/// A status of the static table.
fn indexed(byte: u8) -> Option<u16> {
    let all = [200, 204, 206, 304, 400, 404, 500];
    all.get(usize::from(byte.checked_sub(0x88)?)).copied()
}

/// Three digits in the Huffman code of RFC 7541, appendix B: 0 to 2 in five bits, the others in six.
fn digits(bytes: &[u8]) -> Option<u16> {
    let bits = bytes.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (32 - 8 * bytes.len());
    let (mut rest, mut number) = (bits, 0);
    for _ in 0..3 {
        let short = rest >> 27;
        let (digit, length) = if short <= 2 { (short, 5) } else { ((rest >> 26).checked_sub(0x19)? + 3, 6) };
        number = number * 10 + u16::try_from(digit).ok().filter(|digit| *digit <= 9)?;
        rest <<= length;
    }
    Some(number)
}
