//! The file: what is kept over a restart, and what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs::File;
use std::io::{Seek, SeekFrom, Write as _};
use std::time::Duration;

use jiff::Timestamp;
use tempfile::TempDir;

use super::*;
use crate::rules::change::{Actor, ApplyOptions, Change};
use crate::rules::error::{RulesError, SaveError};
use crate::rules::fixtures::{Notebook, delete, newer_suffixes, put};
use crate::rules::live::LiveRules;
use crate::rules::publisher::Publisher;
use crate::rules::shared::BucketPosition;
use crate::rules::source::store::StoreSource;
use crate::rules::source::{RuleSource, SourceKind};
use crate::rules::storage::share::{KeptContact, ShareCommit};
use crate::rules::storage::{Author, SignedWrite};
use crate::rules::tombstone::Tombstone;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn store(&self) -> PathBuf {
        self.0.path().join("data/rules.redb")
    }

    fn seed(&self) -> PathBuf {
        self.0.path().join("widgets.json")
    }

    fn source(&self) -> StoreSource {
        StoreSource::new(self.store(), self.seed())
    }

    fn start(&self) -> Result<Arc<Publisher>, RulesError> {
        let publisher = Publisher::new(LiveRules::new(), SourceKind::STORE, "rules.redb");
        self.source().start(publisher, suffixes()).map(|started| started.publisher)
    }

    fn refusal(&self) -> RulesError {
        self.start().map(|publisher| publisher.live().load().len()).expect_err("it started")
    }

    /// A store with some widgets, closed.
    fn filled() -> Self {
        let folder = Self::new();
        let publisher = folder.start().unwrap();
        let batch =
            (0..200).map(|n| put(&format!("w{n:03}"), &["example.com", "*.example.org"], "")).collect();
        save(&publisher, batch).unwrap();
        folder
    }
}

fn suffixes() -> Arc<PublicSuffixes> {
    Arc::new(PublicSuffixes::shipped().clone())
}

fn save(publisher: &Publisher, changes: Vec<Change>) -> Result<u64, SaveError> {
    publisher
        .apply(changes, ApplyOptions::default(), Actor::CommandLine)
        .map(|published| published.generation)
}

/// Everything that a book says.
fn contents(book: &RuleBook) -> Vec<String> {
    let widgets = book.widgets().map(|rules| format!("{rules:?}"));
    let mut all: Vec<String> =
        widgets.chain(book.tombstones().map(|(id, tombstone)| format!("{id} {tombstone:?}"))).collect();
    all.sort_unstable();
    all
}

