#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

/// A body, its trailers, what is left behind it, and whether it is over.
type Outcome = (Vec<u8>, Option<Fields>, Vec<u8>, bool);

/// What a reader makes of bytes that come in pieces, cut at `cuts`.
fn read(mut reader: BodyReader, bytes: &[u8], cuts: &[usize]) -> Result<Outcome, Malformed> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([bytes.len()]).collect();
    cuts.sort_unstable();
    let (mut read, mut body, mut fields, mut at) = (BytesMut::new(), Vec::new(), None, 0);
    for cut in cuts {
        read.extend_from_slice(&bytes[at..cut]);
        at = cut;
        loop {
            match reader.step(&mut read)? {
                Step::Frame(Frame::Data(piece)) => body.extend_from_slice(&piece),
                Step::Frame(Frame::Trailers(trailers)) => fields = Some(trailers),
                Step::More | Step::End => break,
            }
        }
    }
    Ok((body, fields, read.to_vec(), reader.is_done()))
}

fn chunked(bytes: &str) -> Result<Outcome, Malformed> {
    read(BodyReader::CHUNKED, bytes.as_bytes(), &[])
}

#[test]
fn chunks_are_read_to_their_end() {
    let (body, fields, left, done) =
        chunked("4;x=\"y\"\r\nbody\r\n0A;z \t\r\n0123456789\r\n00\r\n\r\nGET").unwrap();
    assert_eq!((body.as_slice(), left.as_slice(), done), (&b"body0123456789"[..], &b"GET"[..], true));
    assert!(fields.is_none());
    let (body, fields, left, _) = chunked("0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\nGET").unwrap();
    assert_eq!((body.len(), left.as_slice()), (0, &b"GET"[..]));
    assert_eq!(fields.unwrap().get_all(HeaderName::from_static("x-sum")).collect::<Vec<_>>(), ["1", "2"]);
}

#[test]
fn what_is_no_chunk_is_an_error() {
    for bytes in [
        "\r\n",
        ";x\r\n",
        "g\r\n",
        "-1\r\n",
        "+1\r\n",
        "0x5\r\n",
        " 5\r\nhello\r\n",
        "\t5\r\nhello\r\n",
        "5 \r\nhello\r\n",
        "5\t\r\nhello\r\n",
        "5 ;x\r\nhello\r\n",
        "5 5\r\n",
        "5_0\r\n",
        "5,\r\nhello\r\n",
        "5h\r\nhello\r\n",
        "5;a\nb\r\nhello\r\n",
        "5;a\x7f\r\nhello\r\n",
        "5\r\nhello\r\n\r\n0\r\n\r\n",
        "5\r\nhello\rX0\r\n\r\n",
        "0\r\nX: 1\r\n\nX: 2\r\n\r\n",
        "0\r\nX : 1\r\n\r\n",
        "0\r\n: 1\r\n\r\n",
        "0\r\nX: a\0\r\n\r\n",
        "0\r\nX: a\rb\r\n\r\n",
        "0\rX\r\n\r\n",
        "0 \r\n\r\n",
        "0\n\r\n",
        "5\nhello\r\n",
        "5;a\0b\r\n",
        "5;a\rb\r\n",
        "5\r\r\n",
        "ffffffffffffffffff\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "0\r\nno colon\r\n\r\n",
        "0\r\nX-A: 1\nX-B: 2\r\n\r\n",
        "0\r\n\n",
        "0\r\n folded: x\r\n\r\n",
    ] {
        assert!(chunked(bytes).is_err(), "{bytes:?}");
    }
    assert!(chunked(&"0".repeat(MAX_CHUNK_LINE)).is_err());
    assert!(chunked(&format!("0\r\nX: {}", "a".repeat(MAX_TRAILER_BYTES))).is_err());
}

#[test]
fn only_a_body_without_a_length_ends_with_its_connection() {
    for (mut reader, whole) in [
        (BodyReader::UntilClose, true),
        (BodyReader::Done, true),
        (BodyReader::Length(1), false),
        (BodyReader::CHUNKED, false),
    ] {
        assert_eq!(reader.closed(), whole, "{reader:?}");
    }
}

proptest! {
    #[test]
    fn cuts_make_no_difference(
        pieces in prop::collection::vec("[a-z\r\n]{1,20}", 0..6),
        trailer in any::<bool>(),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let mut bytes: String = pieces.iter().map(|piece| format!("{:x}\r\n{piece}\r\n", piece.len())).collect();
        bytes.push_str(if trailer { "0\r\nX-A: b\r\n\r\nnext" } else { "0\r\n\r\nnext" });
        let (body, fields, left, done) = read(BodyReader::CHUNKED, bytes.as_bytes(), &cuts).unwrap();
        prop_assert_eq!(body, pieces.concat().into_bytes());
        prop_assert_eq!((fields.is_some(), left.as_slice(), done), (trailer, &b"next"[..], true));

        let whole = pieces.concat();
        let bytes = format!("{whole}next");
        let reader = BodyReader::of_length(whole.len() as u64);
        let (body, _, left, done) = read(reader, bytes.as_bytes(), &cuts).unwrap();
        prop_assert_eq!((body, left.as_slice(), done), (whole.into_bytes(), &b"next"[..], true));
    }

    #[test]
    fn any_bytes_are_a_body_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(BodyReader::CHUNKED, &bytes, &[]);
    }
}
