#![allow(clippy::unwrap_used)]

use jiff::Timestamp;

use super::*;
use crate::activity::reader::{ActivityError, RefusedEmbedder};
use crate::activity::seen::{ClientCounts, EmbedderActivity, EntryActivity};

pub(in crate::activity) fn embedder(origin: &str, count: u64) -> EmbedderActivity {
    EmbedderActivity {
        origin: origin.into(),
        count,
        error: 0,
        monitored: 0,
        reason: None,
        entry: None,
        first: Timestamp::UNIX_EPOCH,
        last: Timestamp::UNIX_EPOCH,
        clients: ClientCounts::default(),
    }
}

/// Activity with so many refused embedders, most frequent first, and so many entries.
pub(in crate::activity) fn activity(refused: u64, entries: usize) -> WidgetActivity {
    let embedders = (0..refused).map(|n| embedder(&format!("https://n{n}.example"), refused - n)).collect();
    let at = Timestamp::UNIX_EPOCH;
    let entry = EntryActivity { first: at, last: at, count: 1 };
    WidgetActivity {
        refused: FrequentEmbedders { embedders, untracked: 0 },
        entries: (0..entries).map(|n| (format!("e{n}.example").into(), entry)).collect(),
        ..WidgetActivity::default()
    }
}

/// Reader of these widgets, in the order of their ids.
pub(in crate::activity) struct Seen(pub(in crate::activity) Vec<(Box<str>, WidgetActivity)>);

impl Seen {
    /// Widgets of these ids.
    pub(in crate::activity) fn of<'i>(ids: impl IntoIterator<Item = &'i str>) -> Self {
        Self(ids.into_iter().map(|id| (id.into(), activity(id.len() as u64, 1))).collect())
    }
}

