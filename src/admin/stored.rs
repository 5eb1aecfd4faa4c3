//! Stored documents, read a few at a time: many large ones take no more memory than a few.

use std::collections::VecDeque;
use std::iter;

use super::problem::Problem;
use super::{Admin, refusal};
use crate::rules::documents::Documents;
use crate::rules::error::StoreError;
use embedgate_policy::widget::{Widget, WidgetId};

/// How many documents are read at once.
const AT_ONCE: usize = 16;

/// The document of a widget that exists. It waits for the disk.
pub(super) fn existing(admin: &Admin, id: &WidgetId) -> Result<Widget, Problem> {
    let widget = admin.publisher.documents().get(id.as_str());
    widget.map_err(|error| refusal::of_storage(&error))?.ok_or_else(Problem::unknown_widget)
}

/// All documents after this id, sorted by id.
pub(super) fn after(
    documents: &dyn Documents,
    mut after: Option<WidgetId>,
) -> impl Iterator<Item = Result<Widget, StoreError>> {
    let mut read = VecDeque::new();
    iter::from_fn(move || {
        if read.is_empty() {
            match documents.page(after.as_ref().map(WidgetId::as_str), AT_ONCE) {
                Ok(page) => read.extend(page),
                Err(error) => return Some(Err(error)),
            }
        }
        let widget: Widget = read.pop_front()?;
        after = Some(widget.id.clone());
        Some(Ok(widget))
    })
}
