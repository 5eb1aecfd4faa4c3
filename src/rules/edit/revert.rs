//! An earlier document of a widget, looked up in its history.

use crate::rules::documents::{HistoryEntry, HistoryState};
use embedgate_policy::widget::{Access, DocumentFault, Widget};

/// The document of this revision, without its revision: it is to be saved as the next one.
pub(in crate::rules) fn find(history: Vec<HistoryEntry>, revision: u64) -> Result<Widget, DocumentFault> {
    let documents = history.iter().filter(|entry| entry.state != HistoryState::Deleted);
    let known: Vec<String> = documents.map(|entry| entry.revision.to_string()).collect();
    let choice = match known.as_slice() {
        [] => "there is no document to go back to".to_owned(),
        known => format!("its history has {}", known.join(", ")),
    };
    // Where a revision is in it twice, the later one is meant: it is what was answered last.
    match history.into_iter().find(|entry| entry.revision == revision).map(|entry| entry.state) {
        Some(HistoryState::Document(widget)) => Ok(Widget { revision: None, ..widget }),
        Some(HistoryState::Deleted) => Err(unknown(format!(
            "revision {revision} is that of a deletion: to delete the widget, use DELETE; {choice}"
        ))),
        None => Err(unknown(format!("revision {revision} of this widget is not in its history: {choice}"))),
    }
}

fn unknown(detail: String) -> DocumentFault {
    DocumentFault { pointer: "/revision".to_owned(), code: "unknown_revision", detail }
}

/// Whether a document may come back. `is_open`: whether the widget is open now, or was when it was deleted.
pub(in crate::rules) fn check_opening(
    widget: &Widget,
    is_open: bool,
    may_open: bool,
) -> Result<(), DocumentFault> {
    if is_open || may_open || widget.effective_access() != Access::Open {
        return Ok(());
    }
    let detail = "with that document every site may embed the widget, which is restricted now; if that is what is meant, \
                  confirm it: ?confirm=open";
    Err(DocumentFault {
        pointer: "/revision".to_owned(),
        code: "would_open_widget",
        detail: detail.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::rules::fixtures::widget;

    fn entry(revision: u64, document: Option<&str>) -> HistoryEntry {
        let document = document.map(|document| Widget { revision: Some(revision), ..widget(document) });
        let state = document.map_or(HistoryState::Deleted, HistoryState::Document);
        HistoryEntry { revision, at: None, actor: None, state }
    }

    #[test]
    fn what_is_known_is_found_and_what_is_not_is_told() {
        let history = || {
            vec![
                entry(9, Some(r#"{"id":"a","enabled":false}"#)),
                entry(8, None),
                entry(5, Some(r#"{"id":"a","allowed_domains":["a.example"]}"#)),
            ]
        };
        assert_eq!(find(history(), 5), Ok(widget(r#"{"id":"a","allowed_domains":["a.example"]}"#)));
        let detail = |history, revision| {
            let fault = find(history, revision).unwrap_err();
            assert_eq!((fault.pointer.as_str(), fault.code), ("/revision", "unknown_revision"));
            fault.detail
        };
        assert_eq!(
            detail(history(), 7),
            "revision 7 of this widget is not in its history: its history has 9, 5"
        );
        assert!(detail(history(), 8).contains("use DELETE; its history has 9, 5"));
        assert!(detail(vec![entry(3, None)], 1).ends_with("there is no document to go back to"));
    }

    #[test]
    fn a_document_that_opens_wants_a_word() {
        for (document, opens) in [
            (r#"{"id":"a"}"#, true),
            (r#"{"id":"a","access":"open","allowed_domains":["a.example"]}"#, true),
            (r#"{"id":"a","access":"monitor"}"#, false),
            (r#"{"id":"a","allowed_domains":["a.example"]}"#, false),
        ] {
            let widget = widget(document);
            assert_eq!(check_opening(&widget, false, false).is_err(), opens, "{document}");
            assert_eq!(check_opening(&widget, true, false), Ok(()));
            assert_eq!(check_opening(&widget, false, true), Ok(()));
        }
    }
}