#[test]
fn a_restart_finds_everything_as_it_was() {
    let folder = Folder::new();
    let publisher = folder.start().unwrap();
    let first = vec![
        put("a", &["example.com", "*.example.org"], r#""labels":{"k":"v"},"revision":41"#),
        put("b", &["b.example"], ""),
        put("c", &[], ""),
        put(&"x".repeat(64), &[], r#""access":"enforce""#),
    ];
    assert_eq!(save(&publisher, first).unwrap(), 1);
    save(&publisher, vec![delete("b", None), delete("c", None), delete("unheard", Some(9))]).unwrap();
    let (before, census) = (contents(&publisher.live().load()), publisher.live().load().census().clone());
    let page = publisher.documents().page(None, 10).unwrap();
    drop(publisher);

    let publisher = folder.start().unwrap();
    let book = publisher.live().load_full();
    assert_eq!((contents(&book), book.census()), (before, &census));
    assert_eq!(book.generation(), 2);
    assert_eq!(book.tombstone("b"), Some(Tombstone { revision: 2, was_restricted: true, withdrawn: None }));
    assert_eq!(publisher.documents().page(None, 10).unwrap(), page);
    assert_eq!(publisher.documents().get("a").unwrap().unwrap().labels["k"], "v");

    // The same document is known again, a late push is late, a generation is never used twice.
    assert_eq!(
        save(&publisher, vec![put("a", &["EXAMPLE.com", "*.example.org"], r#""labels":{"k":"v"}"#)]).unwrap(),
        2
    );
    let refused = |change: Change| save(&publisher, vec![change]).unwrap_err().code();
    assert_eq!(refused(put("a", &["x.example"], r#""revision":41"#)), "stale_revision");
    assert_eq!(refused(put("b", &["x.example"], r#""revision":2"#)), "stale_revision");
    assert_eq!(refused(put("b", &[], "")), "would_open_widget");
    assert_eq!(refused(put("a", &[], "")), "would_open_widget");
    save(&publisher, vec![put("c", &[], "")]).unwrap();
    assert_eq!(save(&publisher, vec![put("b", &["x.example"], "")]).unwrap(), 4);
}

#[test]
fn two_readers_take_every_row_once() {
    for count in [1, 1023, 1024, 1025, 2049, 6000] {
        let folder = Folder::new();
        let publisher = folder.start().unwrap();
        let batch = (0..count).map(|n| put(&format!("w{}", n * 7), &["example.com"], "")).collect();
        save(&publisher, batch).unwrap();
        let before = contents(&publisher.live().load());
        drop(publisher);
        let book = folder.start().unwrap().live().load_full();
        assert_eq!((book.len(), contents(&book) == before), (count, true));
    }
}

#[test]
fn a_killed_edge_leaves_nothing_to_repair() {
    let folder = Folder::filled();
    let publisher = folder.start().unwrap();
    save(&publisher, vec![put("w001", &["x.example"], ""), delete("w002", None)]).unwrap();
    // The file as it is while the edge has it open is what a kill leaves.
    let left = folder.0.path().join("left.redb");
    fs::copy(folder.store(), &left).unwrap();
    let mut builder = StoreUse::Edge.builder();
    builder.set_repair_callback(|session| session.abort());
    let database = builder.open(&left).expect("opened without a repair");
    assert_eq!(Meta::read(&database).unwrap().unwrap().generation, 2);
}

#[test]
fn a_new_store_is_made_of_the_seed_once() {
    let folder = Folder::new();
    let seed = |text: &str| fs::write(folder.seed(), text).unwrap();
    seed(r#"{"widgets":[{"id":"a","allowed_domains":["a.example"],"revision":7},{"id":"b"}]}"#);
    let publisher = folder.start().unwrap();
    assert_eq!(publisher.live().load().generation(), 1);
    assert_eq!(publisher.live().load().get("a").unwrap().revision, 7);
    save(&publisher, vec![delete("a", None)]).unwrap();
    drop(publisher);

    seed(r#"{"widgets":[{"id":"c"}]}"#);
    let publisher = folder.start().unwrap();
    let ids: Vec<String> =
        publisher.documents().page(None, 9).unwrap().iter().map(|w| w.id.to_string()).collect();
    assert_eq!(ids, ["b"], "the seed counts no more");
}

#[test]
fn a_seed_with_faults_makes_no_store_and_no_seed_an_empty_one() {
    let folder = Folder::new();
    fs::write(folder.seed(), r#"{"widgets":[{"id":"a","allowed_domains":["*"]}]}"#).unwrap();
    let error = folder.refusal();
    assert!(error.to_string().contains("widgets.json:1:"), "{error}");
    assert!(!folder.store().exists());

    fs::write(folder.seed(), r#"{"widgets":[{"id":"a"}]}"#).unwrap();
    assert_eq!(
        folder.start().unwrap().live().load().len(),
        1,
        "what the first start left behind is no hindrance"
    );

    let bare = Folder::new();
    assert_eq!(bare.start().unwrap().live().load().len(), 0);
    assert!(bare.store().exists());
    fs::write(bare.seed(), r#"{"widgets":[{"id":"a"}]}"#).unwrap();
    assert_eq!(bare.start().unwrap().live().load().len(), 0, "it is a store, and empty");
}

#[test]
fn leftovers_of_a_start_that_was_killed_are_made_anew() {
    let folder = Folder::new();
    fs::create_dir_all(folder.store().parent().unwrap()).unwrap();
    let unfinished = folder.store().with_extension("redb.new");
    for leftover in [&b""[..], b"half a page", &[0; 10_000]] {
        fs::write(&unfinished, leftover).unwrap();
        drop(folder.start().unwrap());
        assert!(!unfinished.exists());
        fs::remove_file(folder.store()).unwrap();
    }
    // Seeded, but not established.
    drop(Folder::filled().start().unwrap());
    let filled = Folder::filled();
    fs::rename(filled.store(), &unfinished).unwrap();
    assert_eq!(folder.start().unwrap().live().load().len(), 0);
    // One beside a whole store, which somebody has put there meanwhile, would tell of a first start for ever.
    fs::write(&unfinished, "half a page").unwrap();
    drop(folder.start().unwrap());
    assert!(!unfinished.exists());
}

#[test]
fn a_store_in_use_says_so() {
    let folder = Folder::filled();
    let publisher = folder.start().unwrap();
    let error = folder.refusal();
    assert_eq!(error.code(), "store_locked");
    assert!(error.to_string().contains("rules.redb: another process has this store open"), "{error}");
    drop(publisher);
    folder.start().unwrap();
}

#[test]
fn a_store_of_a_newer_version_is_left_alone() {
    let folder = Folder::filled();
    {
        let database = StoreUse::Edge.builder().open(folder.store()).unwrap();
        let meta = Meta { format: FORMAT + 1, ..Meta::read(&database).unwrap().unwrap() };
        let transaction = database.begin_write().unwrap();
        meta.write(&transaction).unwrap();
        transaction.commit().unwrap();
    }
    let error = folder.refusal();
    assert_eq!(error.code(), "store_newer");
    assert!(error.to_string().contains("format 4, this version knows 3"), "{error}");
    let database = StoreUse::Edge.builder().open(folder.store()).unwrap();
    assert_eq!(Meta::read(&database).unwrap().unwrap().format, FORMAT + 1);
}

#[test]
fn rules_of_another_format_are_compiled_anew() {
    let folder = Folder::filled();
    let publisher = folder.start().unwrap();
    let before = contents(&publisher.live().load());
    drop(publisher);
    {
        let database = StoreUse::Edge.builder().open(folder.store()).unwrap();
        let meta = Meta { row_format: 0, ..Meta::read(&database).unwrap().unwrap() };
        let transaction = database.begin_write().unwrap();
        transaction.open_table(tables::RULES).unwrap().insert("w000", &b"of old"[..]).unwrap();
        meta.write(&transaction).unwrap();
        transaction.commit().unwrap();
    }
    for _ in 0..2 {
        let publisher = folder.start().unwrap();
        assert_eq!(contents(&publisher.live().load()), before);
        assert_eq!(save(&publisher, vec![put("w001", &["example.com", "*.example.org"], "")]).unwrap(), 1);
    }
}

#[test]
fn whatever_is_no_store_is_refused_and_left_as_it_is() {
    let folder = Folder::filled();
    let whole = fs::read(folder.store()).unwrap();
    let cut = &whole[..whole.len() / 2];
    let mut zeroed = whole.clone();
    zeroed[4096..].fill(0);
    for (name, bytes) in
        [("empty", &b""[..]), ("text", b"{}"), ("zeros", &[0; 8192]), ("cut", cut), ("zeroed pages", &zeroed)]
    {
        fs::write(folder.store(), bytes).unwrap();
        let error = folder.refusal();
        assert_eq!(error.code(), "store_damaged", "{name}: {error}");
        assert!(error.to_string().contains("rules.redb: this store is damaged"), "{name}: {error}");
    }

    let bare = Folder::new();
    fs::create_dir_all(bare.store().parent().unwrap()).unwrap();
    drop(redb::Builder::new().create(bare.store()).unwrap());
    assert_eq!(bare.refusal().code(), "store_damaged", "a database without rules");
}

#[test]
fn flipped_bits_are_noticed_or_do_no_harm() {
    let folder = Folder::filled();
    let whole = fs::read(folder.store()).unwrap();
    let expected = contents(&folder.start().unwrap().live().load());
    fs::write(folder.store(), &whole).unwrap();
    let mut noticed = 0;
    for n in 0..60_usize {
        let place = 64 + n * 7919 % (whole.len() - 64);
        let mut file = File::options().write(true).open(folder.store()).unwrap();
        file.seek(SeekFrom::Start(place as u64)).unwrap();
        file.write_all(&[whole[place] ^ 0x10]).unwrap();
        drop(file);
        match folder.start() {
            Ok(publisher) => assert_eq!(contents(&publisher.live().load()), expected, "byte {place}"),
            Err(error) => {
                assert_eq!(error.code(), "store_damaged", "byte {place}: {error}");
                noticed += 1;
            }
        }
        fs::write(folder.store(), &whole).unwrap();
    }
    assert!(noticed > 0, "no flip met the rules");
}

#[test]
fn a_document_stays_readable_when_a_suffix_becomes_public() {
    let folder = Folder::new();
    let publisher = folder.start().unwrap();
    save(&publisher, vec![put("a", &["*.example.org"], "")]).unwrap();
    drop(publisher);
    let newer = Arc::new(newer_suffixes());
    let (store, _) = RuleStore::open(&folder.store(), newer, StoreUse::Edge, Reading::Whole).unwrap();
    assert_eq!(store.get("a").unwrap().unwrap().allowed_domains.len(), 1);
}

#[test]
fn a_start_is_told_to_observers() {
    let folder = Folder::filled();
    let notebook = Notebook::new();
    let publisher = Publisher::new(LiveRules::new(), SourceKind::STORE, "").with_observer(notebook.clone());
    folder.source().start(publisher, suffixes()).unwrap();
    assert_eq!(notebook.generations(), [1]);
}

#[test]
fn a_commit_that_was_answered_as_failed_is_taken_back() {
    let folder = Folder::filled();
    // So that its history is full.
    let publisher = folder.start().unwrap();
    for n in 0..20 {
        save(&publisher, vec![put("w001", &[&format!("n{n}.example")], "")]).unwrap();
    }
    drop(publisher);
    let (store, book) = RuleStore::open(&folder.store(), suffixes(), StoreUse::Edge, Reading::Whole).unwrap();
    let before = contents(&book);
    let ids = ["w001", "w002", "new"];
    let history = |store: &RuleStore| ids.map(|id| store.history(id).unwrap());
    let past = history(&store);
    assert_eq!(past.each_ref().map(Vec::len), [20, 1, 0]);
    let changes = [
        put("w001", &["x.example"], ""),
        delete("w002", None),
        put("new", &[], ""),
        put("w001", &["y.example"], ""),
    ];
    // The next generation, and that of the store, which what could not be kept before is written with.
    for generation in [22, 21] {
        let applied = book.apply(&changes, ApplyOptions::default()).unwrap();
        let author = Author::now(Actor::CommandLine, generation);
        let signed = |write| SignedWrite { write, author: Arc::clone(&author) };
        let keys = vec![(WidgetId::parse("w001").unwrap(), Some(SharedKey { sequence: 3, term: 9 }))];
        let commit = Commit {
            generation,
            writes: applied.writes.into_iter().map(signed).collect(),
            share: Some(ShareCommit { keys, position: Some(POSITION) }),
        };
        let database = store.handle.database().unwrap();
        let pending = PendingCommit::write(&store.handle, &database, &commit).unwrap();
        drop(database);
        // It reached the disk, the answer said no, and nobody could look.
        store.handle.leave_uncertain(pending.into_uncertain_after_commit());
        assert_eq!(store.get("w001").unwrap().unwrap().revision, Some(21));
        assert_eq!(history(&store), past, "{generation}");
        assert_eq!(
            (store.share(), store.shared_keys(&["w001"]).unwrap()),
            (KeptShare::default(), vec![None])
        );
    }
    drop(store);
    let (_, book) = RuleStore::open(&folder.store(), suffixes(), StoreUse::Edge, Reading::Whole).unwrap();
    assert_eq!((contents(&book), book.generation()), (before, 21));
}

const POSITION: BucketPosition = BucketPosition { created: u64::MAX, sequence: 7, written: 8, followed: 9 };

#[test]
fn what_is_kept_of_a_bucket_is_there_after_a_restart() {
    let folder = Folder::filled();
    let open = || RuleStore::open(&folder.store(), suffixes(), StoreUse::Edge, Reading::Whole).unwrap();
    let id = |text: &str| WidgetId::parse(text).unwrap();
    let key = |sequence, term| Some(SharedKey { sequence, term });
    let (store, book) = open();
    assert_eq!(store.share(), KeptShare::default(), "a store whose rules are not shared");
    let keep = |store: &RuleStore, keys: Vec<(WidgetId, Option<SharedKey>)>, position| {
        let share = Some(ShareCommit { keys, position });
        let commit = Commit { generation: book.generation(), writes: Vec::new(), share };
        store.prepare(&commit).unwrap().commit().unwrap();
    };
    keep(&store, vec![(id("w001"), key(5, 1 << 127)), (id("w000"), key(4, 3))], Some(POSITION));
    keep(&store, vec![(id("w001"), key(6, u128::MAX)), (id("w002"), key(7, 2)), (id("w000"), None)], None);
    // Nothing is dropped before a commit.
    let share = ShareCommit { keys: vec![(id("w003"), key(8, 8))], position: None };
    drop(store.prepare(&Commit { share: Some(share), ..Commit::default() }).unwrap());
    let at = Timestamp::from_microsecond(1_800_000_000_123_456).unwrap();
    store.keep_contact(KeptContact { at, limit: Some(Duration::from_millis(1_500)) }).unwrap();
    assert_eq!(store.share().contact.unwrap().limit, Some(Duration::from_millis(1_500)));
    store.keep_contact(KeptContact { at, limit: None }).unwrap();
    assert_eq!(store.share().contact.unwrap().limit, None, "it denies no longer");
    assert_eq!(store.edges().unwrap(), b"");
    store.keep_edges(b"[1]").unwrap();
    store.keep_edges(b"[2]").unwrap();
    let contact = KeptContact { at, limit: Some(Duration::from_secs(60)) };
    store.keep_contact(contact).unwrap();
    drop(store);

    let (store, _) = open();
    // The terms are added up as numbers that run over.
    let kept = KeptShare { position: Some(POSITION), digest: 1, keys: 2, contact: Some(contact) };
    assert_eq!((store.share(), store.edges().unwrap()), (kept, b"[2]".to_vec()));
    let keys = store.shared_keys(&["w001", "w000", "w002", "nobody"]).unwrap();
    assert_eq!(keys, [key(6, u128::MAX), None, key(7, 2), None]);
}

#[test]
fn entries_are_documents_and_deletions_by_id() {
    let folder = Folder::filled();
    let publisher = folder.start().unwrap();
    save(&publisher, vec![delete("w001", None), put("w0010", &[], ""), delete("w0000", Some(4))]).unwrap();
    drop(publisher);
    let (store, _) = RuleStore::open(&folder.store(), suffixes(), StoreUse::Edge, Reading::Whole).unwrap();
    let page = |after, limit| -> Vec<(String, u64, bool)> {
        let entries = store.entries(after, limit).unwrap();
        entries
            .into_iter()
            .map(|entry| (entry.id.to_string(), entry.revision, entry.json.is_some()))
            .collect()
    };
    let all =
        [("w000", 1, true), ("w0000", 4, false), ("w001", 2, false), ("w0010", 1, true), ("w002", 1, true)];
    let all = all.map(|(id, revision, is_there)| (id.to_owned(), revision, is_there));
    assert_eq!(page(None, 5), all);
    assert_eq!(page(Some("w000"), 2), all[1..3]);
    assert_eq!((page(Some("w0010"), 1), page(Some("w199"), 9)), (all[4..].to_vec(), vec![]));
}
