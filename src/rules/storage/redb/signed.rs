//! Stored document with its signature in front: when it was saved and by whom.
//!
//! ```text
//! row       = [signature] json
//! signature = tag:u8 at:i64 varint(length) actor      (little-endian; at in microseconds)
//! ```
//! Rows of format 1 have none. They begin with the `{` of their document.

use jiff::Timestamp;

use crate::rules::storage::Author;
use embedgate_policy::varint;

const SIGNED: u8 = 1;

/// Row of a document, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SignedRow<'r> {
    /// When it was saved; `None` in a row of format 1.
    pub(super) at: Option<Timestamp>,
    /// By whom.
    pub(super) actor: Option<&'r str>,
    pub(super) json: &'r [u8],
}

/// Appends a row.
pub(super) fn write(author: &Author, json: &[u8], row: &mut Vec<u8>) {
    row.push(SIGNED);
    row.extend(author.at.as_microsecond().to_le_bytes());
    varint::write(row, author.name.len() as u64);
    row.extend(author.name.as_bytes());
    row.extend(json);
}

/// Reads a row. What is no signature is left to whoever reads the document.
pub(super) fn read(row: &[u8]) -> SignedRow<'_> {
    signed(row).unwrap_or(SignedRow { at: None, actor: None, json: row })
}

fn signed(row: &[u8]) -> Option<SignedRow<'_>> {
    let rest = row.strip_prefix(&[SIGNED])?;
    let (at, rest) = rest.split_first_chunk()?;
    let at = Timestamp::from_microsecond(i64::from_le_bytes(*at)).ok()?;
    let (length, rest) = varint::read(rest)?;
    let (actor, json) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some(SignedRow { at: Some(at), actor: Some(str::from_utf8(actor).ok()?), json })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::rules::change::Actor;

    proptest! {
        #[test]
        fn what_is_written_is_read(name in ".{0,200}", json: Vec<u8>) {
            let author = Author::now(Actor::Token(name.into()), 1);
            let mut row = Vec::new();
            write(&author, &json, &mut row);
            prop_assert_eq!(read(&row), SignedRow { at: Some(author.at), actor: Some(&author.name), json: &json });
        }

        #[test]
        fn foreign_bytes_never_panic(row: Vec<u8>) {
            let _ = (read(&row), signed(&row));
        }
    }

    #[test]
    fn a_row_of_format_1_is_its_document() {
        let row = br#"{"id":"a"}"#;
        assert_eq!(read(row), SignedRow { at: None, actor: None, json: row });
    }
}
