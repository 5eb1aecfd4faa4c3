//! Whether files could be made or written: found without changing anything, so that a start says it before it does
//! anything by halves, and a check says the same.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat, statvfs};
use rustix::process::geteuid;

/// Most links that are followed one after the other, as by the system.
const MOST_LINKS: usize = 40;

/// Looks whether a file with something in it could be made at this path, with the folders on the way.
///
/// # Errors
///
/// What the system would refuse, and what would be right.
pub fn could_make(path: &Path) -> io::Result<()> {
    leads_somewhere(path)?;
    could_make_empty(path)?;
    let folder = existing_folder(path)?;
    if has_no_room(folder) {
        let detail = format!("no room left on the file system of the folder {}; make some", folder.display());
        return Err(io::Error::new(ErrorKind::StorageFull, detail));
    }
    Ok(())
}

/// Looks whether a file with nothing in it, such as a socket, could be made at this path, with the folders on the way.
/// A link there is replaced.
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

/// Looks whether a file that is there could be read and written.
///
/// # Errors
///
/// What the system would refuse, and what would be right.
pub fn could_write(path: &Path) -> io::Result<()> {
    could_use(path, Access::READ_OK | Access::WRITE_OK, "read and write")
}

/// Looks whether something could be added to the file at this path, which is made if it is not there. A link leads to it,
/// too.
///
/// # Errors
///
/// What the system would refuse, and what would be right.
pub fn could_append(path: &Path) -> io::Result<()> {
    if path.exists() {
        return could_use(path, Access::WRITE_OK, "write");
    }
    let end = end_of_links(path)?;
    if end == path {
        return could_make(path);
    }
    let folder = above(&end);
    if !folder.is_dir() {
        // Folders are made on the way to a link, but not on the way to what it names.
        let detail = format!("is a link into the folder {}, which is not there; make it", folder.display());
        return Err(io::Error::new(ErrorKind::NotFound, detail));
    }
    could_make(&end)
}

fn could_use(path: &Path, access: Access, verbs: &str) -> io::Result<()> {
    if fs::metadata(path)?.is_dir() {
        return Err(io::Error::new(ErrorKind::IsADirectory, "is a folder; set the path of a file"));
    }
    accessible(path, access).map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => {
            explained(&error, format!("this user may not {verbs} it; change its owner or its mode"))
        }
        ErrorKind::ReadOnlyFilesystem => explained(
            &error,
            "it is on a read-only file system; mount it for writing, or set another path".to_owned(),
        ),
        _ => error,
    })
}

/// A link to nowhere is no place for a new file: what is made in one go replaces no name that is there.
fn leads_somewhere(path: &Path) -> io::Result<()> {
    let is_link = fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
    let Err(error) = fs::metadata(path) else { return Ok(()) };
    match error.kind() {
        _ if !is_link => Ok(()),
        ErrorKind::NotFound => {
            let detail = "is a link to a file that is not there; put the file there, or take the link away";
            Err(io::Error::new(ErrorKind::NotFound, detail))
        }
        _ => Err(explained(&error, format!("is a link that can't be followed: {error}"))),
    }
}

/// Where the links from this path on end.
fn end_of_links(path: &Path) -> io::Result<PathBuf> {
    let mut end = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&end) {
            Ok(target) => end = above(&end).join(target),
            Err(_) => return Ok(end),
        }
    }
    let detail = "is a link that leads back to itself; take it away";
    Err(io::Error::new(ErrorKind::InvalidInput, detail))
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
        // What is set aside for root is room for root alone.
        let (blocks, files) = match geteuid().is_root() {
            true => (system.f_bfree, system.f_ffree),
            false => (system.f_bavail, system.f_favail),
        };
        is_full(system.f_blocks, blocks) || is_full(system.f_files, files)
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
        let error = could_make(&at("link")).unwrap_err().to_string();
        assert!(error.starts_with("is a link to a file that is not there"), "{error}");
        could_make_empty(&at("link")).unwrap();
        could_write(&at("file")).unwrap();
        assert!(could_write(folder.path()).unwrap_err().to_string().contains("is a folder"));
        assert!(could_write(&at("none")).is_err());
        let mut names: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["file", "link"]);
    }

    #[test]
    fn a_link_leads_to_the_file_that_is_appended_to() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let link = |target: &str, name: &str| std::os::unix::fs::symlink(target, at(name)).unwrap();
        link("new", "link");
        link("link", "second");
        link("none/new", "astray");
        link("round", "round");
        for name in ["new", "a/b/new", "link", "second"] {
            could_append(&at(name)).unwrap();
        }
        for (name, says) in [("astray", "none, which is not there; make it"), ("round", "back to itself")] {
            let error = could_append(&at(name)).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        assert!(could_append(folder.path()).unwrap_err().to_string().contains("is a folder"));
        // As it is done.
        fs::OpenOptions::new().append(true).create(true).open(at("second")).unwrap();
        assert!(could_append(&at("second")).is_ok() && at("new").exists());
    }
}
