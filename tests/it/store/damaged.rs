//! Stores of which a part was overwritten: what a start and `check` say of them, and what goes on.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use embedgate::rules::error::{IDS_NAMED, RulesError, StoreError};
use embedgate::rules::source::RuleSource;
use memchr::memmem;

use super::{Desk, delete, open, put, save, source, start, suffixes};
use crate::support::edge::Edge;
use crate::support::is_full;

const PAGE: usize = 4096;
const WIDGETS: usize = 200;

fn id(n: usize) -> String {
    format!("w-{n:04}")
}

fn document(n: usize, labels: &str) -> String {
    let id = id(n);
    format!(
        r#"{{"id":"{id}","allowed_domains":["site-{n}.example.com","*.shop-{n}.example.org"],"labels":{{{labels}}}}}"#
    )
}

/// A store with widgets, earlier documents and deletions, closed.
fn fill(path: &Path) {
    let publisher = open(path).unwrap();
    let was = |n: usize| if n.is_multiple_of(3) { r#""was":"earlier""# } else { "" };
    save(&publisher, (0..WIDGETS).map(|n| put(&document(n, was(n)))).collect()).unwrap();
    save(&publisher, (0..WIDGETS).step_by(3).map(|n| put(&document(n, ""))).collect()).unwrap();
    let gone = |n: usize| format!("gone-{n:04}");
    save(&publisher, (0..80).map(|n| put(&format!(r#"{{"id":"{}"}}"#, gone(n)))).collect()).unwrap();
    save(&publisher, (0..80).map(|n| delete(&gone(n))).collect()).unwrap();
}

/// How one page is overwritten.
#[derive(Clone, Copy, Debug)]
enum Overwritten {
    Zeros,
    Noise,
    OtherPage,
}

const KINDS: [Overwritten; 3] = [Overwritten::Zeros, Overwritten::Noise, Overwritten::OtherPage];

impl Overwritten {
    /// The file with this page overwritten; `None` where that changes nothing.
    fn apply(self, whole: &[u8], page: usize) -> Option<Vec<u8>> {
        let (at, pages) = (page * PAGE, whole.len() / PAGE);
        let mut bytes = whole.to_vec();
        let written = &mut bytes[at..at + PAGE];
        match self {
            Self::Zeros => written.fill(0),
            Self::Noise => {
                let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ page as u64;
                written.fill_with(|| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    state.to_le_bytes()[3]
                });
            }
            Self::OtherPage => {
                let other = (page + 1 + page % 7) % pages * PAGE;
                written.copy_from_slice(&whole[other..other + PAGE]);
            }
        }
        (bytes != whole).then_some(bytes)
    }
}

/// What `check` reads: everything, every document.
fn checked(path: &Path) -> Result<usize, RulesError> {
    let mut documents = 0;
    for page in source(path).documents(suffixes())? {
        documents += page?.len();
    }
    Ok(documents)
}

/// The widgets with rows in this page, where it is one of documents or of rules.
fn in_page(page: &[u8]) -> Option<BTreeSet<String>> {
    const LEAF: u8 = 1;
    let has = |text: &str| memmem::find(page, text.as_bytes()).is_some();
    let ids: BTreeSet<String> = (0..WIDGETS).map(id).filter(|id| has(id)).collect();
    (page[0] == LEAF && !has("earlier") && !ids.is_empty()).then_some(ids)
}

/// Everything that can be done with a store that was accepted.
fn serves(path: &Path, case: &str) {
    let publisher = start(path).unwrap();
    assert_eq!(publisher.live().load().len(), WIDGETS, "{case}");
    for n in 0..WIDGETS {
        let found = publisher.documents().get(&id(n)).unwrap_or_else(|error| panic!("{case}: {error}"));
        assert!(found.is_some(), "{case}");
    }
    let all = |change: fn(usize) -> _| (0..WIDGETS).map(change).collect::<Vec<_>>();
    save(&publisher, vec![put(&document(7, r#""n":"0""#))]).unwrap();
    save(&publisher, all(|n| put(&document(n, r#""n":"1""#))))
        .unwrap_or_else(|error| panic!("{case}: {error}"));
    save(&publisher, vec![put(r#"{"id":"gone-0007"}"#)]).unwrap();
    save(&publisher, vec![delete("gone-0007")]).unwrap();
    save(&publisher, all(|n| delete(&id(n)))).unwrap_or_else(|error| panic!("{case}: {error}"));
    drop(publisher);
    assert_eq!(checked(path).unwrap(), 0, "{case}");
}

/// Overwrites every page in turn, and holds what a start and `check` say against what was in it. At the small scale one
/// case of `every` so many.
fn overwrite(desk: &Desk, whole: &[u8], closed: bool, every: usize) -> (usize, usize) {
    let path = desk.store();
    let pages = whole.len() / PAGE;
    let cases = (0..pages).flat_map(|page| KINDS.map(|kind| (page, kind)));
    let every = if is_full() { 1 } else { every };
    let (mut refused, mut accepted, mut named) = (0, 0, 0);
    for (page, kind) in cases.step_by(every) {
        let Some(bytes) = kind.apply(whole, page) else { continue };
        let case = format!("page {page} of {pages}, {kind:?}");
        fs::write(&path, &bytes).unwrap();
        let found = checked(&path);
        if found.is_ok() && !closed {
            // `check` has closed it.
            fs::write(&path, &bytes).unwrap();
        }
        let started = start(&path).map(|publisher| publisher.live().load().len());
        assert_eq!(found.as_ref().ok(), started.as_ref().ok(), "{case}");
        let Err(error) = started else {
            fs::write(&path, &bytes).unwrap();
            serves(&path, &case);
            accepted += 1;
            continue;
        };
        refused += 1;
        assert_eq!(error.to_string(), found.unwrap_err().to_string(), "{case}");
        assert!(!closed || fs::read(&path).unwrap() == bytes, "{case}: it was written to");
        let RulesError::Store(StoreError::Damaged { loss, .. }) = &error else { panic!("{case}: {error}") };
        let Some(loss) = loss else {
            assert_eq!(page, 0, "only without its head it is no store: {case}: {error}");
            continue;
        };
        if let Some(ids) = in_page(&whole[page * PAGE..][..PAGE]) {
            let some: Vec<&str> = ids.iter().map(String::as_str).take(IDS_NAMED).collect();
            let told: Vec<&str> = loss.ids.iter().map(|id| &**id).collect();
            assert_eq!(loss.widgets, WIDGETS as u64, "{case}: {error}");
            match kind {
                // It may be an earlier state of the same page.
                Overwritten::OtherPage => {
                    assert!(loss.lost > 0 && told.iter().all(|id| ids.contains(*id)), "{case}: {error}");
                }
                _ => assert_eq!((loss.lost, told), (ids.len() as u64, some), "{case}: {error}"),
            }
            let says = format!("{} of its 200 widgets can't be read: ", loss.lost);
            assert!(error.to_string().contains(&says), "{case}: {error}");
            named += 1;
        }
    }
    assert!(named > 2, "too few pages with widgets: {named}");
    (refused, accepted)
}

#[test]
fn a_start_and_check_agree_on_every_overwritten_page() {
    let desk = Desk::new();
    fill(&desk.store());
    let whole = fs::read(desk.store()).unwrap();
    let (refused, accepted) = overwrite(&desk, &whole, true, 4);
    assert!(
        refused + accepted >= 40 && refused >= 15 && accepted >= 3,
        "{refused} refused, {accepted} accepted"
    );
}

#[test]
fn they_agree_on_stores_that_were_not_closed() {
    let desk = Desk::new();
    fill(&desk.store());
    let publisher = start(&desk.store()).unwrap();
    save(&publisher, vec![put(&document(1, r#""n":"0""#))]).unwrap();
    // What a kill leaves.
    let left = Desk::new();
    fs::copy(desk.store(), left.store()).unwrap();
    drop(publisher);
    let whole = fs::read(left.store()).unwrap();
    let (refused, accepted) = overwrite(&left, &whole, false, 8);
    assert!(refused >= 8 && accepted >= 3, "{refused} refused, {accepted} accepted");
}

/// The program in a folder with the shipped configuration, and its store at this path.
fn program(folder: &Path, store: &Path) -> Command {
    if !folder.join("conf").exists() {
        fs::create_dir(folder.join("conf")).unwrap();
        fs::copy("conf/embedgate.toml", folder.join("conf/embedgate.toml")).unwrap();
    }
    let mut command = Edge::command(folder);
    command.env("EMBEDGATE__RULES__STORE__PATH", store);
    command
}

fn said(ran: &Output) -> String {
    [&*ran.stdout, &*ran.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

#[test]
fn people_are_told_which_widgets_are_lost_and_what_to_do() {
    let desk = Desk::new();
    fill(&desk.store());
    let whole = fs::read(desk.store()).unwrap();
    let lost = (0..whole.len() / PAGE).find_map(|page| Some((page, in_page(&whole[page * PAGE..][..PAGE])?)));
    let (page, ids) = lost.unwrap();
    for kind in KINDS {
        fs::write(desk.store(), kind.apply(&whole, page).unwrap()).unwrap();
        let count = ids.len();
        for arguments in [
            &["run"][..],
            &["check"],
            &["lint"],
            &["explain", "--widget", "w-0001"],
            &["widgets", "export"],
            &["backup", "copy.redb"],
        ] {
            let ran = program(desk.0.path(), &desk.store()).args(arguments).output().unwrap();
            let said = said(&ran);
            assert_eq!(ran.status.code(), Some(1), "{kind:?}, {arguments:?}: {said}");
            for part in [
                "rules.redb: this store is damaged: ",
                &format!("{count} of its 200 widgets can't be read: {}", ids.first().unwrap()),
                "put back a copy with `embedgate restore FILE`, or move it away and start once with `embedgate run \
                 --new-store`",
            ] {
                assert!(said.contains(part), "{kind:?}, {arguments:?}: {said}");
            }
            assert!(!said.contains("panicked"), "{kind:?}, {arguments:?}: {said}");
        }
        assert!(!desk.0.path().join("copy.redb").exists());
    }
}

#[test]
fn whatever_is_no_store_is_told_by_every_command() {
    let desk = Desk::new();
    fill(&desk.store());
    let (store, whole) = (desk.store(), fs::read(desk.store()).unwrap());
    let damaged = "rules.redb: this store is damaged";
    let cases: [(&str, &dyn Fn(), &str); 10] = [
        ("empty", &|| fs::write(&store, "").unwrap(), damaged),
        ("text", &|| fs::write(&store, "{\"widgets\": []}").unwrap(), damaged),
        ("zeros", &|| fs::write(&store, [0; 80_000]).unwrap(), damaged),
        ("a cut head", &|| fs::write(&store, &whole[..200]).unwrap(), damaged),
        ("a head alone", &|| fs::write(&store, &whole[..PAGE]).unwrap(), damaged),
        ("half of it", &|| fs::write(&store, &whole[..whole.len() / 2]).unwrap(), damaged),
        ("all but a byte", &|| fs::write(&store, &whole[..whole.len() - 1]).unwrap(), damaged),
        ("a folder", &|| fs::create_dir(&store).unwrap(), "is a folder"),
        (
            "a link to nowhere",
            &|| symlink("nowhere", &store).unwrap(),
            "is a link to a file that is not there",
        ),
        (
            "somebody else's",
            &|| {
                fs::write(&store, &whole).unwrap();
                fs::set_permissions(&store, fs::Permissions::from_mode(0o600)).unwrap();
            },
            "rules.redb: Permission denied|rules.redb: this user may not read and write it",
        ),
    ];
    let elsewhere = tempfile::tempdir().unwrap();
    for (folder, mode) in [(desk.0.path(), 0o755), (elsewhere.path(), 0o777)] {
        fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
    }
    for (name, make, says) in cases {
        let _ = fs::remove_file(&store);
        let _ = fs::remove_dir(&store);
        make();
        for arguments in [&["run"][..], &["check"], &["widgets", "export"]] {
            let mut command = match name {
                "somebody else's" => program(elsewhere.path(), &store),
                _ => program(desk.0.path(), &store),
            };
            if name == "somebody else's" {
                command.uid(65_534).gid(65_534);
            }
            command.args(arguments);
            let ran = command.output().unwrap();
            let said = said(&ran);
            let told = says.split('|').any(|says| said.contains(says));
            assert!(ran.status.code() == Some(1) && told, "{name}, {arguments:?}: {said}");
            assert!(!said.contains("panicked"), "{name}, {arguments:?}: {said}");
        }
    }
}