impl ActivityReader for Seen {
    fn since(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn widget(&self, id: &str) -> Result<WidgetActivity, ActivityError> {
        if id == "unreadable" {
            return Err(ActivityError { detail: "damaged".into() });
        }
        let found = self.0.iter().find(|(known, _)| **known == *id);
        Ok(found.map(|(_, activity)| activity.clone()).unwrap_or_default())
    }

    fn page(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Box<str>, WidgetActivity)>, ActivityError> {
        let behind = self.0.iter().filter(|(id, _)| after.is_none_or(|after| **id > *after));
        Ok(behind.take(limit).cloned().collect())
    }

    fn most_refused(&self) -> Vec<RefusedEmbedder> {
        let refused = |(id, activity): &(Box<str>, WidgetActivity)| {
            let embedder = activity.refused.embedders.first()?.clone();
            Some(RefusedEmbedder { widget: id.clone(), embedder })
        };
        self.0.iter().filter_map(refused).collect()
    }
}

fn peer(seen: Seen) -> PeerActivity {
    PeerActivity::new(Arc::new(seen))
}

const ENOUGH: usize = 1 << 20;

#[test]
fn a_widget_is_told_as_it_is_kept() {
    let peer = peer(Seen::of(["shop", "help"]));
    let asked = |id: &str| {
        let body = json(&WidgetQuestion { id: id.into() }).unwrap();
        let answer = peer.answer(WIDGET, &body, ENOUGH)?;
        Some(serde_json::from_slice::<WidgetActivity>(&answer).unwrap())
    };
    assert_eq!(asked("shop"), Some(activity(4, 1)));
    assert_eq!(asked("unknown"), Some(WidgetActivity::default()));
    assert_eq!(asked("unreadable"), None);
}

#[test]
fn a_question_that_cannot_be_read_has_no_answer() {
    let peer = peer(Seen::of(["shop"]));
    for (topic, body) in [
        (WIDGET, "{}"),
        (WIDGET, "{\"id\":7}"),
        (WIDGET, "shop"),
        (WIDGET, ""),
        (PAGE, "{\"after\":null}"),
        (PAGE, "{\"after\":null,\"limit\":-1}"),
        (REFUSED, "7"),
        ("activity.later", "{\"id\":\"shop\"}"),
        ("decision", "{\"id\":\"shop\"}"),
    ] {
        assert_eq!(peer.answer(topic, body.as_bytes(), ENOUGH), None, "{topic} {body}");
    }
    // A later version may say more.
    assert!(peer.answer(WIDGET, b"{\"id\":\"shop\",\"days\":3}", ENOUGH).is_some());
}

#[test]
fn what_has_no_room_is_left_out_and_said_to_be() {
    let whole = activity(100, 3);
    let size = json(&whole).unwrap().len();
    let smallest = json(&WidgetActivity {
        refused: FrequentEmbedders { untracked: 100, ..FrequentEmbedders::default() },
        ..whole.clone()
    });
    let smallest = smallest.unwrap().len();
    assert_eq!(fitted(whole.clone(), size).unwrap().0, whole);
    assert_eq!(fitted(whole.clone(), smallest - 1), None, "an entry is never left out");
    for most in [size - 1, size / 2, size / 3, size / 10, smallest] {
        let (told, json) = fitted(whole.clone(), most).unwrap();
        assert!(json.len() <= most && serde_json::from_slice::<WidgetActivity>(&json).unwrap() == told);
        assert_eq!(told.entries, whole.entries);
        let kept = told.refused.embedders.len();
        assert!(kept < 100 && told.refused.embedders == whole.refused.embedders[..kept], "{most}");
        // The most frequent one that is not listed.
        assert_eq!(told.refused.untracked, 100 - kept as u64, "{most}");
    }
}

#[test]
fn pages_of_any_size_lose_no_widget() {
    let ids = ["a", "b", "bb", "c", "long-id", "w1", "w10", "w2"];
    let widgets: Vec<_> = ids.map(|id| (Box::from(id), activity(20, 2))).into();
    let peer = peer(Seen(widgets.clone()));
    let one = json(&widgets[4]).unwrap().len();
    for most in [700, one, one + 200, 3 * one, ENOUGH] {
        for limit in [1, 3, 8, 9, usize::MAX] {
            let (mut read, mut question) = (Vec::new(), PageQuestion { after: None, limit });
            loop {
                let answer = peer.answer(PAGE, &json(&question).unwrap(), most).unwrap();
                assert!(answer.len() <= most, "{most} {limit}");
                let page: PageOfEdge = serde_json::from_slice(&answer).unwrap();
                assert!(page.answers(&question) || page.widgets.is_empty(), "{page:?}");
                assert!(page.widgets.len() <= limit);
                question.after = page.widgets.last().map(|(id, _)| id.clone());
                read.extend(page.widgets.into_iter().map(|(id, _)| id));
                if !page.more {
                    break;
                }
            }
            assert_eq!(read, ids.map(Box::from), "{most} {limit}");
        }
    }
    let body = json(&PageQuestion { after: None, limit: 1 }).unwrap();
    assert_eq!(peer.answer(PAGE, &body, 100), None, "there is no room for the entries of a widget");
}

#[test]
fn a_page_is_an_answer_only_where_its_ids_come_in_order_behind_the_one_that_was_named() {
    let page = |ids: &[&str], more| PageOfEdge { widgets: Seen::of(ids.iter().copied()).0, more };
    let (from_start, behind) =
        (PageQuestion { after: None, limit: 10 }, PageQuestion { after: Some("b".into()), limit: 10 });
    assert!(page(&["a", "b"], true).answers(&from_start) && page(&[], false).answers(&from_start));
    assert!(page(&["c"], false).answers(&behind) && page(&[], false).answers(&behind));
    for (ids, more) in
        [(&["b", "c"][..], false), (&["a"], false), (&["d", "c"], false), (&["c", "c"], false), (&[], true)]
    {
        assert!(!page(ids, more).answers(&behind), "{ids:?} {more}");
    }
}

#[test]
fn the_most_refused_are_told_as_a_whole_or_not_at_all() {
    let peer = peer(Seen::of(["shop", "help"]));
    let answer = peer.answer(REFUSED, b"{}", ENOUGH).unwrap();
    let told: Vec<RefusedEmbedder> = serde_json::from_slice(&answer).unwrap();
    assert_eq!(told.iter().map(|refused| &*refused.widget).collect::<Vec<_>>(), ["shop", "help"]);
    assert!(peer.answer(REFUSED, b"{}", answer.len()).is_some());
    assert_eq!(peer.answer(REFUSED, b"{}", answer.len() - 1), None);
}
