//! Whether files could be made or written: found without changing anything, so that a start says it before it does
//! anything by halves, and a check says the same.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat, statvfs};

/// Looks whether a file with something in it could be made at this path, with the folders on the way.
///
/// # Errors
///
/// What the system would refuse, and what would be right.
pub fn could_make(path: &Path) -> io::Result<()> {
    could_make_empty(path)?;
    let folder = existing_folder(path)?;
    if has_no_room(folder) {
        let detail = format!("no room left on the file system of the folder {}; make some", folder.display());
        return Err(io::Error::new(ErrorKind::StorageFull, detail));
    }
    Ok(())
}

/// Looks whether a file with nothing in it, such as a socket, could be made at this path, with the folders on the way.
///
/// # Errors
///
/// What the system would refuse, and what would be right.
pub fn could_make_empty(path: &Path) -> io::Result<()> {
    let folder = existing_folder(path)?;
    let shown = folder.display();
    accessible(folder, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => explained(
            &error,
            format!(
                "this user may make no files in the folder {shown}; change its owner, or set another path"
            ),
        ),
        ErrorKind::ReadOnlyFilesystem => explained(
            &error,
            format!("the folder {shown} is read-only; mount it for writing, or set another path"),
        ),
        _ => explained(&error, format!("the folder {shown} can't be written to: {error}")),
    })
}

/// Looks whether a file that is there could be written.
///
/// # Errors
///
/// What the system would refuse, and what would be right.
pub fn could_write(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.is_dir() {
        return Err(io::Error::new(ErrorKind::IsADirectory, "is a folder; set the path of a file"));
    }
    accessible(path, Access::READ_OK | Access::WRITE_OK).map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => {
            explained(&error, "this user may not read and write it; change its owner or its mode".to_owned())
        }
        ErrorKind::ReadOnlyFilesystem => explained(
            &error,
            "it is on a read-only file system; mount it for writing, or set another path".to_owned(),
        ),
        _ => error,
    })
}

/// The folder that exists already, in which the first of the missing ones would be made.
fn existing_folder(path: &Path) -> io::Result<&Path> {
    let mut folder = above(path);
    loop {
        match fs::metadata(folder) {
            Ok(found) if found.is_dir() => return Ok(folder),
            Ok(_) => {
                let detail = format!(
                    "{} is a file and no folder; move it away, or set another path",
                    folder.display()
                );
                return Err(io::Error::new(ErrorKind::NotADirectory, detail));
            }
            Err(error) if error.kind() == ErrorKind::NotFound && fs::symlink_metadata(folder).is_ok() => {
                let detail =
                    format!("{} is a link to nowhere; make the folder that it names", folder.display());
                return Err(io::Error::new(ErrorKind::NotFound, detail));
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                folder = above(folder);
            }
            Err(error) => {
                let detail = format!("the folder {} can't be looked at: {error}", folder.display());
                return Err(explained(&error, detail));
            }
        }
    }
}

/// The folder of a path, or the working folder.
fn above(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn accessible(path: &Path, access: Access) -> io::Result<()> {
    Ok(accessat(CWD, path, access, AtFlags::EACCESS)?)
}

fn has_no_room(folder: &Path) -> bool {
    statvfs(folder).is_ok_and(|system| {
        let is_full = |all: u64, free: u64| all > 0 && free == 0;
        is_full(system.f_blocks, system.f_bfree) || is_full(system.f_files, system.f_ffree)
    })
}

fn explained(error: &io::Error, detail: String) -> io::Error {
    io::Error::new(error.kind(), detail)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_could_be_made_is_told_without_making_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["new", "a/b/c/new"] {
            could_make(&at(name)).unwrap();
        }
        fs::write(at("file"), "").unwrap();
        let error = could_make(&at("file/x/new")).unwrap_err().to_string();
        assert!(
            error.ends_with("file is a file and no folder; move it away, or set another path"),
            "{error}"
        );
        std::os::unix::fs::symlink("nowhere", at("link")).unwrap();
        let error = could_make(&at("link/new")).unwrap_err().to_string();
        assert!(error.contains("link is a link to nowhere"), "{error}");
        could_write(&at("file")).unwrap();
        assert!(could_write(folder.path()).unwrap_err().to_string().contains("is a folder"));
        assert!(could_write(&at("none")).is_err());
        let mut names: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["file", "link"]);
    }
}
