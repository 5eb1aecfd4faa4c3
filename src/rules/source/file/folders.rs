//! Folders that tell of changes to a path, and notifications from them.
//!
//! A file is never watched itself: a rename over it, the usual way to save, leaves such a watch with the old
//! file. And a path may lead over links in any of its parts (`current/rules.json`, or the `..data` link that
//! Kubernetes swaps under a mounted file), each of which can be turned elsewhere where it lies.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// As many links as Linux follows in one path.
const MAX_LINKS: usize = 40;

/// Watch on the folders that matter to one path.
pub(super) struct Folders {
    /// `None` where the system gives none; then only looking now and then is left.
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    refused: BTreeSet<PathBuf>,
}

impl Folders {
    /// Wakes `changed` whenever something happened in a folder that is followed.
    pub(super) fn new(changed: Arc<Notify>) -> Self {
        let on_event = move |event: notify::Result<Event>| {
            if event.map_or(true, |event| is_change(event.kind)) {
                changed.notify_one();
            }
        };
        let watcher = notify::recommended_watcher(on_event)
            .inspect_err(
                |error| tracing::warn!(%error, "no file notifications; looking now and then instead"),
            )
            .ok();
        Self { watcher, watched: BTreeSet::new(), refused: BTreeSet::new() }
    }

    /// Listens where `path` leads now. `renew` listens again also where it did: a folder that was replaced by
    /// another of its name is a new one to the system.
    pub(super) fn follow(&mut self, path: &Path, renew: bool) {
        let Some(watcher) = &mut self.watcher else { return };
        let wanted = folders_of(path);
        for folder in self.watched.difference(&wanted) {
            // Fails where the folder is gone, and the watch with it.
            let _ = watcher.unwatch(folder);
        }
        self.watched.retain(|folder| wanted.contains(folder));
        for folder in wanted {
            if !renew && self.watched.contains(&folder) {
                continue;
            }
            match watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.refused.remove(&folder);
                    self.watched.insert(folder);
                }
                Err(error) => {
                    self.watched.remove(&folder);
                    let (shown, is_news) = (folder.display().to_string(), self.refused.insert(folder));
                    if is_news {
                        tracing::warn!(folder = shown, %error, "not notified of changes here; looking now and then");
                    }
                }
            }
        }
    }
}

/// Reading is an event too, and ours would wake us for ever.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

/// The real folders in which a link or a name on the way to `path` can be changed, the folder of what it leads
/// to, and that itself where it is a folder. Where the way ends early, the last folder that exists.
fn folders_of(path: &Path) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    let Ok(path) = std::path::absolute(path) else { return folders };
    let mut ahead: VecDeque<PathBuf> = parts(&path).collect();
    let mut here = PathBuf::new();
    let mut links = 0;
    while let Some(part) = ahead.pop_front() {
        let next = match part.as_os_str().as_encoded_bytes() {
            b".." => {
                here.pop();
                continue;
            }
            _ => here.join(&part),
        };
        let is_last = ahead.is_empty();
        match std::fs::symlink_metadata(&next) {
            Ok(metadata) if metadata.is_symlink() && links < MAX_LINKS => {
                links += 1;
                folders.insert(here.clone());
                let Ok(target) = std::fs::read_link(&next) else { break };
                if target.is_absolute() {
                    here = PathBuf::new();
                }
                for part in parts(&target).collect::<Vec<_>>().into_iter().rev() {
                    ahead.push_front(part);
                }
            }
            Ok(metadata) => {
                if is_last {
                    folders.insert(here.clone());
                }
                if is_last && metadata.is_dir() {
                    folders.insert(next.clone());
                }
                here = next;
            }
            Err(_) => {
                folders.insert(here);
                break;
            }
        }
    }
    folders.retain(|folder| folder.is_dir());
    folders
}

/// The parts of a path, the root among them, without those that say nothing.
fn parts(path: &Path) -> impl Iterator<Item = PathBuf> + '_ {
    path.components()
        .filter(|component| !matches!(component, Component::CurDir))
        .map(|component| PathBuf::from(component.as_os_str()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::fs;
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn below(root: &Path, path: &str) -> Vec<String> {
        let name = |folder: PathBuf| folder.strip_prefix(root).unwrap().display().to_string();
        folders_of(&root.join(path)).into_iter().map(name).collect()
    }

    #[test]
    fn every_folder_on_the_way_that_can_turn_it_is_followed() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().canonicalize().unwrap();
        for folder in ["conf", "mount/..2024", "releases/1/conf", "rules"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for file in ["conf/w.json", "mount/..2024/w.json", "releases/1/conf/w.json", "rules/a.json"] {
            fs::write(root.join(file), "{}").unwrap();
        }
        symlink("..2024", root.join("mount/..data")).unwrap();
        symlink("..data/w.json", root.join("mount/w.json")).unwrap();
        symlink(root.join("releases/1"), root.join("current")).unwrap();
        symlink("self", root.join("self")).unwrap();

        assert_eq!(below(&root, "conf/w.json"), ["conf"]);
        assert_eq!(below(&root, "conf/./../conf/w.json"), ["conf"]);
        assert_eq!(below(&root, "mount/w.json"), ["mount", "mount/..2024"]);
        assert_eq!(below(&root, "current/conf/w.json"), ["", "releases/1/conf"]);
        assert_eq!(below(&root, "rules"), ["", "rules"]);
        assert_eq!(below(&root, "conf/none.json"), ["conf"]);
        assert_eq!(below(&root, "none/deep/w.json"), [""]);
        assert_eq!(below(&root, "self/w.json"), [""]);
    }

    #[tokio::test]
    async fn a_folder_that_replaced_another_is_listened_to_again() {
        let temp = tempfile::tempdir().unwrap();
        let (folder, file) = (temp.path().join("rules"), temp.path().join("rules/w.json"));
        fs::create_dir(&folder).unwrap();
        fs::write(&file, "1").unwrap();
        let changed = Arc::new(Notify::new());
        let mut folders = Folders::new(Arc::clone(&changed));
        folders.follow(&file, true);
        fs::rename(&folder, temp.path().join("old")).unwrap();
        fs::create_dir(&folder).unwrap();
        fs::write(&file, "2").unwrap();
        folders.follow(&file, true);

        let quiet = Duration::from_millis(100);
        while timeout(quiet, changed.notified()).await.is_ok() {}
        fs::write(&file, "3").unwrap();
        timeout(Duration::from_secs(2), changed.notified()).await.expect("told of the new folder");
        while timeout(quiet, changed.notified()).await.is_ok() {}
        assert_eq!(fs::read(&file).unwrap(), b"3");
        assert!(timeout(quiet, changed.notified()).await.is_err(), "reading is no change");
    }

    #[test]
    fn reading_is_no_change() {
        assert!(!is_change(EventKind::Access(AccessKind::Open(AccessMode::Any))));
        assert!(!is_change(EventKind::Access(AccessKind::Close(AccessMode::Read))));
        assert!(is_change(EventKind::Access(AccessKind::Close(AccessMode::Write))));
        assert!(is_change(EventKind::Any));
    }
}
