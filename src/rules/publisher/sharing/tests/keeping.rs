//! What the bucket says and can't be kept.

use std::sync::atomic::Ordering::SeqCst;

use super::*;
use crate::rules::storage::share::KeptShare;

#[test]
fn what_cannot_be_kept_is_in_force_and_kept_later() {
    for spoiled in ["disk", "audit"] {
        let bus = Bus::new();
        let [one, two] = [Edge::start(&bus, "one"), Edge::start(&bus, "two")];
        one.save(vec![put("a", &["a.example"], ""), put("b", &[], ""), put("c", &[], "")]).unwrap();
        bus.settle(&[&one, &two]);
        let spoil = |on: bool| match spoiled {
            "disk" => two.storage.is_full.store(on, SeqCst),
            _ => two.ledger.full.store(on, SeqCst),
        };
        two.wait_until_kept();
        let lines = two.ledger.lines.lock().len();
        spoil(true);
        one.save(vec![put("a", &["x.example"], "")]).unwrap();
        one.save(vec![put("a", &["y.example"], ""), delete("b", None), put("bb", &[], "")]).unwrap();
        bus.settle(&[&one, &two]);
        // Whoever reads sees it as if it were kept.
        assert_eq!(two.ids(), ["a", "bb", "c"], "{spoiled}");
        let page = |after, limit| -> Vec<String> {
            let page = two.publisher.documents().page(after, limit).unwrap();
            page.into_iter().map(|widget| widget.id.to_string()).collect()
        };
        assert_eq!(
            (page(None, 1), page(Some("a"), 1), page(Some("bb"), 2)),
            (vec!["a".to_owned()], vec!["bb".to_owned()], vec!["c".to_owned()])
        );
        assert_eq!((two.document("a"), two.document("b")), (one.document("a"), None));
        let history = two.publisher.documents().history("a").unwrap();
        assert_eq!((history[0].revision, history[0].actor.as_deref()), (3, Some("token:one")));
        let entries: Vec<_> = two
            .publisher
            .entries(None, 9)
            .unwrap()
            .into_iter()
            .map(|entry| (entry.id.to_string(), entry.revision, entry.json.is_some()))
            .collect();
        let all = [("a", 3, true), ("b", 2, false), ("bb", 1, true), ("c", 1, true)];
        assert_eq!(entries, all.map(|(id, revision, is_there)| (id.to_owned(), revision, is_there)));
        assert_eq!(two.publisher.digest(), one.publisher.digest());
        two.wait_until_late(3);
        assert_eq!(two.kept().position, Some(bus::position(3)));
        // It can be written, and an edge that starts again reads it again.
        let saved = two.save(vec![put("a", &["z.example"], "")]).unwrap();
        assert_eq!((saved.outcomes[0].revision(), saved.sequence), (4, Some(8)), "{spoiled}");
        assert_eq!(
            two.publisher.keep_stops().unwrap_err().code(),
            if spoiled == "disk" { "storage_full" } else { "audit_unavailable" }
        );

        spoil(false);
        two.publisher.keep_stops().unwrap();
        assert_eq!(two.publisher.not_kept(), []);
        assert_eq!(two.kept().position, Some(bus::position(8)));
        assert_eq!(two.kept().digest, two.publisher.digest());
        assert_eq!(two.storage.kept.documents().get("a").unwrap(), two.document("a"));
        let kept = two.ledger.lines.lock()[lines..].to_vec();
        assert_eq!(
            kept,
            ["token:two a Some(1) 4", "token:one b Some(1) 2", "token:one bb None 1"],
            "{spoiled}"
        );
        let two = two.restart();
        bus.settle(&[&one, &two]);
        assert_eq!((two.document("a"), two.publisher.digest()), (one.document("a"), one.publisher.digest()));
    }
}

#[test]
fn a_start_reads_again_what_was_not_kept() {
    let bus = Bus::new();
    let [one, two] = [Edge::start(&bus, "one"), Edge::start(&bus, "two")];
    one.save(vec![put("a", &["a.example"], "")]).unwrap();
    bus.settle(&[&one, &two]);
    two.wait_until_kept();
    two.storage.is_full.store(true, SeqCst);
    one.save(vec![put("a", &["b.example"], ""), put("b", &[], "")]).unwrap();
    bus.settle(&[&one, &two]);
    two.storage.is_full.store(false, SeqCst);
    // It ends before it has tried again.
    let two = two.restart();
    bus.settle(&[&one, &two]);
    assert_eq!((two.document("a"), two.publisher.digest()), (one.document("a"), one.publisher.digest()));
    assert_eq!(two.publisher.known_keys(), 2);
}

#[test]
fn what_is_damaged_of_one_keeps_no_other_from_it() {
    let bus = Bus::new();
    let edge = Edge::start(&bus, "one");
    edge.save(vec![put("a", &["a.example"], ""), put("b", &[], "")]).unwrap();
    edge.wait_until_kept();
    *edge.storage.damaged.lock() = Some(id("a"));
    edge.save(vec![put("a", &["b.example"], ""), put("b", &[], r#""labels":{"k":"v"}"#)]).unwrap();
    edge.wait_until_late(1);
    assert_eq!(edge.publisher.not_kept()[0].id, id("a"));
    let kept = |id: &str| edge.storage.kept.documents().get(id).unwrap().unwrap().revision;
    assert_eq!((kept("a"), kept("b")), (Some(1), Some(2)));
    assert_eq!(edge.kept().position, Some(bus::position(2)), "a start reads the rest again");
    assert_eq!(edge.document("a").unwrap().revision, Some(2));
    *edge.storage.damaged.lock() = None;
    edge.publisher.keep_stops().unwrap();
    assert_eq!((kept("a"), edge.kept().position), (Some(2), Some(bus::position(4))));
    assert_eq!(edge.kept().digest, edge.publisher.digest());
}

impl Edge {
    /// Waits until so many widgets can't be kept. They are in force before it is tried.
    fn wait_until_late(&self, widgets: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.publisher.not_kept().len() != widgets {
            assert!(Instant::now() < deadline, "{:?}", self.publisher.not_kept());
            std::thread::yield_now();
        }
    }

    /// What is kept, as the next start finds it.
    pub(super) fn kept(&self) -> KeptShare {
        self.storage.kept.share()
    }
}
