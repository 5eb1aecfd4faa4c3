//! Downloads from a running edge.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use super::{RemoteCall, RemoteEdge};
use crate::cli::CliError;

/// Bytes of a download that are read at once.
const PIECE: usize = 64 << 10;

impl RemoteEdge {
    /// Writes the body of an answer to a file, piece by piece. Errors of the file are told by this name.
    pub(in crate::cli) fn download(&self, path: &str, file: &mut File, name: &Path) -> Result<(), CliError> {
        let mut answer = self.send(&RemoteCall::get(path).downloaded())?;
        let mut body = answer.body_mut().as_reader();
        let mut piece = vec![0; PIECE];
        loop {
            // Whose error it is, the edge's or the file's, is a different exit code.
            let read = match body.read(&mut piece) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read.map_err(|error| self.unasked(format!("the answer broke off: {error}")))?,
            };
            match piece.get(..read) {
                None | Some([]) => return Ok(()),
                Some(piece) => file
                    .write_all(piece)
                    .map_err(|source| CliError::File { path: name.to_owned(), source })?,
            }
        }
    }
}
