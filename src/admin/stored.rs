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

/// How many ids are read at once.
const IDS_AT_ONCE: usize = 1_000;

/// The document of a widget that exists. It waits for the disk.
pub(super) fn existing(admin: &Admin, id: &WidgetId) -> Result<Widget, Problem> {
    let widget = admin.publisher.documents().get(id.as_str());
    widget.map_err(|error| refusal::of_storage(&error))?.ok_or_else(Problem::unknown_widget)
}

/// All documents after this id, sorted by id.
pub(super) fn after(
    documents: &dyn Documents,
    after: Option<WidgetId>,
) -> impl Iterator<Item = Result<Widget, StoreError>> {
    a_few_at_once(after, |after| documents.page(after, AT_ONCE), |widget| &widget.id)
}

/// All ids after this one, sorted.
pub(super) fn ids_after(
    documents: &dyn Documents,
    after: Option<WidgetId>,
) -> impl Iterator<Item = Result<WidgetId, StoreError>> {
    a_few_at_once(after, |after| documents.ids(after, IDS_AT_ONCE), |id| id)
}

fn a_few_at_once<T>(
    mut after: Option<WidgetId>,
    page: impl Fn(Option<&str>) -> Result<Vec<T>, StoreError>,
    id: impl Fn(&T) -> &WidgetId,
) -> impl Iterator<Item = Result<T, StoreError>> {
    let mut read = VecDeque::new();
    iter::from_fn(move || {
        if read.is_empty() {
            match page(after.as_ref().map(WidgetId::as_str)) {
                Ok(page) => read.extend(page),
                Err(error) => return Some(Err(error)),
            }
            after = read.back().map(|last| id(last).clone());
        }
        read.pop_front().map(Ok)
    })
}
